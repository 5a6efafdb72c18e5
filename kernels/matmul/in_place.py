"""Products that read B where it lies: those of few terms, of few rows, and of one row.

Where a sum has few terms, a panel isn't worth its copy, nor a tile a call: they are done in one loop, tile by tile.
"""

from fastbp.kernels.build.flags import inlined, shared
from fastbp.kernels.matmul.microkernel import never_unrolled
from fastbp.kernels.matmul.panels import Panel, pack_transposed, panel_vectors
from fastbp.kernels.matmul.product import (
    FEW_ROWS,
    FIVES,
    HEIGHT,
    INPUT,
    LAST_VECTORS_OF_ROW,
    PARAMS,
    ROWS_IN_PLACE,
    STREAM_COLUMNS,
    STREAM_VECTORS,
    STREAMED_BYTES,
    VECTORS_OF_FEW_ROWS,
    VECTORS_OF_ROW,
    VECTORS_OF_TWO_ROWS,
    VERY_FEW_TERMS,
    WIDE,
    add_or_finish,
    bias_of,
    chain_length,
    finish,
)
from fastbp.kernels.tiles import (
    add,
    aligned,
    fma,
    fma_step,
    lanes_of,
    load_row,
    load_row_masked,
    moved,
    row,
    splat,
    store,
    store_masked,
    store_row_masked,
    width_of,
    zeros,
)
from fastbp.kernels.tiles.target import TARGET


@inlined
def _chain(tile, count, a, start, end, width, b, b_row, p):
    """The sums of the terms [start, end) of `count` rows of A, which begin at a; and those of the columns of B."""
    acc, sums = splat(tile, 0.0), splat(row(tile, 0), 0.0)
    for k in range(start, end):
        terms = load_row_masked(tile, b, k * b_row, width)
        acc = fma_step(acc, a, k * p.a_k, p.a_row, count, terms)
        sums = add(sums, terms)  # not compiled where nobody takes them
        never_unrolled()
    return acc, sums


@inlined
def _tile_and_sums(tile, count, i, j, width, b, b_row, p):
    """The rows [i, i + count) of the columns [j, j + width), whose part of B begins at b; the sums of these columns."""
    at, a, chain = i * p.M + j, moved(p.a, i * p.a_row), chain_length(p)
    if p.K <= chain:
        total, sums = _chain(tile, count, a, 0, p.K, width, b, b_row, p)
    else:
        chains = (p.K + chain - 1) // chain
        total, sums = _chain(tile, count, a, 0, p.K // chains, width, b, b_row, p)
        for c in range(1, chains):
            start, end = p.K * c // chains, p.K * (c + 1) // chains
            acc, more = _chain(tile, count, a, start, end, width, b, b_row, p)
            total, sums = add(acc, total), add(more, sums)
    total = add_or_finish(total, bias_of(tile, p, j, width), p, at, count, width)
    store_masked(total, p.out, at, p.M, count, width)
    return sums


@inlined
def _tile(tile, count, i, j, width, b, b_row, p):
    _tile_and_sums(tile, count, i, j, width, b, b_row, p)


@inlined
def _tile_with_sums(tile, count, i, j, width, b, b_row, p):
    store_row_masked(_tile_and_sums(tile, count, i, j, width, b, b_row, p), p.bias, j, width)


@inlined
def _left_over(rows):
    """How many of so many rows are better not done by tiles of ROWS_IN_PLACE: 13 are 8 and 5, 10 are 5 and 5."""
    last = rows % ROWS_IN_PLACE
    return last + ROWS_IN_PLACE if FIVES and rows > ROWS_IN_PLACE and last in (1, 2, 6, 7) else last


def _sweep(vectors, tile_of):
    """The function (j, width, lo, hi, b, b_row, p): rows [lo, hi) of columns that one tile covers."""

    @shared
    def sweep_in_place(j, width, lo, hi, b, b_row, p):
        tile, few, i = zeros(ROWS_IN_PLACE, vectors, p.out), zeros(FEW_ROWS, vectors, p.out), lo
        five, end = zeros(5, vectors, p.out), hi - _left_over(hi - lo)
        while i < end:
            tile_of(tile, ROWS_IN_PLACE, i, j, width, b, b_row, p)
            i += ROWS_IN_PLACE
        while FIVES and i < hi and (hi - i) in (5, 9, 10, 14, 15):
            tile_of(five, 5, i, j, width, b, b_row, p)
            i += 5
        while i < hi:
            if hi - lo < FEW_ROWS or (p.kind == PARAMS and p.fused):
                tile_of(few, min(FEW_ROWS, hi - i), i, j, width, b, b_row, p)
            else:  # rows that are computed twice cost less than rows that are masked
                tile_of(few, FEW_ROWS, min(i, hi - FEW_ROWS), j, width, b, b_row, p)
            i += FEW_ROWS

    return sweep_in_place


_sweep_three, _sweep_two, _sweep_one = _sweep(3, _tile), _sweep(2, _tile), _sweep(1, _tile)
_sums_two, _sums_one = _sweep(2, _tile_with_sums), _sweep(1, _tile_with_sums)


@shared
def _whole_tiles(left, right, lo, hi, p):
    """Rows [lo, hi) and columns [left, right) that are whole tiles: all columns of a row of tiles before the next."""
    tile = zeros(ROWS_IN_PLACE, WIDE, p.out)
    for i in range(lo, hi, ROWS_IN_PLACE):
        for j in range(left, right, width_of(tile)):
            at, a, full = i * p.M + j, moved(p.a, i * p.a_row), width_of(tile)
            acc, _ = _chain(tile, ROWS_IN_PLACE, a, 0, p.K, full, moved(p.b, j), p.M, p)
            acc = add_or_finish(acc, bias_of(tile, p, j, full), p, at, ROWS_IN_PLACE, full)
            store(acc, p.out, at, p.M)


@shared
def _by_columns(left, right, lo, hi, p):
    """Rows [lo, hi) and columns [left, right), those of a tile's width before the next."""
    lanes, at = lanes_of(p.out), aligned(p.scratch)
    for i in range(lo, hi, HEIGHT):
        end, j = min(i + HEIGHT, hi), left
        while j < right:
            vectors = panel_vectors(right - j, lanes)
            width = min(vectors * lanes, right - j)
            b, b_row = moved(p.b, j), p.M
            if p.kind == INPUT:
                b, b_row = moved(p.scratch, at), vectors * lanes
                pack_transposed(b_row, p, Panel(0, p.K, True, True, j, width, at, 0))
            if vectors == 3:
                _sweep_three(j, width, i, end, b, b_row, p)
            elif vectors == 2:
                _sweep_two(j, width, i, end, b, b_row, p)
            else:
                _sweep_one(j, width, i, end, b, b_row, p)
            j += width


@shared
def products_in_place(left, right, lo, hi, p):
    """Rows [lo, hi) and columns [left, right) of a product; a transpose of B is turned first, and has few terms."""
    full = WIDE * lanes_of(p.out)
    end, stop = hi - _left_over(hi - lo), right - (right - left) % full
    if p.kind != INPUT and p.K <= VERY_FEW_TERMS and end > lo and stop > left + full:
        _whole_tiles(left, stop, lo, end, p)
        _by_columns(stop, right, lo, hi, p)
        if end < hi:
            exact = hi - end > FEW_ROWS or (p.kind == PARAMS and p.fused)
            _by_columns(left, stop, end if exact else hi - FEW_ROWS, hi, p)
    else:
        _by_columns(left, right, lo, hi, p)


@shared
def narrow_dW_and_sums(left, right, lo, hi, p):
    """Rows [lo, hi) of columns [left, right) of dW, at most two vectors; their sums in B to p.bias."""
    if right - left > lanes_of(p.out):
        _sums_two(left, right - left, lo, hi, moved(p.b, left), p.M, p)
    elif right > left:
        _sums_one(left, right - left, lo, hi, moved(p.b, left), p.M, p)


# --- one row, and a few rows, of the forward product ---


@shared
def forward_of_few_rows(lo, hi, p):
    """Rows [lo, hi) of the forward product, at most FEW_ROWS: each line of B is read once."""
    two, long, four = (
        zeros(2, VECTORS_OF_FEW_ROWS, p.out),
        zeros(2, VECTORS_OF_TWO_ROWS, p.out),
        zeros(FEW_ROWS, VECTORS_OF_FEW_ROWS, p.out),
    )
    j = 0
    while j < p.M:
        left, b = p.M - j, moved(p.b, j)
        if hi - lo > 2:
            _tile(four, hi - lo, lo, j, min(width_of(four), left), b, p.M, p)
            j += width_of(four)
        elif left > width_of(two):
            _tile(long, hi - lo, lo, j, min(width_of(long), left), b, p.M, p)
            j += width_of(long)
        else:
            _tile(two, hi - lo, lo, j, left, b, p.M, p)
            j = p.M


@inlined
def _eight_terms(acc, factors, b, at, M):
    """acc + the eight terms of the rows of B from `at` on; eight broadcasts stay in registers along the rows."""
    acc = fma(row(factors, 0), load_row(acc, b, at), acc)
    acc = fma(row(factors, 1), load_row(acc, b, at + M), acc)
    acc = fma(row(factors, 2), load_row(acc, b, at + 2 * M), acc)
    acc = fma(row(factors, 3), load_row(acc, b, at + 3 * M), acc)
    acc = fma(row(factors, 4), load_row(acc, b, at + 4 * M), acc)
    acc = fma(row(factors, 5), load_row(acc, b, at + 5 * M), acc)
    acc = fma(row(factors, 6), load_row(acc, b, at + 6 * M), acc)
    return fma(row(factors, 7), load_row(acc, b, at + 7 * M), acc)


@inlined
def _stream(tile, i, p):
    """One row, of a tile's columns at least, by eight rows of B at a time along their columns; the sums in scratch."""
    full, chain, sums, x = width_of(tile), chain_length(p), aligned(p.scratch), i * p.a_row
    chains, totals, eight = max(1, (p.K + chain - 1) // chain), sums + STREAM_COLUMNS, zeros(8, STREAM_VECTORS, p.out)
    for start in range(0, p.M, STREAM_COLUMNS):
        stop = min(start + STREAM_COLUMNS, p.M)
        last = stop - full  # the last tile repeats columns of the one before: masks cost more
        for c in range(chains):
            first, end = p.K * c // chains, p.K * (c + 1) // chains
            whole = end - (end - first) % 8
            for k in range(first, whole, 8):
                factors = fma_step(eight, p.a, x + k, 1, 8, splat(row(eight, 0), 1.0))
                for j in range(start, stop, full):
                    acc, to = splat(tile, 0.0), sums + j - start
                    if k > first:
                        acc = load_row(tile, p.scratch, to)
                    store(_eight_terms(acc, factors, p.b, k * p.M + min(j, last), p.M), p.scratch, to, 0)
            for j in range(start, stop, full):
                acc, to, at = splat(tile, 0.0), j - start, min(j, last)
                if whole > first:
                    acc = load_row(tile, p.scratch, sums + to)
                for k in range(whole, end):
                    acc = fma_step(acc, p.a, x + k, 0, 1, load_row(tile, p.b, k * p.M + at))
                if c > 0:
                    acc = add(acc, load_row(tile, p.scratch, totals + to))
                if c < chains - 1:
                    store(acc, p.scratch, totals + to, 0)
                else:
                    acc = finish(acc, bias_of(tile, p, at, full), p, i * p.M + at, 1, full)
                    store(acc, p.out, i * p.M + at, 0)


@inlined
def _line(tile, i, j, width, p):
    """The columns [j, j + width) of row i."""
    at, chain = i * p.M + j, chain_length(p)
    chains, total = max(1, (p.K + chain - 1) // chain), splat(tile, 0.0)
    for c in range(chains):
        acc = splat(tile, 0.0)
        for k in range(p.K * c // chains, p.K * (c + 1) // chains):
            acc = fma_step(acc, p.a, i * p.a_row + k, 0, 1, load_row_masked(tile, p.b, k * p.M + j, width))
        total = acc if c == 0 else add(acc, total)
    store_masked(finish(total, bias_of(tile, p, j, width), p, at, 1, width), p.out, at, p.M, 1, width)


@shared
def forward_of_one_row(i, p):
    """Row i of the forward product: B is read once, where it lies."""
    line, few = zeros(1, VECTORS_OF_ROW, p.out), zeros(1, LAST_VECTORS_OF_ROW, p.out)
    stream = zeros(1, STREAM_VECTORS, p.out)
    if p.M >= width_of(stream) and p.K * p.M * (TARGET.vector_bytes // lanes_of(p.out)) > STREAMED_BYTES:
        _stream(stream, i, p)
    else:
        last = p.M - p.M % width_of(line)
        for j in range(0, last, width_of(line)):
            _line(line, i, j, width_of(line), p)
        for j in range(last, p.M, width_of(few)):
            _line(few, i, j, min(width_of(few), p.M - j), p)
