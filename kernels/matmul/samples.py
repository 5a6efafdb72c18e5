"""The first layer's products, of samples that are read where they lie in the data set: no batch is copied together.

    forward_of_samples    out = x[rows] @ W + b
    params_of_samples     dW = x[rows].T @ dout

`places` (N + PLACES_BEHIND,) says where each sample of a batch begins, the last one repeated. Otherwise these are the
products of `panels`: tiles sweep over a panel of B, which the first of them copies to scratch on its way. A step of
784-50-10 that copies its samples together first takes 205 µs instead of 161 (EPYC of Zen 4, AVX-512).
"""

from fastbp.kernels.build.flags import inlined, shared
from fastbp.kernels.matmul.edges import columns_in_scratch, put_columns
from fastbp.kernels.matmul.panels import Panel, finish_tile, pack_panel, panel_vectors
from fastbp.kernels.matmul.product import (
    DEPTH,
    DOT_DEPTH,
    FEW_ROWS,
    FORWARD,
    LAST_COLUMNS_VECTORS,
    PACK_COLUMNS,
    PARAMS,
    ROWS_DOT,
    TILE_VECTORS,
    WIDE,
    Next,
    Product,
    bias_of,
    few_last_columns,
    finish,
)
from fastbp.kernels.matmul.sample_loops import FEATURES_KERNELS, ROWS_OF_FEATURES, ROWS_OF_SAMPLES, SAMPLES_KERNELS
from fastbp.kernels.tiles import (
    add,
    add_row_sums,
    address_as_bytes,
    aligned,
    fma,
    fma_step,
    lanes_of,
    load_masked,
    load_row,
    load_row_masked,
    moved,
    prefetch_line,
    row,
    rows_of,
    splat,
    store,
    store_masked,
    width_of,
    zeros,
)
from fastbp.kernels.tiles.strided import load_rows, row_pointers

PLACES_BEHIND = 8  # a tile of samples may reach that far behind the last one
MOST_COLUMNS = PACK_COLUMNS - 1  # of a wider dW a part of x is copied anyway


# --- rows of tiles over a panel ---


def _sweep_samples(rows, vectors):
    """The function (lo, hi, p, places, panel): rows [lo, hi) of the forward product times a panel so wide."""
    read, fill, read_few = SAMPLES_KERNELS[vectors]

    @shared
    def sweep_samples(lo, hi, p, places, panel):
        few, i = zeros(FEW_ROWS, vectors, p.out), lo
        full, a, b = width_of(few), moved(p.a, panel.k), moved(p.scratch, panel.at)
        whole, buffer = panel.width == full, moved(p.scratch, panel.at - TILE_VECTORS * lanes_of(p.out))
        fills = whole and hi - lo >= rows
        if not fills:
            pack_panel(row(few, 0), p, panel)
        while i < hi:
            count = rows if hi - i >= rows else min(FEW_ROWS, hi - i)
            at, of, in_place = i * p.M + panel.j, moved(places, i), whole and count >= FEW_ROWS
            c, c_row, adds = moved(p.out, at), p.M, not panel.first
            if not in_place:
                c, c_row, adds = buffer, full, False
            if count < rows:
                read_few(panel.depth, a, of, b, full, b, c, c_row, adds)
            elif fills and i == lo:
                fill(panel.depth, a, of, moved(p.b, panel.k * p.M + panel.j), p.M, b, c, c_row, adds)
            else:
                read(panel.depth, a, of, b, full, b, c, c_row, adds)
            if panel.last or not in_place:
                finish_tile(few, count, panel.width, c, c_row, in_place or panel.first, panel.last, p, at, panel.j)
            i += count

    return sweep_samples


@inlined
def _ask_for_pages(ahead):
    """Has the processor look up all pages of the next samples at once: one by one, among the multiply-adds, each look
    held these up, and a step of 784-50-10 took 168 µs instead of 161 (EPYC of Zen 4).
    """
    for n in range(ahead.lo, ahead.hi if ahead.size > 0 else ahead.lo):
        place = ahead.rows[n] * ahead.size
        prefetch_line(ahead.x, place)
        prefetch_line(ahead.x, place + ahead.size - 1)


def _sweep_features(rows, vectors):
    """The function (lo, hi, p, places, ahead, panel): rows [lo, hi) of dW, as many features, times a panel so wide."""
    read, fill, read_few = FEATURES_KERNELS[vectors]

    @shared
    def sweep_features(lo, hi, p, places, ahead, panel):
        few, i = zeros(FEW_ROWS, vectors, p.out), lo
        full, of, b = width_of(few), moved(places, panel.k), moved(p.scratch, panel.at)
        whole, buffer = panel.width == full, moved(p.scratch, panel.at - TILE_VECTORS * lanes_of(p.out))
        fills, factor = whole and hi - lo >= rows, moved(b, panel.depth * full)
        factor[0] = p.alpha if p.fused else 1.0
        if not fills:
            pack_panel(row(few, 0), p, panel)
        while i < hi:
            count = rows if hi - i >= rows else min(FEW_ROWS, hi - i)
            at, a, in_place = i * p.M + panel.j, moved(p.a, i), whole and count >= FEW_ROWS
            c, c_row, adds = moved(p.out, at), p.M, p.fused or not panel.first
            if not in_place:
                c, c_row, adds = buffer, full, False
            line, step = ahead.x, 0
            if ahead.size > 0 and panel.first and panel.j == 0:
                which = ahead.rows[ahead.lo + (ahead.hi - ahead.lo) * (i - lo) // (hi - lo)]
                line, step = moved(ahead.x, which * ahead.size), (ahead.size - 1) // panel.depth + 1
            if count < rows:
                read_few(panel.depth, count, a, of, b, full, b, c, c_row, factor, adds, line, step)
            elif fills and i == lo:
                given = moved(p.b, panel.k * p.M + panel.j)
                fill(panel.depth, rows, a, of, given, p.M, b, c, c_row, factor, adds, line, step)
            else:
                read(panel.depth, rows, a, of, b, full, b, c, c_row, factor, adds, line, step)
            if not in_place:
                finish_tile(few, count, panel.width, c, c_row, panel.first, panel.last, p, at, panel.j)
            i += count

    return sweep_features


_samples_wide, _samples_two, _samples_one = (_sweep_samples(ROWS_OF_SAMPLES[v], v) for v in (WIDE, 2, 1))
_features_wide, _features_two, _features_one = (_sweep_features(ROWS_OF_FEATURES[v], v) for v in (WIDE, 2, 1))


@inlined
def _panels(lo, hi, columns, p, places, ahead):
    """Rows [lo, hi) of the first columns of either product."""
    lanes = lanes_of(p.out)
    at, blocks = aligned(p.scratch) + TILE_VECTORS * lanes, max(1, (p.K + DEPTH - 1) // DEPTH)
    for block in range(blocks):
        k, j = p.K * block // blocks, 0
        depth, first, last = p.K * (block + 1) // blocks - k, block == 0, block == blocks - 1
        while j < columns:
            vectors = panel_vectors(columns - j, lanes)
            width = min(vectors * lanes, columns - j)
            panel = Panel(k, depth, first, last, j, width, at, 0)
            if p.kind == FORWARD:
                if vectors == WIDE:
                    _samples_wide(lo, hi, p, places, panel)
                elif vectors == 2:
                    _samples_two(lo, hi, p, places, panel)
                else:
                    _samples_one(lo, hi, p, places, panel)
            elif vectors == WIDE:
                _features_wide(lo, hi, p, places, ahead, panel)
            elif vectors == 2:
                _features_two(lo, hi, p, places, ahead, panel)
            else:
                _features_one(lo, hi, p, places, ahead, panel)
            j += width


# --- a few last columns, a vector of terms or of features at a time ---


@shared
def _last_columns(lo, hi, count, p, places):
    """The last `count` columns of the rows [lo, hi) of the forward product, as dot products; K in whole vectors."""
    tile, j = zeros(ROWS_DOT, 1, p.out), p.M - count
    for start in range(0, p.K, DOT_DEPTH):
        depth = min(DOT_DEPTH, p.K - start)
        b, b_at, step = columns_in_scratch(p, j, count, start, depth)
        for i in range(lo, hi, ROWS_DOT):
            rows, at, begins = min(hi - i, ROWS_DOT), i * p.M + j, row_pointers(tile, p.a, moved(places, i))
            acc = splat(tile, 0.0)
            if start > 0:
                acc = load_masked(tile, p.out, at, p.M, rows, count)
            for column in range(0, count, 2):
                other = min(column + 1, count - 1)
                sum0, sum1 = splat(tile, 0.0), splat(tile, 0.0)
                for k in range(0, depth, lanes_of(tile)):
                    terms = load_rows(tile, begins, start + k)
                    sum0 = fma(terms, load_row(tile, b, b_at + column * step + k), sum0)
                    sum1 = fma(terms, load_row(tile, b, b_at + other * step + k), sum1)
                acc = add_row_sums(acc, column, sum0)
                if other > column:
                    acc = add_row_sums(acc, other, sum1)
            if start + depth == p.K:
                acc = finish(acc, bias_of(tile, p, j, count), p, at, rows, count)
            store_masked(acc, p.out, at, p.M, rows, count)


@shared
def _last_columns_of_dW(lo, hi, count, p, places):
    """The last `count` columns of the rows [lo, hi) of dW."""
    tile, at = zeros(2, LAST_COLUMNS_VECTORS, p.out), aligned(p.scratch)
    full = width_of(tile)
    for i in range(lo, hi, full):
        width = min(full, hi - i)
        for j in range(p.M - count, p.M, rows_of(tile)):
            columns, total = min(p.M - j, rows_of(tile)), splat(tile, 0.0)
            for start in range(0, p.K, DEPTH):
                acc, end = splat(tile, 0.0), min(start + DEPTH, p.K)
                if width == full:  # masks cost
                    for k in range(start, end):
                        acc = fma_step(acc, p.b, k * p.M + j, 1, columns, load_row(tile, p.a, places[k] + i))
                else:
                    for k in range(start, end):
                        terms = load_row_masked(tile, p.a, places[k] + i, width)
                        acc = fma_step(acc, p.b, k * p.M + j, 1, columns, terms)
                total = add(total, acc)
            store(total, p.scratch, at, full)
            put_columns(columns, width, i, j, at, full, p)


# --- the two products ---


@inlined
def _tail(N, D, M, like):
    return few_last_columns(M, D, like) if N > FEW_ROWS and D % lanes_of(like) == 0 else 0


@shared
def forward_of_samples(lo, hi, N, D, M, x, places, W, b, out, mask, rectified, scratch):
    """out = x[rows] @ W + b, the rows [lo, hi); if rectified its ReLU, and the mask of that."""
    tail, p = _tail(N, D, M, out), Product(FORWARD, x, D, 1, N, D, W, out, M, b, mask, 0.0, rectified, scratch)
    nothing = address_as_bytes(0)
    if lo < hi:
        _panels(lo, hi, M - tail, p, places, Next(nothing, 0, places, 0, 0))
        if tail:
            _last_columns(lo, hi, tail, p, places)


@shared
def params_of_samples(lo, hi, N, D, M, dout, x, places, alpha, adds, dW, scratch, ahead):
    """dW = x[rows].T @ dout, the rows [lo, hi), or if it adds dW += alpha * that; asks for the next batch meanwhile."""
    tail, mask = _tail(N, D, M, dW), address_as_bytes(0)
    p = Product(PARAMS, x, 1, D, D, N, dout, dW, M, dW, mask, alpha, adds, scratch)
    if lo < hi:
        _ask_for_pages(ahead)
        _panels(lo, hi, M - tail, p, places, ahead)
        if tail:
            _last_columns_of_dW(lo, hi, tail, p, places)
