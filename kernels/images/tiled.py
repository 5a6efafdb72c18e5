"""Convolutions of 3 x 3 filters by tiles (`kernels.images.winograd`), and directly where those aren't as exact.

That is where their sums overflow; and of an image at whose border pixels are large that no result has much of, such as
one that only zeros of the filters meet. A tile adds them and takes them away again, and what is left is their rounding.
"""

from fastbp.kernels.build.flags import inlined, shared
from fastbp.kernels.images.direct import add_gradients_directly, convolve_directly, see_back, table
from fastbp.kernels.images.planes import clear
from fastbp.kernels.images.products import (
    add_rows_of_panel,
    multiply_filters,
    multiply_panel,
    pack_filters,
    pack_transposed,
    panel_vectors,
    put_gradient,
    put_pixels,
)
from fastbp.kernels.images.shape import shares
from fastbp.kernels.images.tiling import (
    TERMS,
    filled,
    phase_size,
    term_size,
    tiling_of_dout,
    tiling_of_x,
    tiling_shares,
)
from fastbp.kernels.images.winograd import (
    add_up_factors,
    add_up_terms,
    make_factors,
    put_phases,
    see_tiles,
    spread_gradient,
    tables_of_channels,
    tables_of_tiles,
)
from fastbp.kernels.tiles import absolute, add, lanes_of, load_row_masked, maximum, moved, row_max, width_of, zeros
from fastbp.kernels.tiles.target import TARGET


@inlined
def _shares(s, width):
    return tiling_shares(s, shares(s, width).end, width)


# How many times the largest result may be less than a term of a tile at the border, times the root of the channels; and
# LIMIT_OF_SUMS, times that root, less than a weight times a pixel's sum over channels: as large a term may have been on
# the way, where channels cancel. For pixels of all sizes beside filters with rows and columns of zeros, of 16 to 128
# channels random, all alike, or in two halves that cancel, errors are at most 8e-6 of the largest result in float32,
# 7e-14 in float64 (EPYC of Zen 5). Random numbers reach two thirds of LIMIT, three quarters of LIMIT_OF_SUMS.
LIMIT, LONG_LIMIT = 30.0, 2000.0
LIMIT_OF_SUMS = 0.75  # times the root of the channels


@inlined
def _largest(size, values, like):
    """The largest magnitude of values[:size], NaN left out."""
    found = zeros(1, 4, like)
    for i in range(0, size, width_of(found)):
        found = maximum(absolute(load_row_masked(found, values, i, size - i)), found)
    return row_max(found, 0)


@inlined
def _largest_sum(channels, pixels, image, like):
    """The largest sum of a pixel's magnitudes over the channels, NaN left out."""
    found = zeros(1, 4, like)
    for p in range(0, pixels, width_of(found)):
        total = zeros(1, 4, like)
        for c in range(channels):
            total = add(total, absolute(load_row_masked(total, image, c * pixels + p, pixels - p)))
        found = maximum(total, found)
    return row_max(found, 0)


@inlined
def _is_exact(t, weight, image, term, results, sums):
    """Whether the largest result is large beside the rounding of the tiles at the border; no where a term is NaN."""
    limit = LIMIT if TARGET.vector_bytes // lanes_of(sums) == 4 else LONG_LIMIT
    root, largest = t.inner**0.5, _largest(results, sums, sums)
    on_the_way = weight * _largest_sum(t.inner, t.H * t.W, image, sums)
    return term * root <= limit * largest and on_the_way <= LIMIT_OF_SUMS * root * largest


@inlined
def _ready(t, at, row, scratch):
    """Planes of zeros, and tables of channels."""
    clear(moved(scratch, at.planes), t.images * t.inner * 4 * phase_size(t))
    tables_of_channels(t, row, table(scratch, at.channels), table(scratch, at.channels_to))


@inlined
def _put_images(t, at, begin, count, given, scratch):
    """Images from `begin` on to their planes."""
    size, one = t.inner * t.H * t.W, t.inner * 4 * phase_size(t)
    for n in range(count):
        put_phases(t, moved(given, (begin + n) * size), moved(scratch, at.planes + n * one))


@inlined
def _see(t, at, count, top, rows, row, scratch):
    """What tiles see, and the tables of these tiles; how many there are."""
    see_tiles(t, count, top, rows, moved(scratch, at.planes), moved(scratch, at.seen))
    return tables_of_tiles(t, count, rows, row, table(scratch, at.tiles), table(scratch, at.tiles_to))


@inlined
def _results(t, at, begin, count, columns, weight, given, scratch):
    """The sums (pixels, columns) of the images in the planes; those that aren't exact, a bit for each."""
    every, P, seen = term_size(t, lanes_of(scratch)), t.OH * t.OW, t.inner * t.step
    tiles, tiles_to, channels = table(scratch, at.tiles), table(scratch, at.tiles_to), table(scratch, at.channels)
    not_exact, term_at_border = 0, 0.0
    for top in range(0, t.high, t.rows):
        rows = min(t.rows, t.high - top)
        number = _see(t, at, count, top, rows, columns, scratch)
        for term in range(TERMS):
            a, to = moved(scratch, at.seen + term * seen), moved(scratch, at.terms + term * every)
            factors = moved(scratch, at.factors + term * t.inner * columns)
            multiply_filters(number, t.inner, columns, a, tiles, channels, factors, to, tiles_to)
        for n in range(count):
            terms, sums = moved(scratch, at.terms), moved(scratch, at.sums + n * P * columns)
            found = add_up_terms(t, top, rows, n * rows * t.wide, terms, every, columns, sums)
            if top == 0 or term_at_border < found or found != found:  # the largest, or NaN; an image in parts is alone
                term_at_border = found
            image = moved(given, (begin + n) * t.inner * t.H * t.W)
            if top + rows == t.high and not _is_exact(t, weight, image, term_at_border, P * columns, sums):
                not_exact |= 1 << n
    return not_exact


@shared
def convolve_tiles(lo, hi, s, x, W, b, out, mask, rectified, scratch):
    """`convolve_directly`, by tiles."""
    t, at, P = tiling_of_x(s), _shares(s, lanes_of(out)), s.OH * s.OW
    wide, bias = filled(s.FN, lanes_of(out)), moved(scratch, shares(s, lanes_of(out)).bias)
    pack_filters(s.FN, s.C * 9, W, scratch)
    make_factors(s.C, wide, False, scratch, moved(scratch, at.factors))
    weight = _largest(s.FN * s.C * 9, W, scratch)
    for f in range(s.FN):
        bias[f] = b[f]
    _ready(t, at, wide, scratch)
    for begin in range(lo, hi, t.images):
        count = min(t.images, hi - begin)
        _put_images(t, at, begin, count, x, scratch)
        not_exact = _results(t, at, begin, count, wide, weight, x, scratch)
        for n in range(count):
            sums, place = moved(scratch, at.sums + n * P * wide), (begin + n) * s.FN * P
            put_pixels(P, s.FN, sums, wide, bias, moved(out, place), moved(mask, place), rectified)
        for n in range(count):
            if not_exact & (1 << n) != 0:
                convolve_directly(begin + n, begin + n + 1, s, x, W, b, out, mask, rectified, scratch)


@inlined
def begin_tiles_back(s, scratch):
    """The factors of filters that lie in scratch, turned."""
    at = _shares(s, lanes_of(scratch))
    make_factors(s.FN, filled(s.C, lanes_of(scratch)), True, scratch, moved(scratch, at.factors))


@shared
def see_tiles_back(lo, hi, s, dout, W, dx, scratch):
    """`see_back`, by tiles."""
    t, at, size = tiling_of_dout(s), _shares(s, lanes_of(dout)), s.H * s.W
    wide, weight = filled(s.C, lanes_of(dout)), _largest(s.FN * s.C * 9, W, scratch)
    _ready(t, at, wide, scratch)
    for begin in range(lo, hi, t.images):
        count = min(t.images, hi - begin)
        _put_images(t, at, begin, count, dout, scratch)
        not_exact = _results(t, at, begin, count, wide, weight, dout, scratch)
        for n in range(count):
            sums, image = moved(scratch, at.sums + n * size * wide), moved(dx, (begin + n) * s.C * size)
            put_gradient(size, s.C, sums, wide, image)
        for n in range(count):
            if not_exact & (1 << n) != 0:
                see_back(begin + n, begin + n + 1, s, dout, dx, scratch)


@inlined
def _add_gradients(t, at, s, begin, count, top, rows, wide, dout, sums, more, scratch):
    """Adds rows of tiles of some images to the gradients of factors and, in sums, of b."""
    every, seen, P = term_size(t, lanes_of(scratch)), t.inner * t.step, s.OH * s.OW
    number, lanes, f = _see(t, at, count, top, rows, wide, scratch), lanes_of(scratch), 0
    tiles, channels, to = table(scratch, at.tiles), table(scratch, at.channels), table(scratch, at.channels_to)
    pixels, one = moved(scratch, at.sums), rows * t.wide
    while f < wide:
        vectors = panel_vectors(wide - f, lanes)
        full = vectors * lanes
        for n in range(count):
            given = moved(dout, ((begin + n) * s.FN + f) * P + 2 * top * s.OW)
            pack_transposed(full, given, s.FN - f, P, min(2 * rows, s.OH - 2 * top) * s.OW, pixels)
            spread_gradient(t, top, rows, full, pixels, moved(scratch, at.terms + n * one * full), every)
        # Term 5 is the sum of a tile.
        add_rows_of_panel(vectors, number, moved(scratch, at.terms + 5 * every), moved(sums, s.C * 9 * wide + f), more)
        for term in range(TERMS):
            a, panel = moved(scratch, at.seen + term * seen), moved(scratch, at.terms + term * every)
            gradients = moved(scratch, at.gradients + term * s.C * wide + f)
            multiply_panel(vectors, s.C, number, a, channels, tiles, panel, gradients, to, more)
        f += full


@shared
def add_gradients_of_tiles(lo, hi, s, dout, x, sums, scratch):
    """`add_gradients_directly`, by tiles."""
    t, at, wide = tiling_of_x(s), _shares(s, lanes_of(dout)), filled(s.FN, lanes_of(dout))
    _ready(t, at, wide, scratch)
    for begin in range(lo, hi, t.images):
        count = min(t.images, hi - begin)
        _put_images(t, at, begin, count, x, scratch)
        for top in range(0, t.high, t.rows):
            rows, more = min(t.rows, t.high - top), begin > lo or top > 0
            _add_gradients(t, at, s, begin, count, top, rows, wide, dout, sums, more, scratch)
    if add_up_factors(s.C, wide, moved(scratch, at.gradients), sums) != 0.0:
        add_gradients_directly(lo, hi, s, dout, x, sums, scratch)
