"""Matrix products by panels: a part of B in scratch, over which tiles of rows of A sweep."""

from typing import NamedTuple

from fastbp.kernels.build.flags import inlined, merged
from fastbp.kernels.matmul.product import (
    DEPTH,
    FAR,
    FEW,
    HEIGHT,
    PACK_COLUMNS,
    PACK_DEEP_COLUMNS,
    PACK_DEPTH,
    PACK_ROW,
    ROWS,
    ROWS_NARROW,
    ROWS_TWO,
    WIDE,
    Product,
    chain_length,
)
from fastbp.kernels.tiles import (
    add,
    aligned,
    fma_step,
    lanes_of,
    load_masked,
    load_row,
    load_row_masked,
    load_transposed,
    pointer_if,
    prefetch,
    prefetch_line,
    reinterpret,
    row,
    rows_of,
    same_dtype,
    splat,
    store,
    store_masked,
    store_row_masked,
    transpose,
    width_of,
    zeros,
)


class Panel(NamedTuple):
    """A part of B: the terms [k, k + depth) of the columns [j, j + width), filled up with zeros to whole vectors."""

    k: int
    depth: int
    first: bool  # the first terms of the sums
    last: bool  # the last ones: the result is finished
    j: int
    width: int
    summed: int  # columns whose sums are taken on the way: all, or none
    at: int  # in scratch
    a_at: int  # where in p.a the panel's first term of row 0 of A lies


# --- how a panel is filled: by the first tile that passes over it, or beforehand ---
# A copy of its own took 14,000 of 141,000 cycles at 100 x 784 x 48. Prefetching B ahead of the copy: no difference.


@merged
def as_it_lies(tile, p, panel):
    pass


@inlined
def transposed(tile, p, panel):
    """The panel from the transpose of B: square blocks, transposed in registers."""
    full, lanes = width_of(tile), lanes_of(tile)
    block = zeros(lanes_of(tile), 1, tile)
    for v in range(0, full, lanes):
        for k in range(0, panel.depth, lanes):
            at, to = (panel.j + v) * p.K + panel.k + k, panel.at + k * full + v
            if v + lanes <= panel.width and k + lanes <= panel.depth:
                store(load_transposed(block, p.b, at, p.K), p.scratch, to, full)
            else:
                columns = load_masked(block, p.b, at, p.K, panel.width - v, panel.depth - k)
                store(transpose(columns), p.scratch, to, full)


@merged
def copying(tile, acc, rows, i, a_at, p, panel):
    """acc + A @ B for one tile, which fills the panel on the way."""
    for k in range(panel.depth):
        terms = load_row_masked(tile, p.b, (panel.k + k) * p.M + panel.j, panel.width)
        store(terms, p.scratch, panel.at + k * width_of(tile), 0)
        acc = fma_step(acc, p.a, a_at + k * p.a_k, p.a_row, rows, terms)
    return acc


@merged
def copying_and_summing(tile, acc, rows, i, a_at, p, panel):
    """As copying, and takes the column sums of B."""
    sums = splat(row(acc, 0), 0.0)
    for k in range(panel.depth):
        terms = load_row_masked(tile, p.b, (panel.k + k) * p.M + panel.j, panel.width)
        store(terms, p.scratch, panel.at + k * width_of(tile), 0)
        sums = add(sums, terms)
        acc = fma_step(acc, p.a, a_at + k * p.a_k, p.a_row, rows, terms)
    sums = add(sums, load_row_masked(tile, p.sums, panel.j, 0 if panel.first else panel.summed))
    store_masked(sums, p.sums, panel.j, 0, 1, panel.summed)
    return acc


@merged
def reading(tile, acc, rows, i, a_at, p, panel):
    """acc + A @ B for one tile, with B from the panel."""
    for k in range(panel.depth):
        terms = load_row(tile, p.scratch, panel.at + k * width_of(tile))
        acc = fma_step(acc, p.a, a_at + k * p.a_k, p.a_row, rows, terms)
    return acc


@merged
def reading_ahead(tile, acc, rows, i, a_at, p, panel):
    """As reading, and asks for the next tile of A, and for a row of the next batch.

    Line by line, as a burst holds up the tile. A step of 784-50-10 is 10 % faster by the row, on two threads 5 by A.
    """
    ahead, place, step = p.ahead, 0, 0
    if panel.first and panel.j == ahead.left and ahead.size > 0:
        which = ahead.lo + (ahead.hi - ahead.lo) * (i - ahead.start) // (ahead.stop - ahead.start)
        place, step = ahead.rows[which] * ahead.size, (ahead.size + panel.depth - 1) // panel.depth
    for k in range(panel.depth):
        terms = load_row(tile, p.scratch, panel.at + k * width_of(tile))
        acc = fma_step(acc, p.a, a_at + k * p.a_k, p.a_row, rows, terms)
        prefetch_line(ahead.x, place + k * step)
        prefetch_line(p.a, a_at + k * p.a_k + rows * p.a_row)
    return acc


# --- the loops ---


@merged
def _pack(p, by_terms, k, depth, i, end, at):
    """Copies the terms [k, k + depth) of the rows [i, end) of A to scratch[at:], in the dtype of the result.

    Contiguous as they were: the rows of a term (dW, by_terms), or the terms of a row (forward).
    """
    tile = zeros(1, 1, p.out)
    if by_terms:
        for each in range(depth):
            for r in range(0, end - i, width_of(tile)):
                values = load_row_masked(tile, p.a, (k + each) * p.a_k + i + r, end - i - r)
                store_row_masked(values, p.scratch, at + each * HEIGHT + r, end - i - r)
    else:
        for r in range(end - i):
            for each in range(0, depth, width_of(tile)):
                values = load_row_masked(tile, p.a, (i + r) * p.a_row + k + each, depth - each)
                store_row_masked(values, p.scratch, at + r * PACK_ROW + each, depth - each)


# --- what a panel asks for meanwhile: the next one, where B comes from beyond the second-level cache ---


@merged
def ask_for_nothing(tile, p, panel, start, end, rows):
    pass


@merged
def ask_for_rows(tile, p, panel, start, end, rows):
    """Part [start, end) of `rows` of the next panel, from B."""
    for k in range(panel.depth * start // rows, panel.depth * end // rows):
        prefetch(tile, p.b, (panel.k + k) * p.M + panel.j + panel.width)


@merged
def ask_for_columns(tile, p, panel, start, end, rows):
    """The same from the transpose of B."""
    full = width_of(tile)
    for v in range(full * start // rows, full * end // rows):
        for k in range(0, panel.depth, full):
            prefetch(tile, p.b, (panel.j + panel.width + v) * p.K + panel.k + k)


@merged
def panel_vectors(columns, lanes):
    """Vectors of the next panel where so many columns are left: of four two and two rather than three and one."""
    vectors = (columns + lanes - 1) // lanes
    if vectors >= WIDE and (WIDE == 2 or vectors != WIDE + 1):
        return WIDE
    return min(vectors, 2)


def _sweep(begin, finish, fill, first_pass, ask, read, packs):
    """The function (tile, few, lo, hi, p, panel): rows [lo, hi) times one panel, by tiles, at the end by `few`."""

    @inlined
    def tile_step(tile, rows, i, fresh, p, panel):
        """Rows [i, i + rows) times one panel, which holds nothing yet if fresh."""
        at, a_at = i * p.M + panel.j, panel.a_at + i * p.a_row
        acc = splat(tile, 0.0)
        if panel.first:
            acc = begin(tile, p, panel.j, panel.width)
        if packs and p.fused:  # what is added to at the end arrives meanwhile
            for r in range(rows_of(tile)):
                prefetch(tile, p.out, at + r * p.M)
        if fresh:
            acc = first_pass(tile, acc, rows, i, a_at, p, panel)
        else:
            acc = read(tile, acc, rows, i, a_at, p, panel)
        if not (panel.first or (packs and p.fused)):  # what is fused with dW adds for itself
            acc = add(acc, load_masked(tile, p.out, at, p.M, rows, panel.width))
        store_masked(finish(acc, panel.last, p, at, rows, panel.width), p.out, at, p.M, rows, panel.width)

    @merged
    def sweep(tile, few, lo, hi, p, panel):
        fill(tile, p, panel)
        i, far = lo, p.K * p.M > FAR
        while i < hi:
            if far:
                ask(tile, p, panel, i - lo, min(i + rows_of(tile), hi) - lo, hi - lo)
            if hi - i >= rows_of(tile):
                tile_step(tile, rows_of(tile), i, i == lo, p, panel)
                i += rows_of(tile)
            else:
                tile_step(few, min(hi - i, rows_of(few)), i, i == lo, p, panel)
                i += rows_of(few)

    return sweep


def panels(begin, finish, fill, first_pass, ask, read=reading, packs=False):
    """The function (left, right, lo, hi, p): rows [lo, hi) and columns [left, right) of a product."""
    sweep = _sweep(begin, finish, fill, first_pass, ask, read, packs)

    @merged
    def sweep_narrow(vectors, lo, hi, p, panel):
        sweep(zeros(ROWS_NARROW, 1, p.out), zeros(FEW, 1, p.out), lo, hi, p, panel)

    @merged
    def sweep_two_or_narrow(vectors, lo, hi, p, panel):
        if vectors == 2:
            sweep(zeros(ROWS_TWO, 2, p.out), zeros(FEW, 2, p.out), lo, hi, p, panel)
        else:
            sweep_narrow(vectors, lo, hi, p, panel)

    sweep_rest = sweep_two_or_narrow if WIDE > 2 else sweep_narrow

    @merged
    def product(left, right, lo, hi, p):
        at, lanes = aligned(p.scratch), lanes_of(p.out)
        packed = (packs and p.M >= PACK_COLUMNS) or not same_dtype(p.a, p.out)
        most = DEPTH
        if packs and p.M >= PACK_DEEP_COLUMNS:
            most = PACK_DEPTH
        if not packs:
            most = chain_length(p)
        pack_at = at + PACK_DEPTH * WIDE * lanes
        a = pointer_if(packed, reinterpret(p.scratch, 0, p.out), p.a)
        a_row, a_k = p.a_row, p.a_k
        if packed:
            a_row, a_k = (1, HEIGHT) if packs else (PACK_ROW, 1)
        q = Product(
            a, a_row, a_k, p.N, p.K, p.b, p.out, p.M, p.bias, p.mask, p.alpha, p.fused, p.sums, p.scratch, p.ahead
        )
        blocks = max(1, (p.K + most - 1) // most)
        for i in range(lo, hi, HEIGHT):
            end = min(hi, i + HEIGHT)
            for block in range(blocks):
                k = p.K * block // blocks
                depth, first, last = p.K * (block + 1) // blocks - k, block == 0, block == blocks - 1
                a_at = k * p.a_k
                if packed:
                    _pack(p, packs, k, depth, i, end, pack_at)
                    a_at = pack_at - i * a_row
                j = left
                while j < right:
                    vectors = panel_vectors(right - j, lanes)
                    width = min(vectors * lanes, right - j)
                    panel = Panel(k, depth, first, last, j, width, width if i == 0 else 0, at, a_at)
                    if vectors == WIDE:
                        sweep(zeros(ROWS, WIDE, p.out), zeros(FEW, WIDE, p.out), i, end, q, panel)
                    else:
                        sweep_rest(vectors, i, end, q, panel)
                    j += width

    return product
