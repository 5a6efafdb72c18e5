"""The first affine layer on inputs that are mostly zeros: compressed rows (CSR), of which only the non-zeros are used.

starts (S + 1,), columns and values (non-zeros,) are the data set; rows holds the indices of a batch's samples. The rows
of a batch are copied side by side, row i from begins[i] to begins[i + 1]: random places of a large data set are read
once, and in order. W and what belongs to it are copies whose rows are padded to `stride` elements, whole tiles: no load
or store needs a mask, nor straddles two cache lines.
"""

from fastbp.kernels.build.flags import inlined
from fastbp.kernels.matmul.product import DEPTH
from fastbp.kernels.nonzero_products import by_seven, padded_to
from fastbp.kernels.tiles import (
    absolute,
    add,
    aligned,
    fma,
    fma_step,
    lanes_of,
    less_equal,
    load_row,
    load_row_masked,
    row_sum,
    select,
    splat,
    store,
    store_row_masked,
    vecs_of,
    width_of,
    zeros,
)
from fastbp.kernels.tiles.target import TARGET

VECTORS = 4  # a step of what is passed over once
# Vectors of W at a time, also where it has fewer. With AVX2, whose vectors are half as long, 7 hold the book's 50
# columns, which by fours take two passes over the non-zeros and a seventh more multiply-adds.
FEW_REGISTERS = TARGET.registers < 32
WIDTHS = (4, 7) if FEW_REGISTERS else (4,)
TWO_CHAINS = 7 if TARGET.registers == 32 else 4  # vectors up to which two sums are made side by side
# Of W, and of sums, that stay in the caches while all samples pass over them: where a block ends is a branch to guess
# for each sample. With 40 and 24 KiB, which stay in the first-level cache, a step of 784-50-10 takes 8 % longer on
# AVX-512, 4 on AVX2 (EPYC of Zen 5, 48 KiB). Of float64 half as much: forward of an `Affine` takes 0.92 of the time of
# 96 KiB at 100 x 784 x 50, with AVX2 0.94 (EPYC of Zen 4, 32 KiB), where float32 takes 1.02.
BLOCK_BYTES, LONG_BLOCK_BYTES, SUMS_BYTES = 96 * 1024, 48 * 1024, 40 * 1024
CHAIN = DEPTH  # samples that are summed one after the other: as many as the dense products take in one chain


def padded_columns(M, lanes):
    """The stride for M columns, by WIDTHS."""
    return padded_to(WIDTHS, M, lanes)


@inlined
def sparse_product_rows(lo, hi, begins, columns, values, D, W, stride, out, cursors):
    """out[i] = x[i] @ W for i in [lo, hi), in rows of `stride`; `cursors` (hi,) of int64 is memory to work in."""
    if FEW_REGISTERS and by_seven(stride, out):
        _product_by(zeros(1, 7, out), lo, hi, begins, columns, values, D, W, stride, out, cursors)
    else:
        _product_by(zeros(1, 4, out), lo, hi, begins, columns, values, D, W, stride, out, cursors)


@inlined
def _product_by(tile, lo, hi, begins, columns, values, D, W, stride, out, cursors):
    height, narrow = _height(stride, out), vecs_of(tile) <= TWO_CHAINS
    for i in range(lo, hi):
        cursors[i] = begins[i]
    for block in range(0, D, height):
        stop = min(D, block + height)
        for i in range(lo, hi):
            e, end = cursors[i], begins[i + 1]
            for j in range(0, stride, width_of(tile)):
                even, odd, e = splat(tile, 0.0), splat(tile, 0.0), cursors[i]
                if block > 0:
                    even = load_row(tile, out, i * stride + j)
                while e + 1 < end and columns[e + 1] < stop:
                    even = fma_step(even, values, e, 0, 1, load_row(tile, W, columns[e] * stride + j))
                    if narrow:  # two chains: half the latency; two of 7 vectors spill
                        odd = fma_step(odd, values, e + 1, 0, 1, load_row(tile, W, columns[e + 1] * stride + j))
                    else:
                        even = fma_step(even, values, e + 1, 0, 1, load_row(tile, W, columns[e + 1] * stride + j))
                    e += 2
                if e < end and columns[e] < stop:
                    even = fma_step(even, values, e, 0, 1, load_row(tile, W, columns[e] * stride + j))
                    e += 1
                store(add(even, odd), out, i * stride + j, 0)
            cursors[i] = e


@inlined
def add_bias_rows(lo, hi, M, x, stride, b, out, mask, rectified):
    """out[i] = x[i] + b for i in [lo, hi); with its ReLU and the mask of that if rectified. x has rows of `stride`."""
    tile = zeros(1, VECTORS, out)
    for i in range(lo, hi):
        for j in range(0, M, width_of(tile)):
            y = add(load_row_masked(tile, x, i * stride + j, M - j), load_row_masked(tile, b, j, M - j))
            if rectified:
                blocked = less_equal(y, 0.0)
                store_row_masked(blocked, mask, i * M + j, M - j)
                y = select(blocked, 0.0, y)
            store_row_masked(y, out, i * M + j, M - j)


@inlined
def add_sparse_outer(lo, hi, N, begins, columns, values, dout, alpha, adds, W, stride, cursors, scratch):
    """W[lo:hi] = x.T[lo:hi] @ dout, or if it adds W[lo:hi] += alpha · x.T[lo:hi] @ dout.

    dout has rows of `stride`, as W; `cursors` (N,) of int64 and `scratch` are memory to work in. The sums must stay
    finite: see `magnitude`. They are made CHAIN samples at a time, beside W: added to W one by one, most of a small
    gradient would be rounded away.
    """
    if FEW_REGISTERS and by_seven(stride, W):
        seven = zeros(1, 7, W)
        _add_outer(seven, lo, hi, N, begins, columns, values, dout, alpha, adds, W, stride, cursors, scratch)
    else:
        by_four = zeros(1, 4, W)
        _add_outer(by_four, lo, hi, N, begins, columns, values, dout, alpha, adds, W, stride, cursors, scratch)


@inlined
def _add_outer(tile, lo, hi, N, begins, columns, values, dout, alpha, adds, W, stride, cursors, scratch):
    full, sums = width_of(tile), aligned(scratch)
    height = SUMS_BYTES // (full * (TARGET.vector_bytes // lanes_of(W)))
    for at in range(sums, sums + height * full, full):
        store(splat(tile, 0.0), scratch, at, 0)
    for start in range(0, N, CHAIN):
        end = min(N, start + CHAIN)
        for i in range(start, end):
            cursors[i] = begins[i]
            if lo > 0:
                cursors[i] = _first_from(lo, begins[i], begins[i + 1], columns)
        for top in range(lo, hi, height):
            bottom = min(hi, top + height)
            for j in range(0, stride, full):
                for i in range(start, end):
                    gradient, e, last = load_row(tile, dout, i * stride + j), cursors[i], begins[i + 1]
                    # One by one: by twos, the odd one behind is a second branch to guess, 3 % of this on AVX-512.
                    while e < last and columns[e] < bottom:
                        at = sums + (columns[e] - top) * full
                        store(fma_step(load_row(tile, scratch, at), values, e, 0, 1, gradient), scratch, at, 0)
                        e += 1
                    if j + full == stride:
                        cursors[i] = e
                _add_block(tile, bottom - top, scratch, sums, alpha, adds, start > 0, W, top * stride + j, stride)


@inlined
def _add_block(tile, rows, scratch, sums, alpha, adds, grows, W, at, stride):
    """Rows of W, from W[at] on, from the sums of a chain, the first one or a later one; leaves zeros there."""
    for row in range(rows):
        place, to = sums + row * width_of(tile), at + row * stride
        block = load_row(tile, scratch, place)
        if adds:
            block = fma(block, alpha, load_row(tile, W, to))
        elif grows:
            block = add(block, load_row(tile, W, to))
        store(block, W, to, 0)
        store(splat(tile, 0.0), scratch, place, 0)  # last: a load of W from the same place in a page would wait for it


@inlined
def magnitude(lo, hi, values):
    """The sum of |values|, NaN or infinite if one of them is.

    Zeros can be skipped only in finite sums, as 0 · inf is NaN. No sum grows, in a step, by more than the rate times
    the magnitudes of the samples and of the gradient: to look at these is 5 µs cheaper than to look at each new weight.
    """
    sums = zeros(1, VECTORS, values)
    for i in range(lo, hi, width_of(sums)):
        sums = add(sums, absolute(load_row_masked(sums, values, i, hi - i)))
    return row_sum(sums, 0)


@inlined
def copy_rows(lo, hi, M, x, x_stride, out, out_stride):
    """out[i, :M] = x[i, :M] for i in [lo, hi), in rows of other lengths."""
    tile = zeros(1, VECTORS, out)
    for i in range(lo, hi):
        for j in range(0, M, width_of(tile)):
            row = load_row_masked(tile, x, i * x_stride + j, M - j)
            store_row_masked(row, out, i * out_stride + j, M - j)


@inlined
def _height(stride, like):
    """Rows of W that make a block."""
    size = TARGET.vector_bytes // lanes_of(like)
    return max((BLOCK_BYTES if size == 4 else LONG_BLOCK_BYTES) // (stride * size), 16)


@inlined
def _first_from(lo, first, end, columns):
    """The first e in [first, end) with columns[e] >= lo; they are sorted. Without branches to guess."""
    count = end - first
    while count > 0:
        half = count // 2
        before = columns[first + half] < lo
        first = first + half + 1 if before else first
        count = count - half - 1 if before else half
    return first
