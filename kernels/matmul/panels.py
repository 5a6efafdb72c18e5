"""Matrix products by panels: a part of B in scratch, over which tiles of rows of A sweep.

Three products are one loop. What differs between them, how a panel is filled and what is done with a finished tile, is
told by the product's `kind`: one branch a panel or a tile. Whole tiles are summed in their place, others in a buffer.
"""

from typing import NamedTuple

from fastbp.kernels.build.flags import inlined, shared
from fastbp.kernels.matmul.microkernel import microkernels
from fastbp.kernels.matmul.product import (
    DEPTH,
    FEW_ROWS,
    FORWARD,
    HEIGHT,
    INPUT,
    PACK_COLUMNS,
    PACK_DEPTH,
    PACK_ROW,
    PARAMS,
    PREFETCHED_SIZE,
    ROWS,
    ROWS_NARROW,
    ROWS_TWO,
    TILE_VECTORS,
    WIDE,
    Product,
    bias_of,
    chain_length,
    finish,
    lines_collide,
)
from fastbp.kernels.tiles import (
    add,
    aligned,
    fma,
    lanes_of,
    load,
    load_masked,
    load_row_masked,
    load_transposed,
    moved,
    pointer_if,
    prefetch,
    reinterpret,
    rows_of,
    same_dtype,
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
    at: int  # in scratch; before it lies a tile that isn't stored in its place
    a_at: int  # where in p.a the panel's first term of row 0 of A lies


# --- how a panel is filled ---


@inlined
def pack_panel(line, p, panel):
    """The panel from B as it lies, by rows like `line`."""
    for k in range(panel.depth):
        terms = load_row_masked(line, p.b, (panel.k + k) * p.M + panel.j, panel.width)
        store(terms, p.scratch, panel.at + k * width_of(line), 0)


def _pack(vectors):
    @shared
    def pack(p, panel):
        pack_panel(zeros(1, vectors, p.out), p, panel)

    return pack


@shared
def pack_transposed(full, p, panel):
    """The panel from the transpose of B: square blocks, transposed in registers."""
    block = zeros(lanes_of(p.out), 1, p.out)
    for v in range(0, full, width_of(block)):
        for k in range(0, panel.depth, width_of(block)):
            at, to = (panel.j + v) * p.K + panel.k + k, panel.at + k * full + v
            if v + width_of(block) <= panel.width and k + width_of(block) <= panel.depth:
                store(load_transposed(block, p.b, at, p.K), p.scratch, to, full)
            else:
                columns = load_masked(block, p.b, at, p.K, panel.width - v, panel.depth - k)
                store(transpose(columns), p.scratch, to, full)


@shared
def pack_rows(p, turned, k, depth, i, end, at):
    """Copies the terms [k, k + depth) of the rows [i, end) of A to scratch[at:], in the dtype of the result.

    Where it is turned (dW), the terms of a row side by side, else contiguous as they were: the rows of a term (dW), or
    the terms of a row (forward).
    """
    tile, block = zeros(1, 1, p.out), zeros(lanes_of(p.out), 1, p.out)
    if turned:
        for each in range(0, depth, width_of(block)):
            for r in range(0, end - i, width_of(block)):
                from_, to = (k + each) * p.a_k + i + r, at + r * PACK_ROW + each
                if each + width_of(block) <= depth and r + width_of(block) <= end - i:
                    store(transpose(load(block, p.a, from_, p.a_k)), p.scratch, to, PACK_ROW)
                else:
                    values = transpose(load_masked(block, p.a, from_, p.a_k, depth - each, end - i - r))
                    store_masked(values, p.scratch, to, PACK_ROW, end - i - r, depth - each)
    elif p.kind == PARAMS:
        for each in range(depth):
            for r in range(0, end - i, width_of(tile)):
                values = load_row_masked(tile, p.a, (k + each) * p.a_k + i + r, end - i - r)
                store_row_masked(values, p.scratch, at + each * HEIGHT + r, end - i - r)
    else:
        for r in range(end - i):
            for each in range(0, depth, width_of(tile)):
                values = load_row_masked(tile, p.a, (i + r) * p.a_row + k + each, depth - each)
                store_row_masked(values, p.scratch, at + r * PACK_ROW + each, depth - each)


@shared
def prefetch_next_panel(full, p, panel, start, end, rows):
    """Part [start, end) of `rows` of the next panel, where B comes from beyond the second-level cache."""
    line = zeros(1, WIDE, p.out)
    if p.kind != INPUT:
        for k in range(panel.depth * start // rows, panel.depth * end // rows):
            prefetch(line, p.b, (panel.k + k) * p.M + panel.j + panel.width)
    else:
        for v in range(full * start // rows, full * end // rows):
            for k in range(0, panel.depth, width_of(line)):
                prefetch(line, p.b, (panel.j + panel.width + v) * p.K + panel.k + k)


# --- what is done with a tile ---


@inlined
def _finish_block(block, rows, r, bias, width, source, source_row, first, last, p, at):
    to = at + r * p.M
    acc = load_masked(block, source, r * source_row, source_row, rows, width)
    if p.kind == PARAMS and p.fused:
        acc = fma(acc, p.alpha, load_masked(block, p.out, to, p.M, rows, width))
    elif not first:
        acc = add(acc, load_masked(block, p.out, to, p.M, rows, width))
    if last:
        acc = finish(acc, bias, p, to, rows, width)
    store_masked(acc, p.out, to, p.M, rows, width)


@inlined
def finish_tile(block, rows, width, source, source_row, first, last, p, at, j):
    """Brings a tile from where it was summed to its place, a block of rows at a time.

    What lies there is added, unless `first`. With the last terms it is finished: bias, ReLU and its mask, or the mask
    of the layer below.
    """
    few, bias = rows_of(block), bias_of(block, p, j, width)
    whole = rows - rows % few
    for r in range(0, whole, few):
        _finish_block(block, few, r, bias, width, source, source_row, first, last, p, at)
    if whole < rows:
        _finish_block(block, rows - whole, whole, bias, width, source, source_row, first, last, p, at)


def _sweep(kernels):
    """The function (lo, hi, p, ahead, panel): rows [lo, hi) of a product times one panel as wide as these tiles."""
    rows, few, vectors, read, read_few, fill, prefetch_rows = kernels
    pack = _pack(vectors)

    @shared
    def sweep(lo, hi, p, ahead, panel):
        full, M = vectors * lanes_of(p.out), p.M
        adds = p.kind == PARAMS and p.fused  # to what lies in `out`, with a factor
        direct = panel.width == full and not adds
        finishes = panel.last and (p.kind == FORWARD or (p.kind == INPUT and p.fused))
        panel_at, buffer_at = moved(p.scratch, panel.at), panel.at - TILE_VECTORS * lanes_of(p.out)
        far, i = p.K * M > PREFETCHED_SIZE, lo
        fills = panel.width == full and p.kind != INPUT and hi - lo >= rows
        if not fills:
            if p.kind == INPUT:
                pack_transposed(full, p, panel)
            else:
                pack(p, panel)
        while i < hi:
            count, at, a = min(rows, hi - i), i * M + panel.j, moved(p.a, panel.a_at + i * p.a_row)
            if count < rows:
                count = min(few, count)
            if far:
                prefetch_next_panel(full, p, panel, i - lo, i + count - lo, hi - lo)
            if adds or (p.kind == PARAMS and not panel.first):  # what is added to arrives meanwhile
                for r in range(count):
                    prefetch(zeros(1, vectors, p.out), p.out, at + r * M)
            in_place = direct and count == rows
            c, c_row = moved(p.out, at), M
            if not in_place:
                c, c_row = moved(p.scratch, buffer_at), full
            if count < rows:
                read_few(panel.depth, count, a, p.a_row, p.a_k, panel_at, c, c_row)
            elif fills and i == lo:
                b = moved(p.b, panel.k * M + panel.j)
                fill(panel.depth, a, p.a_row, p.a_k, b, M, panel_at, c, c_row, direct and not panel.first)
            elif ahead.stop > ahead.start:
                place, step = 0, 0
                if panel.first and panel.j == ahead.left and ahead.size > 0:
                    which = ahead.lo + (ahead.hi - ahead.lo) * (i - ahead.start) // (ahead.stop - ahead.start)
                    place, step = ahead.rows[which] * ahead.size, (ahead.size + panel.depth - 1) // panel.depth
                line = moved(ahead.x, place)
                prefetch_rows(
                    panel.depth, a, p.a_row, p.a_k, panel_at, c, c_row, direct and not panel.first, line, step
                )
            else:
                read(panel.depth, a, p.a_row, p.a_k, panel_at, c, c_row, direct and not panel.first)
            if finishes or not in_place:
                first = in_place or panel.first
                block = zeros(few, vectors, p.out)
                finish_tile(block, count, panel.width, c, c_row, first, panel.last, p, at, panel.j)
            i += count

    return sweep


TILES = [microkernels(rows, FEW_ROWS, vectors) for rows, vectors in ((ROWS, WIDE), (ROWS_TWO, 2), (ROWS_NARROW, 1))]
sweep_wide, sweep_two, sweep_narrow = (_sweep(kernels) for kernels in TILES)


@inlined
def panel_vectors(columns, lanes):
    """Vectors of the next panel where so many columns are left: of four two and two rather than three and one."""
    vectors = (columns + lanes - 1) // lanes
    if vectors >= WIDE and (WIDE == 2 or vectors != WIDE + 1):
        return WIDE
    return min(vectors, 2)


@shared
def panels(left, right, lo, hi, p, ahead):
    """Rows [lo, hi) and columns [left, right) of a product."""
    lanes, by_terms = lanes_of(p.out), p.kind == PARAMS
    at = aligned(p.scratch) + TILE_VECTORS * lanes
    packed = (by_terms and (p.M >= PACK_COLUMNS or lines_collide(p.a_k, p.a))) or not same_dtype(p.a, p.out)
    turned = by_terms and p.M >= PACK_COLUMNS
    most = DEPTH
    if not by_terms:
        most = chain_length(p)
    elif packed and p.N > HEIGHT:
        most = PACK_DEPTH
    pack_at = at + PACK_DEPTH * WIDE * lanes
    a, a_row, a_k = pointer_if(packed, reinterpret(p.scratch, 0, p.out), p.a), p.a_row, p.a_k
    if packed:
        a_row, a_k = (1, HEIGHT) if by_terms and not turned else (PACK_ROW, 1)
    q = Product(p.kind, a, a_row, a_k, p.N, p.K, p.b, p.out, p.M, p.bias, p.mask, p.alpha, p.fused, p.scratch)
    blocks = max(1, (p.K + most - 1) // most)
    for i in range(lo, hi, HEIGHT):
        end = min(hi, i + HEIGHT)
        for block in range(blocks):
            k = p.K * block // blocks
            depth, first, last = p.K * (block + 1) // blocks - k, block == 0, block == blocks - 1
            a_at = k * p.a_k
            if packed:
                pack_rows(p, turned, k, depth, i, end, pack_at)
                a_at = pack_at - i * a_row
            j = left
            while j < right:
                vectors = panel_vectors(right - j, lanes)
                width = min(vectors * lanes, right - j)
                panel = Panel(k, depth, first, last, j, width, at, a_at)
                if vectors == WIDE:
                    sweep_wide(i, end, q, ahead, panel)
                elif vectors == 2:
                    sweep_two(i, end, q, ahead, panel)
                else:
                    sweep_narrow(i, end, q, ahead, panel)
                j += width
