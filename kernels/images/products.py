"""The products of a convolution, an image at a time, with panels of an unfolded image in place of a matrix of columns.

Rows of the other factor are taken by tiles, as in `kernels.matmul`; both have the same inner loops, but that here the
rows of a factor lie anywhere: `places` says where.
"""

from fastbp.kernels.build.flags import inlined, shared
from fastbp.kernels.images.inner_loops import gathering_kernel, reading_kernel, scattered_kernel
from fastbp.kernels.images.shape import DEPTH, FEW_ROWS, ROWS, WIDE, padded_filters
from fastbp.kernels.tiles import (
    add,
    lanes_of,
    load_masked,
    load_row,
    load_row_masked,
    load_transposed,
    moved,
    rows_of,
    store,
    store_masked,
    store_row_masked,
    transpose,
    width_of,
    zeros,
)

# --- out = A @ B for rows of B that lie anywhere ---


@inlined
def _pack(full, width, depth, b, places, panel):
    """The columns [0, width) of rows of B, filled up with zeros."""
    line = zeros(1, 1, panel)
    for k in range(depth):
        for v in range(0, full, width_of(line)):
            store(load_row_masked(line, b, places[k] + v, width - v), panel, k * full + v, 0)


@inlined
def _put_tile(rows, width, tile, full, out, out_row, adds):
    """The part of a tile that is one of the result's, to its place, or added to it."""
    line = zeros(1, 1, out)
    for r in range(rows):
        for v in range(0, width, width_of(line)):
            values = load_row(line, tile, r * full + v)
            if adds:
                values = add(values, load_row_masked(line, out, r * out_row + v, width - v))
            store_row_masked(values, out, r * out_row + v, width - v)


def _sweep(height, few, vectors):
    gather, read = gathering_kernel(height, vectors), reading_kernel(height, vectors)
    gather_few, read_few = gather, read
    if few < height:
        gather_few, read_few = gathering_kernel(few, vectors), reading_kernel(few, vectors)

    @shared
    def sweep(rows, width, depth, a, a_row, b, places, panel, tile, out, out_row, adds):
        """All rows of A, depth terms each, times the columns [0, width) of B."""
        full = vectors * lanes_of(out)
        fresh = width == full
        if not fresh:
            _pack(full, width, depth, b, places, panel)
        i = 0
        while i < rows:
            whole = rows - i > few
            count = min(rows - i, height if whole else few)
            in_place = width == full and count == (height if whole else few)
            to, to_row, sums = moved(out, i * out_row), out_row, adds
            if not in_place:
                to, to_row, sums = tile, full, False
            row = moved(a, i * a_row)
            if whole and fresh:
                gather(depth, row, a_row, b, places, panel, to, to_row, sums)
            elif fresh:
                gather_few(depth, row, a_row, b, places, panel, to, to_row, sums)
            elif whole:
                read(depth, row, a_row, panel, to, to_row, sums)
            else:
                read_few(depth, row, a_row, panel, to, to_row, sums)
            fresh = False
            if not in_place:
                _put_tile(count, width, tile, full, moved(out, i * out_row), out_row, adds)
            i += count

    return sweep


_sweep_wide, _sweep_narrow = _sweep(ROWS, FEW_ROWS, WIDE), _sweep(8, FEW_ROWS, 1)


@shared
def multiply_rows(rows, terms, columns, a, a_row, b, places, panel, tile, out):
    """out (rows, columns) = A (rows, terms) @ B, whose row k begins at b[places[k]]. A is filled up to 8 more rows."""
    lanes, j = lanes_of(out), 0
    blocks = (terms + DEPTH - 1) // DEPTH
    while j < columns:
        left = columns - j
        wide = left > 2 * lanes  # of two vectors each is taken alone
        width = min(left, WIDE * lanes if wide else lanes)
        for block in range(blocks):
            k = terms * block // blocks
            depth = terms * (block + 1) // blocks - k
            factor, source, where, to = moved(a, k), moved(b, j), moved(places, k), moved(out, j)
            if wide:
                _sweep_wide(rows, width, depth, factor, a_row, source, where, panel, tile, to, columns, block > 0)
            else:
                _sweep_narrow(rows, width, depth, factor, a_row, source, where, panel, tile, to, columns, block > 0)
        j += width


# --- sums += A @ B.T for rows of A that lie anywhere ---


@inlined
def _pack_transposed(full, b, rows, b_row, depth, panel):
    """The panel (depth, full) from rows of depth terms: square blocks, transposed in registers."""
    block = zeros(lanes_of(panel), 1, panel)
    for v in range(0, full, width_of(block)):
        for k in range(0, depth, width_of(block)):
            at, to = v * b_row + k, moved(panel, k * full + v)
            if v + width_of(block) <= rows and k + width_of(block) <= depth:
                store(load_transposed(block, b, at, b_row), to, 0, full)
            else:
                values = transpose(load_masked(block, b, at, b_row, rows - v, depth - k))
                store_masked(values, to, 0, full, depth - k, width_of(block))


def _add_products(height, vectors):
    multiply = scattered_kernel(height, vectors)

    @shared
    def add_products(terms, depth, a, places, b, rows, b_row, panel, sums, sums_row, adds):
        """sums (terms, a panel's columns): tiles of the rows of A, of which there are a multiple of 8."""
        _pack_transposed(vectors * lanes_of(sums), b, rows, b_row, depth, panel)
        for k in range(0, terms, height):
            multiply(depth, a, moved(places, k), panel, moved(sums, k * sums_row), sums_row, adds)

    return add_products


_add_three, _add_two, _add_one = _add_products(ROWS, 3), _add_products(ROWS, 2), _add_products(8, 1)


@shared
def add_gradients(filters, terms, columns, a, places, dout, panel, sums, adds):
    """sums (terms, filters) = A @ dout.T, or += that; the rows of both are filled up, those of A to a multiple of 8.

    Row k of A begins at a[places[k]], dout is (filters, columns).
    """
    lanes = lanes_of(sums)
    wide = padded_filters(filters, lanes)
    blocks = (columns + DEPTH - 1) // DEPTH
    for block in range(blocks):
        p = columns * block // blocks
        depth, pixels, more = columns * (block + 1) // blocks - p, moved(a, p), adds or block > 0
        f = 0
        while f < wide:
            vectors = (wide - f) // lanes
            given, to, rows = moved(dout, f * columns + p), moved(sums, f), filters - f
            if vectors >= WIDE and vectors != WIDE + 1:
                vectors = WIDE
                _add_three(terms, depth, pixels, places, given, rows, columns, panel, to, wide, more)
            elif vectors >= 2:
                vectors = 2
                _add_two(terms, depth, pixels, places, given, rows, columns, panel, to, wide, more)
            else:
                _add_one(terms, depth, pixels, places, given, rows, columns, panel, to, wide, more)
            f += vectors * lanes


@shared
def store_gradients(lo, hi, filters, terms, parts, size, sums, dW, db):
    """Rows [lo, hi) of dW (filters, terms) and of db, from the sums (terms + 1, filters) of all parts, in one order."""
    wide, block, line = padded_filters(filters, lanes_of(sums)), zeros(lanes_of(sums), 1, sums), zeros(1, 1, sums)
    for f in range(lo, hi, rows_of(block)):
        for k in range(0, terms, rows_of(block)):
            total = block
            for part in range(parts):
                at = part * size + k * wide + f
                total = add(total, load_masked(block, sums, at, wide, terms - k, wide - f))
            store_masked(transpose(total), dW, f * terms + k, terms, hi - f, terms - k)
        bias = line
        for part in range(parts):
            bias = add(bias, load_row_masked(line, sums, part * size + terms * wide + f, wide - f))
        store_row_masked(bias, db, f, hi - f)
