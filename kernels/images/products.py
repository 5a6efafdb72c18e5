"""The products of a convolution: tiles of pixels, or of a filter's terms, times panels of filters, or of dout."""

from fastbp.kernels.build.flags import inlined, shared
from fastbp.kernels.images.inner_loops import seeing_kernel
from fastbp.kernels.images.planes import count_in_phase, terms_in_phase
from fastbp.kernels.images.shape import DEPTH, ROWS, WIDE, filled
from fastbp.kernels.relu import relu
from fastbp.kernels.tiles import (
    add,
    lanes_of,
    load,
    load_masked,
    load_row,
    load_row_masked,
    load_transposed,
    moved,
    row,
    rows_of,
    store,
    store_masked,
    store_row_masked,
    transpose,
    width_of,
    zeros,
)
from fastbp.kernels.tiles.strided import load_every_between


@inlined
def panel_vectors(columns, lanes):
    """Vectors of the next panel where so many columns are left: of four two and two rather than three and one."""
    vectors = (columns + lanes - 1) // lanes
    if vectors >= WIDE and vectors != WIDE + 1:
        return WIDE
    return min(vectors, 2)


TILE_ROWS = {WIDE: ROWS, 2: ROWS, 1: 8}  # by vectors
SEEING_KERNELS = {vectors: seeing_kernel(rows, vectors) for vectors, rows in TILE_ROWS.items()}


def _sweep(vectors):
    height, multiply = TILE_ROWS[vectors], SEEING_KERNELS[vectors]

    @inlined
    def sweep(rows, depth, a, starts, offsets, panel, c, places, adds):
        for r in range(0, rows, height):
            multiply(depth, a, moved(starts, r), offsets, panel, c, moved(places, r), adds)

    return sweep


_sweep_wide, _sweep_two, _sweep_one = _sweep(WIDE), _sweep(2), _sweep(1)


@shared
def multiply_panel(vectors, rows, depth, a, starts, offsets, panel, c, places, adds):
    """Rows of A times a panel of so many vectors: tiles, the last one filled up by what the tables say."""
    if vectors == WIDE:
        _sweep_wide(rows, depth, a, starts, offsets, panel, c, places, adds)
    elif vectors == 2:
        _sweep_two(rows, depth, a, starts, offsets, panel, c, places, adds)
    else:
        _sweep_one(rows, depth, a, starts, offsets, panel, c, places, adds)


# --- out and dx: pixels times filters ---


@shared
def multiply_filters(rows, terms, columns, a, starts, offsets, panels, c, places):
    """C (rows, columns) = A (rows, terms) @ panels, those of one group of columns behind those of another."""
    lanes, j, blocks = lanes_of(c), 0, max(1, (terms + DEPTH - 1) // DEPTH)
    while j < columns:
        vectors = panel_vectors(columns - j, lanes)
        for block in range(blocks):
            k = terms * block // blocks
            depth, panel = terms * (block + 1) // blocks - k, moved(panels, j * terms + k * vectors * lanes)
            multiply_panel(vectors, rows, depth, a, starts, moved(offsets, k), panel, moved(c, j), places, block > 0)
        j += vectors * lanes


@inlined
def pack_transposed(full, b, rows, b_row, depth, panel):
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


@shared
def pack_filters(filters, terms, W, panels):
    """W (filters, terms) as panels (terms, filters)."""
    lanes, f = lanes_of(panels), 0
    while f < filters:
        full = panel_vectors(filters - f, lanes) * lanes
        pack_transposed(full, moved(W, f * terms), filters - f, terms, terms, moved(panels, f * terms))
        f += full


@shared
def turn_filters(s, W, panels):
    """W (FN, C, FH, FW) as panels (FN · terms of a phase, C), phase by phase, as `tables_of_gradient` has them."""
    line, window, wide, at = zeros(1, 1, panels), s.FH * s.FW, filled(s.C, lanes_of(panels)), 0
    for a in range(s.stride):
        for b in range(s.stride):
            if count_in_phase(s.H, a, s.pad, s.stride) * count_in_phase(s.W, b, s.pad, s.stride) > 0:
                high, width = terms_in_phase(s.FH, a, s.stride), terms_in_phase(s.FW, b, s.stride)
                c = 0
                while c < s.C:
                    full, t = panel_vectors(s.C - c, width_of(line)) * width_of(line), 0
                    panel = moved(panels, at + c * s.FN * high * width)
                    for f in range(s.FN):
                        for fh in range(a, s.FH, s.stride):
                            for fw in range(b, s.FW, s.stride):
                                for v in range(c, c + full, width_of(line)):
                                    first = (f * s.C + v) * window + fh * s.FW + fw
                                    values = load_every_between(line, W, first, window, 0, s.C - v)
                                    store(values, panel, t * full + v - c, 0)
                                t += 1
                    c += full
                at += s.FN * high * width * wide


@inlined
def _store_inside(tile, to, at, step, rows, width):
    """`store_masked`, with a branch: the masks of 16 rows don't fit the registers."""
    if rows >= rows_of(tile) and width >= width_of(tile):
        store(tile, to, at, step)
    else:
        store_masked(tile, to, at, step, rows, width)


@shared
def put_pixels(pixels, columns, sums, sums_row, bias, out, mask, rectified):
    """out (columns, pixels) = (sums + bias).T; if `rectified` of the ReLU of that, and its mask."""
    block = zeros(lanes_of(sums), 1, sums)
    for f in range(0, columns, rows_of(block)):
        biases = load_row(block, bias, f)
        for p in range(0, pixels, width_of(block)):
            values, at = transpose(add(load(block, sums, p * sums_row + f, sums_row), biases)), f * pixels + p
            if rectified:
                values, blocked = relu(values)
                _store_inside(blocked, mask, at, pixels, columns - f, pixels - p)
            _store_inside(values, out, at, pixels, columns - f, pixels - p)


@shared
def put_gradient(pixels, columns, sums, sums_row, dx):
    """dx (columns, pixels) = sums.T."""
    block = zeros(lanes_of(sums), 1, sums)
    for c in range(0, columns, rows_of(block)):
        for p in range(0, pixels, width_of(block)):
            values = load_transposed(block, sums, p * sums_row + c, sums_row)
            _store_inside(values, dx, c * pixels + p, pixels, columns - c, pixels - p)


# --- dW and db: terms times dout ---


def _add_rows(vectors):
    @inlined
    def add_rows(depth, panel, to, adds):
        """to (vectors) = the sum of the rows of a panel, or += that: four sums, then their sum."""
        acc = zeros(4, vectors, panel)
        for k in range(0, depth, 4):
            acc = add(acc, load_masked(acc, panel, k * width_of(acc), width_of(acc), depth - k, width_of(acc)))
        total = add(add(row(acc, 0), row(acc, 1)), add(row(acc, 2), row(acc, 3)))
        if adds:
            total = add(total, load_row(acc, to, 0))
        store(total, to, 0, 0)

    return add_rows


_add_three_rows, _add_two_rows, _add_one_row = _add_rows(3), _add_rows(2), _add_rows(1)


@inlined
def add_rows_of_panel(vectors, depth, panel, to, adds):
    """to (columns) = the sum of the rows of a panel of so many vectors, or += that."""
    if vectors == 3:
        _add_three_rows(depth, panel, to, adds)
    elif vectors == 2:
        _add_two_rows(depth, panel, to, adds)
    else:
        _add_one_row(depth, panel, to, adds)


@shared
def add_gradients(s, images, a, starts, offsets, dout, panel, sums, places, adds):
    """sums (K + 1, FN) = the gradients of W and, in the last row, of b, of some images, or += those.

    Row k of A is what term k sees, at all places of the images.
    """
    K, P, wide = s.C * s.FH * s.FW, s.OH * s.OW, filled(s.FN, lanes_of(sums))
    blocks = (P + DEPTH - 1) // DEPTH
    for block in range(blocks):
        p = P * block // blocks
        part, more, f = P * (block + 1) // blocks - p, adds or block > 0, 0
        depth = part * images  # of several images there is one block
        while f < wide:
            vectors = panel_vectors(wide - f, lanes_of(sums))
            full = vectors * lanes_of(sums)
            for n in range(images):
                given = moved(dout, (n * s.FN + f) * P + p)
                pack_transposed(full, given, s.FN - f, P, part, moved(panel, n * part * full))
            bias = moved(sums, K * wide + f)
            add_rows_of_panel(vectors, depth, panel, bias, more)
            multiply_panel(vectors, K, depth, a, starts, moved(offsets, p), panel, moved(sums, f), places, more)
            f += full


@shared
def store_gradients(lo, hi, filters, terms, parts, size, sums, dW, db):
    """Rows [lo, hi) of dW (filters, terms) and of db, from the sums (terms + 1, filters) of all parts, in one order."""
    wide, block, line = filled(filters, lanes_of(sums)), zeros(lanes_of(sums), 1, sums), zeros(1, 1, sums)
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
