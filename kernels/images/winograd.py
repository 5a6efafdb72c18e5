"""Convolution of 3 x 3 filters by tiles of 2 x 2 results, with 16 multiplications instead of 36.

A tile of results is A.T ((B.T x B) * (G w G.T)) A, for the 4 x 4 pixels x that it sees and a filter w (Winograd's
minimal filtering; A. Lavin, S. Gray: Fast Algorithms for Convolutional Neural Networks, 2016):

    B.T  1  0 -1  0        G   1   0   0        A.T  1  1  1  0
         0  1  1  0            ½   ½   ½             0  1 -1 -1
         0 -1  1  0            ½  -½   ½
         0  1  0 -1            0   0   1

Each of the 16 elements of (...) * (...), summed over channels, is a product of matrices: what all tiles see, times the
filters' factors. dx is the same of dout and the filters turned around; dW is the transpose: G.T ((B.T x B) * (A dout
A.T)) G. Pixels are summed along rows of tiles, results and filters along channels: so nothing is transposed but the
results.

Sums of pixels may be infinite, or NaN, where those of products are not: where a result isn't finite the caller computes
it directly. What isn't finite never leads to a result that is: x0 is part of x0 - x2 alone, and that of the first
result alone. Finite sums cancel: a tile multiplies pixels with weights that meet in a result of its neighbours, as x2
and the first weight, and takes them away again. So its rounding is that of a large result nearby; but at the border,
where there is no such neighbour, of something that nobody sees: the caller looks at the tiles there.
"""

from fastbp.kernels.build.flags import inlined, shared, shared_number
from fastbp.kernels.images.planes import fill_up
from fastbp.kernels.images.products import panel_vectors
from fastbp.kernels.images.tiling import TERMS, phase_size, seen_size
from fastbp.kernels.tiles import (
    absolute,
    first_element,
    fma,
    lanes_of,
    load_row,
    load_row_masked,
    maximum,
    moved,
    row_max,
    store,
    sum_of_rows,
    width_of,
    zeros,
)
from fastbp.kernels.tiles.strided import evens, odds


@inlined
def _seen(a, b, c, d):
    """B.T"""
    return a - c, b + c, c - b, b - d


@inlined
def _factors(a, b, c):
    """G"""
    outer, inner = (a + c) * 0.5, b * 0.5
    return a, outer + inner, outer - inner, c


@inlined
def _results(a, b, c, d):
    """A.T"""
    return a + b + c, b - c - d


@inlined
def _gradient_of_results(a, b):
    """A"""
    return a, a + b, a - b, -b


@inlined
def _gradient_of_factors(a, b, c, d):
    """G.T"""
    both = (b + c) * 0.5
    return a + both, (b - c) * 0.5, both + d


@inlined
def _store_four(tiles, to, at, step):
    a, b, c, d = tiles
    store(a, to, at, 0)
    store(b, to, at + step, 0)
    store(c, to, at + 2 * step, 0)
    store(d, to, at + 3 * step, 0)


@inlined
def _store_three(tiles, to, at, step):
    a, b, c = tiles
    store(a, to, at, 0)
    store(b, to, at + step, 0)
    store(c, to, at + 2 * step, 0)


@inlined
def _load_three(like, source, at, step):
    return load_row(like, source, at), load_row(like, source, at + step), load_row(like, source, at + 2 * step)


@inlined
def _load_four(like, source, at, step):
    return (
        load_row(like, source, at),
        load_row(like, source, at + step),
        load_row(like, source, at + 2 * step),
        load_row(like, source, at + 3 * step),
    )


# --- what tiles see ---


@shared
def put_phases(t, x, to):
    """An image (inner, H, W) as four planes of each channel, of its rows and columns with their border, even and odd.

    Whole vectors are stored: past a row are zeros, of the border or where the next rows come later.
    """
    two, one = zeros(1, 2, to), phase_size(t)
    even, odd = t.pad % 2 * one + t.pad // 2, (1 - t.pad % 2) * one + (t.pad + 1) // 2
    for c in range(t.inner):
        for phase in range(2):
            first = (phase + t.pad) % 2  # row of the image that lies in it
            source = moved(x, (c * t.H + first) * t.W)
            target = moved(to, (4 * c + 2 * phase) * one + (first + t.pad) // 2 * (t.wide + 1))
            for h in range((t.H + 1 - first) // 2):
                given, taken = moved(source, 2 * h * t.W), moved(target, h * (t.wide + 1))
                if t.W <= width_of(two):  # its masks are those of all rows
                    _put_row(load_row_masked(two, given, 0, t.W), taken, even, odd)
                else:
                    for j in range(0, t.W, width_of(two)):
                        _put_row(load_row_masked(two, given, j, t.W - j), moved(taken, j // 2), even, odd)


@inlined
def _put_row(pixels, to, even, odd):
    store(evens(pixels), to, even, 0)
    store(odds(pixels), to, odd, 0)


@shared
def see_tiles(t, images, top, rows, planes, seen):
    """seen (TERMS, inner, tiles) = B.T x B of rows of tiles from `top` on; of each row one tile more than there is."""
    line, one, wide, every = zeros(1, 1, seen), phase_size(t), t.wide + 1, t.inner * t.step
    for c in range(t.inner):
        for n in range(images):
            source = moved(planes, (n * t.inner + c) * 4 * one + top * wide)
            for q in range(0, rows * wide, lanes_of(line)):
                a = _seen_column(line, source, q, one, wide)
                b = _seen_column(line, source, q + one, one, wide)
                c_ = _seen_column(line, source, q + 1, one, wide)
                d = _seen_column(line, source, q + one + 1, one, wide)
                at = c * t.step + n * seen_size(rows, t.wide) + q
                _store_four(_seen(a[0], b[0], c_[0], d[0]), seen, at, every)
                _store_four(_seen(a[1], b[1], c_[1], d[1]), seen, at + 4 * every, every)
                _store_four(_seen(a[2], b[2], c_[2], d[2]), seen, at + 8 * every, every)
                _store_four(_seen(a[3], b[3], c_[3], d[3]), seen, at + 12 * every, every)


@inlined
def _seen_column(line, source, at, one, wide):
    """B.T of a column of the four: rows 0 and 2 lie in one phase, 1 and 3 in another."""
    return _seen(
        load_row(line, source, at),
        load_row(line, source, at + 2 * one),
        load_row(line, source, at + wide),
        load_row(line, source, at + 2 * one + wide),
    )


@inlined
def tables_of_tiles(t, images, rows, row, tiles, tiles_to):
    """Where tiles lie in a channel of `seen`, and where rows of so many elements; how many there are."""
    r = 0
    for n in range(images):
        for i in range(rows):
            for j in range(t.wide):
                tiles[r], tiles_to[r] = n * seen_size(rows, t.wide) + i * (t.wide + 1) + j, r * row
                r += 1
    fill_up(tiles, r)
    fill_up(tiles_to, r)
    return r


@inlined
def tables_of_channels(t, row, channels, channels_to):
    """Where channels begin in `seen`, and where rows of so many elements."""
    for c in range(t.inner):
        channels[c], channels_to[c] = c * t.step, c * row
    fill_up(channels, t.inner)
    fill_up(channels_to, t.inner)


# --- filters ---


@shared
def make_factors(inner, columns, turned, panels, factors):
    """factors (TERMS, inner, columns) = G w G.T of filters (inner, 9, columns); if `turned` of those turned around.

    Of both the columns lie in panels, one behind the other.
    """
    line, every, f = zeros(1, 1, factors), inner * columns, 0
    while f < columns:
        full = panel_vectors(columns - f, lanes_of(line)) * lanes_of(line)
        source, target = moved(panels, f * inner * 9), moved(factors, f * inner)
        first, step = (8 * full, -full) if turned else (0, full)
        for c in range(inner):
            for v in range(0, full, lanes_of(line)):
                at, to = c * 9 * full + first + v, c * full + v
                a = _factors(*_load_three(line, source, at, 3 * step))
                b = _factors(*_load_three(line, source, at + step, 3 * step))
                c_ = _factors(*_load_three(line, source, at + 2 * step, 3 * step))
                _store_four(_factors(a[0], b[0], c_[0]), target, to, every)
                _store_four(_factors(a[1], b[1], c_[1]), target, to + 4 * every, every)
                _store_four(_factors(a[2], b[2], c_[2]), target, to + 8 * every, every)
                _store_four(_factors(a[3], b[3], c_[3]), target, to + 12 * every, every)
        f += full


@shared_number
def add_up_factors(inner, columns, gradients, sums):
    """sums (inner, 9, columns) = G.T gradients G; NaN where one isn't finite."""
    line, every = zeros(1, 1, sums), inner * columns
    finite = line
    for c in range(inner):
        for v in range(0, columns, lanes_of(line)):
            at, to = c * columns + v, c * 9 * columns + v
            a = _gradient_of_factors(*_load_four(line, gradients, at, 4 * every))
            b = _gradient_of_factors(*_load_four(line, gradients, at + every, 4 * every))
            c_ = _gradient_of_factors(*_load_four(line, gradients, at + 2 * every, 4 * every))
            d = _gradient_of_factors(*_load_four(line, gradients, at + 3 * every, 4 * every))
            first = _gradient_of_factors(a[0], b[0], c_[0], d[0])
            second = _gradient_of_factors(a[1], b[1], c_[1], d[1])
            third = _gradient_of_factors(a[2], b[2], c_[2], d[2])
            _store_three(first, sums, to, columns)
            _store_three(second, sums, to + 3 * columns, columns)
            _store_three(third, sums, to + 6 * columns, columns)
            total = first[0] + first[1] + first[2] + second[0] + second[1] + second[2] + third[0] + third[1] + third[2]
            finite = fma(total, 0.0, finite)
    return first_element(sum_of_rows(finite))


# --- results ---


@inlined
def _larger(largest, source, at, step):
    """The larger of magnitudes, of four lines; NaN left out."""
    a, b, c, d = _load_four(largest, source, at, step)
    both, others = maximum(absolute(a), absolute(b)), maximum(absolute(c), absolute(d))
    return maximum(maximum(both, others), largest)


@shared_number
def add_up_terms(t, top, rows, first, terms, every, columns, sums):
    """sums (pixels, columns) = A.T terms A, of rows of an image's tiles from `top` on.

    Its tiles are those from the `first` on. What lies outside of the image goes behind its last pixel. Returned is the
    largest term of the tiles at the border, NaN where a sum isn't finite.
    """
    line = zeros(1, 1, sums)
    finite, largest, outside = line, line, t.OH * t.OW
    for i in range(rows):
        for j in range(t.wide):
            p = 2 * (top + i) * t.OW + 2 * j
            right = p + 1 if 2 * j + 1 < t.OW else outside
            below = p + t.OW if 2 * (top + i) + 1 < t.OH else outside
            last = below + 1 if right != outside and below != outside else outside
            at = (first + i * t.wide + j) * columns
            for f in range(0, columns, lanes_of(line)):
                a = _results(*_load_four(line, terms, at + f, 4 * every))
                b = _results(*_load_four(line, terms, at + f + every, 4 * every))
                c = _results(*_load_four(line, terms, at + f + 2 * every, 4 * every))
                d = _results(*_load_four(line, terms, at + f + 3 * every, 4 * every))
                upper, lower = _results(a[0], b[0], c[0], d[0]), _results(a[1], b[1], c[1], d[1])
                store(lower[1], sums, last * columns + f, 0)
                store(lower[0], sums, below * columns + f, 0)
                store(upper[1], sums, right * columns + f, 0)
                store(upper[0], sums, p * columns + f, 0)
                finite = fma((upper[0] + upper[1]) + (lower[0] + lower[1]), 0.0, finite)
            if top + i == 0 or top + i == t.high - 1 or j == 0 or j == t.wide - 1:
                for f in range(0, columns, lanes_of(line)):
                    for row in range(TERMS // 4):
                        largest = _larger(largest, terms, at + f + row * every, 4 * every)
    return first_element(sum_of_rows(finite)) + row_max(largest, 0)


@shared
def spread_gradient(t, top, rows, full, pixels, terms, every):
    """terms (TERMS, tiles, full) = A dout A.T, of rows of tiles from `top` on; `pixels` (rows of dout, full).

    Behind its last pixel is a row of zeros, for what lies outside of the image.
    """
    line, high = zeros(1, 1, terms), min(2 * rows, t.OH - 2 * top)
    outside = high * t.OW
    for v in range(0, full, lanes_of(line)):
        store(line, pixels, outside * full + v, 0)
    for i in range(rows):
        for j in range(t.wide):
            p = 2 * i * t.OW + 2 * j
            right = p + 1 if 2 * j + 1 < t.OW else outside
            below = p + t.OW if 2 * i + 1 < high else outside
            last = below + 1 if right != outside and below != outside else outside
            to = (i * t.wide + j) * full
            for v in range(0, full, lanes_of(line)):
                a = _gradient_of_results(load_row(line, pixels, p * full + v), load_row(line, pixels, below * full + v))
                b = _gradient_of_results(
                    load_row(line, pixels, right * full + v), load_row(line, pixels, last * full + v)
                )
                _store_four(_gradient_of_results(a[0], b[0]), terms, to + v, every)
                _store_four(_gradient_of_results(a[1], b[1]), terms, to + v + 4 * every, every)
                _store_four(_gradient_of_results(a[2], b[2]), terms, to + v + 8 * every, every)
                _store_four(_gradient_of_results(a[3], b[3]), terms, to + v + 12 * every, every)
