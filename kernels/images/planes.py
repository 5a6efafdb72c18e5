"""Images with a border of zeros, and tables that say where in them the factors of a product lie.

What filter pixel k sees from place p is x[starts[p] + offsets[k]]: the sum of two numbers, for any filter, stride and
pad. `im2col` writes each of these FH · FW times; here an image is copied once.
"""

from fastbp.kernels.build.flags import inlined, shared
from fastbp.kernels.images.shape import FILLED
from fastbp.kernels.tiles import load_row_masked, moved, store, store_row_masked, width_of, zeros


@inlined
def clear(target, size):
    """target[:size] = 0."""
    line = zeros(1, 4, target)
    for i in range(0, size, width_of(line)):
        store_row_masked(line, target, i, size - i)


@shared
def put_image(planes, high, wide, x, to):
    """An image (channels, high, wide) inside of its border.

    Whole vectors are stored: past a row are the borders, which stay 0, and the next rows, which come later.
    """
    line = zeros(1, 1, to)
    for c in range(planes.channels):
        for h in range(high):
            source = moved(x, (c * high + h) * wide)
            target = moved(to, (c * planes.high + planes.top + h) * planes.wide + planes.left)
            for j in range(0, wide, width_of(line)):
                store(load_row_masked(line, source, j, wide - j), target, j, 0)


@inlined
def fill_up(table, count):
    """Repeats the last entry, up to a whole tile: it is computed again, and stored to the same place."""
    end = (count + FILLED - 1) // FILLED * FILLED
    for i in range(count, end):
        table[i] = table[count - 1]
    return end


@shared
def tables_of_filters(s, planes, wide, pixels, pixels_to, terms, terms_to):
    """For each place of the filters, of all the images, and for each of their terms: where in the planes it lies.

    And where in a matrix with rows of `wide` elements its row begins.
    """
    p = k = 0
    for n in range(planes.images):
        for i in range(s.OH):
            for j in range(s.OW):
                pixels[p] = (n * s.C * planes.high + i * s.stride) * planes.wide + j * s.stride
                pixels_to[p] = p * wide
                p += 1
    for c in range(s.C):
        for fh in range(s.FH):
            for fw in range(s.FW):
                terms[k] = (c * planes.high + fh) * planes.wide + fw
                terms_to[k] = k * wide
                k += 1
    fill_up(pixels, p)
    fill_up(pixels_to, p)
    fill_up(terms, k)
    fill_up(terms_to, k)


# A pixel of x is seen by those filter pixels whose distance from it is a multiple of the stride. So pixels fall into
# stride · stride phases, in each of which all see through the same filter pixels.


@inlined
def first_of_phase(phase, pad, stride):
    """The first row (or column) of x in a phase; each stride-th is."""
    return (phase - pad) % stride


@inlined
def count_in_phase(size, phase, pad, stride):
    """How many rows (or columns) of x there are in a phase."""
    return max(0, (size - first_of_phase(phase, pad, stride) + stride - 1) // stride)


@inlined
def terms_in_phase(window, phase, stride):
    """How many rows (or columns) of a filter there are in a phase: phase, phase + stride, ..."""
    return max(0, (window - phase + stride - 1) // stride)


@shared
def tables_of_gradient(s, planes, wide, pixels, pixels_to, terms):
    """For each pixel of x, and each term of its gradient, phase by phase: where in the planes of dout it lies."""
    q = t = 0
    for a in range(s.stride):
        for b in range(s.stride):
            rows, columns = count_in_phase(s.H, a, s.pad, s.stride), count_in_phase(s.W, b, s.pad, s.stride)
            if rows * columns > 0:
                top, left = first_of_phase(a, s.pad, s.stride), first_of_phase(b, s.pad, s.stride)
                begin = q
                for n in range(planes.images):
                    for h in range(top, s.H, s.stride):
                        for w in range(left, s.W, s.stride):
                            i, j = (h + s.pad) // s.stride + planes.top, (w + s.pad) // s.stride + planes.left
                            pixels[q] = (n * s.FN * planes.high + i) * planes.wide + j
                            pixels_to[q] = ((n * s.H + h) * s.W + w) * wide
                            q += 1
                fill_up(moved(pixels, begin), q - begin)
                q = begin + fill_up(moved(pixels_to, begin), q - begin)
                for f in range(s.FN):
                    for m in range(terms_in_phase(s.FH, a, s.stride)):
                        for n in range(terms_in_phase(s.FW, b, s.stride)):
                            terms[t] = (f * planes.high - m) * planes.wide - n
                            t += 1
