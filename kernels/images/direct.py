"""Convolutions of any filters, by what these see of an image: see `kernels.convolution`."""

from fastbp.kernels.build.flags import inlined, shared
from fastbp.kernels.images.fold import gradient_of_few_channels, tables_of_columns
from fastbp.kernels.images.planes import (
    clear,
    count_in_phase,
    put_image,
    tables_of_filters,
    tables_of_gradient,
    terms_in_phase,
)
from fastbp.kernels.images.products import add_gradients, multiply_filters, pack_filters, put_gradient, put_pixels
from fastbp.kernels.images.shape import FILLED, filled, planes_of_dout, planes_of_x, shares
from fastbp.kernels.tiles import address_as_int64, lanes_of, moved, reinterpret


@inlined
def table(scratch, place):
    return reinterpret(scratch, place, address_as_int64(0))


@shared
def convolve_directly(lo, hi, s, x, W, b, out, mask, rectified, scratch):
    """Images [lo, hi) of out = seen @ W + b; if `rectified` of the ReLU of that, and its mask."""
    at, K, P, wide = shares(s, lanes_of(out)), s.C * s.FH * s.FW, s.OH * s.OW, filled(s.FN, lanes_of(out))
    planes, size = planes_of_x(s), s.C * s.H * s.W
    pixels, to, terms = table(scratch, at.pixels), table(scratch, at.pixels_to), table(scratch, at.terms)
    images, sums, bias = moved(scratch, at.planes), moved(scratch, at.sums), moved(scratch, at.bias)
    one = planes.channels * planes.high * planes.wide
    tables_of_filters(s, planes, wide, pixels, to, terms, table(scratch, at.terms_to))
    pack_filters(s.FN, K, W, scratch)
    for f in range(s.FN):
        bias[f] = b[f]
    clear(images, planes.images * one)
    for begin in range(lo, hi, planes.images):
        count = min(planes.images, hi - begin)
        for n in range(count):
            put_image(planes, s.H, s.W, moved(x, (begin + n) * size), moved(images, n * one))
        multiply_filters(count * P, K, wide, images, pixels, terms, scratch, sums, to)
        for n in range(count):
            place = (begin + n) * s.FN * P
            masked = moved(mask, place)
            put_pixels(P, s.FN, moved(sums, n * P * wide), wide, bias, moved(out, place), masked, rectified)


@shared
def add_gradients_directly(lo, hi, s, dout, x, sums, scratch):
    """sums (K + 1, FN): the images [lo, hi) of the gradients of W and b, with b's behind W's."""
    at, P, wide = shares(s, lanes_of(dout)), s.OH * s.OW, filled(s.FN, lanes_of(dout))
    planes, size = planes_of_x(s), s.C * s.H * s.W
    pixels, terms, to = table(scratch, at.pixels), table(scratch, at.terms), table(scratch, at.terms_to)
    images, panel = moved(scratch, at.planes), moved(scratch, at.panel)
    one = planes.channels * planes.high * planes.wide
    tables_of_filters(s, planes, wide, pixels, table(scratch, at.pixels_to), terms, to)
    clear(images, planes.images * one)
    for begin in range(lo, hi, planes.images):
        count = min(planes.images, hi - begin)
        for n in range(count):
            put_image(planes, s.H, s.W, moved(x, (begin + n) * size), moved(images, n * one))
        given = moved(dout, begin * s.FN * P)
        add_gradients(s, count, images, terms, pixels, given, panel, sums, to, begin > lo)


@shared
def fold_back(lo, hi, s, dout, W, dx, scratch):
    """Images [lo, hi) of dx, of few channels."""
    at, P = shares(s, lanes_of(dout)), s.OH * s.OW
    starts, to, offsets = table(scratch, at.pixels), table(scratch, at.pixels_to), table(scratch, at.terms)
    panel, columns, plane = moved(scratch, at.panel), moved(scratch, at.columns), moved(scratch, at.plane)
    tables_of_columns(s, filled(P, lanes_of(dout)), starts, to, offsets)
    for n in range(lo, hi):
        given, image = moved(dout, n * s.FN * P), moved(dx, n * s.C * s.H * s.W)
        gradient_of_few_channels(s, W, given, starts, to, offsets, panel, columns, plane, image)


@shared
def see_back(lo, hi, s, dout, dx, scratch):
    """Images [lo, hi) of dx, of many channels. W lies in scratch, turned."""
    at, P, wide = shares(s, lanes_of(dout)), s.OH * s.OW, filled(s.C, lanes_of(dout))
    planes, size = planes_of_dout(s), s.C * s.H * s.W
    pixels, to, terms = table(scratch, at.pixels), table(scratch, at.pixels_to), table(scratch, at.terms)
    images, sums, one = moved(scratch, at.planes), moved(scratch, at.sums), s.FN * planes.high * planes.wide
    tables_of_gradient(s, planes, wide, pixels, to, terms)
    clear(images, planes.images * one)
    for begin in range(lo, hi, planes.images):
        count = min(planes.images, hi - begin)
        for n in range(count):
            put_image(planes, s.OH, s.OW, moved(dout, (begin + n) * s.FN * P), moved(images, n * one))
        q = t = 0
        for a in range(s.stride):
            for b in range(s.stride):
                places = count_in_phase(s.H, a, s.pad, s.stride) * count_in_phase(s.W, b, s.pad, s.stride)
                if places > 0:
                    K = s.FN * terms_in_phase(s.FH, a, s.stride) * terms_in_phase(s.FW, b, s.stride)
                    factors, panels = moved(terms, t), moved(scratch, t * wide)
                    multiply_filters(
                        count * places, K, wide, images, moved(pixels, q), factors, panels, sums, moved(to, q)
                    )
                    q += filled(planes.images * places, FILLED)
                    t += K
        for n in range(count):
            image = moved(dx, (begin + n) * size)
            put_gradient(s.H * s.W, s.C, moved(sums, n * s.H * s.W * wide), wide, image)
