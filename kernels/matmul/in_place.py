"""Products that read B where it lies: those of few terms, of few rows, and of one row.

Where a sum has few terms, a panel isn't worth its copy, nor a tile a call: they are done in one loop, tile by tile.
"""

from fastbp.kernels.build.flags import inlined, shared
from fastbp.kernels.matmul.microkernel import never_unrolled
from fastbp.kernels.matmul.panels import Panel, pack_transposed, panel_vectors
from fastbp.kernels.matmul.product import (
    FEW_ROWS,
    HEIGHT,
    INPUT,
    LAST_VECTORS_OF_ROW,
    PARAMS,
    ROWS_IN_PLACE,
    STREAM_COLUMNS,
    STREAM_ROWS,
    STREAMED_BYTES,
    VECTORS_OF_FEW_ROWS,
    VECTORS_OF_ROW,
    add_or_finish,
    bias_of,
    chain_length,
    finish,
)
from fastbp.kernels.tiles import (
    add,
    aligned,
    fma_step,
    lanes_of,
    load_row,
    load_row_masked,
    moved,
    splat,
    store,
    store_masked,
    width_of,
    zeros,
)
from fastbp.kernels.tiles.target import TARGET


@inlined
def _chain(tile, count, a, start, end, width, b, b_row, p):
    """The sums of the terms [start, end) of `count` rows of A, which begin at a."""
    acc = splat(tile, 0.0)
    for k in range(start, end):
        acc = fma_step(acc, a, k * p.a_k, p.a_row, count, load_row_masked(tile, b, k * b_row, width))
        never_unrolled()
    return acc


@inlined
def _tile(tile, count, i, j, width, b, b_row, p):
    """The rows [i, i + count) of the columns [j, j + width), whose part of B begins at b."""
    at, a, chain = i * p.M + j, moved(p.a, i * p.a_row), chain_length(p)
    if p.K <= chain:
        total = _chain(tile, count, a, 0, p.K, width, b, b_row, p)
    else:
        chains = (p.K + chain - 1) // chain
        total = _chain(tile, count, a, 0, p.K // chains, width, b, b_row, p)
        for c in range(1, chains):
            start, end = p.K * c // chains, p.K * (c + 1) // chains
            total = add(_chain(tile, count, a, start, end, width, b, b_row, p), total)
    total = add_or_finish(total, bias_of(tile, p, j, width), p, at, count, width)
    store_masked(total, p.out, at, p.M, count, width)


def _sweep(vectors):
    """The function (j, width, lo, hi, b, b_row, p): rows [lo, hi) of columns that one tile covers."""

    @shared
    def sweep_in_place(j, width, lo, hi, b, b_row, p):
        tile, few, i = zeros(ROWS_IN_PLACE, vectors, p.out), zeros(FEW_ROWS, vectors, p.out), lo
        while i + ROWS_IN_PLACE <= hi:
            _tile(tile, ROWS_IN_PLACE, i, j, width, b, b_row, p)
            i += ROWS_IN_PLACE
        while i < hi:
            if hi - lo < FEW_ROWS or (p.kind == PARAMS and p.fused):
                _tile(few, min(FEW_ROWS, hi - i), i, j, width, b, b_row, p)
            else:  # rows that are computed twice cost less than rows that are masked
                _tile(few, FEW_ROWS, min(i, hi - FEW_ROWS), j, width, b, b_row, p)
            i += FEW_ROWS

    return sweep_in_place


_sweep_three, _sweep_two, _sweep_one = _sweep(3), _sweep(2), _sweep(1)


@shared
def products_in_place(left, right, lo, hi, p):
    """Rows [lo, hi) and columns [left, right) of a product; a transpose of B is turned first, and has few terms."""
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


# --- one row, and a few rows, of the forward product ---


@shared
def forward_of_few_rows(lo, hi, p):
    """Rows [lo, hi) of the forward product, at most FEW_ROWS: each line of B is read once."""
    tile = zeros(FEW_ROWS, VECTORS_OF_FEW_ROWS, p.out)
    for j in range(0, p.M, width_of(tile)):
        _tile(tile, hi - lo, lo, j, min(width_of(tile), p.M - j), moved(p.b, j), p.M, p)


@inlined
def _stream(tile, i, p):
    """One row against a B beyond the caches: long stretches of a few rows of it at a time, the sums in scratch."""
    full, chain, sums = width_of(tile), chain_length(p), aligned(p.scratch)
    chains, totals = max(1, (p.K + chain - 1) // chain), sums + STREAM_COLUMNS
    for start in range(0, p.M, STREAM_COLUMNS):
        stop = min(start + STREAM_COLUMNS, p.M)
        for c in range(chains):
            first, end = p.K * c // chains, p.K * (c + 1) // chains
            for k in range(first, max(end, 1), STREAM_ROWS):
                last = min(k + STREAM_ROWS, end)
                for j in range(start, stop, full):
                    width, acc = min(full, stop - j), splat(tile, 0.0)
                    if k > first:
                        acc = load_row(tile, p.scratch, sums + j - start)
                    for each in range(k, last):
                        terms = load_row_masked(tile, p.b, each * p.M + j, width)
                        acc = fma_step(acc, p.a, i * p.a_row + each, 0, 1, terms)
                    if last < end:
                        store(acc, p.scratch, sums + j - start, 0)
                    else:
                        if c > 0:
                            acc = add(acc, load_row(tile, p.scratch, totals + j - start))
                        if c < chains - 1:
                            store(acc, p.scratch, totals + j - start, 0)
                        else:
                            at = i * p.M + j
                            acc = finish(acc, bias_of(tile, p, j, width), p, at, 1, width)
                            store_masked(acc, p.out, at, p.M, 1, width)


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
    """Row i of the forward product: wide tiles read B once, where it lies."""
    if p.K * p.M * (TARGET.vector_bytes // lanes_of(p.out)) > STREAMED_BYTES:
        _stream(zeros(1, LAST_VECTORS_OF_ROW, p.out), i, p)
    else:
        line, few = zeros(1, VECTORS_OF_ROW, p.out), zeros(1, LAST_VECTORS_OF_ROW, p.out)
        last = p.M - p.M % width_of(line)
        for j in range(0, last, width_of(line)):
            _line(line, i, j, width_of(line), p)
        for j in range(last, p.M, width_of(few)):
            _line(few, i, j, min(width_of(few), p.M - j), p)
