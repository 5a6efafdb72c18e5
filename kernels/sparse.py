"""The first affine layer on inputs that are mostly zeros: compressed rows (CSR), of which only the non-zeros are used.

starts (S + 1,), columns and values (non-zeros,) are the data set; rows holds the indices of a batch's samples.
"""

from fastbp.kernels.codegen import TARGET
from fastbp.kernels.flags import inlined, merged
from fastbp.kernels.simd import (
    add,
    fma,
    fma_step,
    lanes_of,
    less_equal,
    load_row_inside,
    load_row_masked,
    mul,
    row_sum,
    select,
    splat,
    store_row_inside,
    store_row_masked,
    width_of,
    zeros,
)

VECTORS = 4  # columns of W at a time
# Of W. When each sample passed over all of it an update of 784 x 50 took 85 µs on MNIST's batches; 68 so, 40 KiB 77.
BLOCK_BYTES = 20 * 1024


# How a row of W is read and written. Masks touch, for the processor, the row behind, which comes next where pixels lie
# side by side: its load then waits for the store. 160 µs for an update of 784 x 50 on MNIST's batches, so 62.
@merged
def _load_inside(tile, data, at, width):
    return load_row_inside(tile, data, at, width)


@merged
def _store_inside(tile, data, at, width):
    store_row_inside(tile, data, at, width)


@merged
def _load_masked(tile, data, at, width):
    return load_row_masked(tile, data, at, width)


@merged
def _store_masked(tile, data, at, width):
    store_row_masked(tile, data, at, width)


def _forward(load, store):
    @inlined
    def forward(tile, lo, hi, rows, starts, columns, values, D, M, W, b, out, mask, rectified, cursors):
        parts = (M + width_of(tile) - 1) // width_of(tile)  # none narrower than a vector, where M isn't
        height = _height(M, out)
        for i in range(lo, hi):
            cursors[i] = starts[rows[i]]
        for block in range(0, D, height):
            for i in range(lo, hi):
                first, end, stop = cursors[i], starts[rows[i] + 1], min(D, block + height)
                e = first
                for part in range(parts):
                    j = M * part // parts
                    width, e = M * (part + 1) // parts - j, first
                    even, odd = load(tile, b, j, width), splat(tile, 0.0)  # two chains: half the latency
                    if block > 0:
                        even = load(tile, out, i * M + j, width)
                    while e + 1 < end and columns[e + 1] < stop:
                        even = fma_step(even, values, e, 0, 1, load(tile, W, columns[e] * M + j, width))
                        odd = fma_step(odd, values, e + 1, 0, 1, load(tile, W, columns[e + 1] * M + j, width))
                        e += 2
                    if e < end and columns[e] < stop:
                        even = fma_step(even, values, e, 0, 1, load(tile, W, columns[e] * M + j, width))
                        e += 1
                    acc = add(even, odd)
                    if rectified and stop == D:
                        blocked = less_equal(acc, 0.0)
                        store(blocked, mask, i * M + j, width)
                        acc = select(blocked, 0.0, acc)
                    store(acc, out, i * M + j, width)
                cursors[i] = e

    return forward


def _add_outer(load, store):
    @inlined
    def add_outer(tile, lo, hi, N, rows, starts, columns, values, M, dout, alpha, W, cursors):
        check, parts = splat(tile, 0.0), (M + width_of(tile) - 1) // width_of(tile)
        height = _height(M, W)
        for i in range(N):
            cursors[i] = starts[rows[i]]
            if lo > 0:
                cursors[i] = _first_from(lo, cursors[i], starts[rows[i] + 1], columns)
        for block in range(lo, hi, height):
            stop = min(hi, block + height)
            for i in range(N):
                first, end = cursors[i], starts[rows[i] + 1]
                e = first
                for part in range(parts):
                    j = M * part // parts
                    width, e = M * (part + 1) // parts - j, first
                    gradient = mul(load(tile, dout, i * M + j, width), alpha)
                    while e < end and columns[e] < stop:
                        at = columns[e] * M + j
                        new = fma_step(load(tile, W, at, width), values, e, 0, 1, gradient)
                        check = fma(new, 0.0, check)
                        store(new, W, at, width)
                        e += 1
                cursors[i] = e
        return row_sum(check, 0)

    return add_outer


_forward_inside, _forward_masked = _forward(_load_inside, _store_inside), _forward(_load_masked, _store_masked)
_add_inside, _add_masked = _add_outer(_load_inside, _store_inside), _add_outer(_load_masked, _store_masked)


@inlined
def _height(M, like):
    """Rows of W that stay in the first-level cache while all samples pass over them."""
    return max(BLOCK_BYTES // (M * (TARGET.vector_bytes // lanes_of(like))), 16)


@inlined
def sparse_forward_rows(lo, hi, rows, starts, columns, values, D, M, W, b, out, mask, rectified, cursors):
    """out[i] = x[rows[i]] @ W + b for i in [lo, hi); with its ReLU and the mask of that if rectified.

    `cursors` (hi,) of int64 is memory to work in.
    """
    if M >= lanes_of(out):
        tile = zeros(1, VECTORS, out)
        _forward_inside(tile, lo, hi, rows, starts, columns, values, D, M, W, b, out, mask, rectified, cursors)
    else:
        one = zeros(1, 1, out)
        _forward_masked(one, lo, hi, rows, starts, columns, values, D, M, W, b, out, mask, rectified, cursors)


@inlined
def add_sparse_outer(lo, hi, N, rows, starts, columns, values, M, dout, alpha, W, cursors):
    """W[lo:hi] += alpha · x.T[lo:hi] @ dout; returns a number that is 0 while all of W it wrote is finite, else NaN.

    `cursors` (N,) of int64 is memory to work in.
    """
    if M >= lanes_of(W):
        return _add_inside(zeros(1, VECTORS, W), lo, hi, N, rows, starts, columns, values, M, dout, alpha, W, cursors)
    return _add_masked(zeros(1, 1, W), lo, hi, N, rows, starts, columns, values, M, dout, alpha, W, cursors)


@inlined
def _first_from(lo, first, end, columns):
    """The first e in [first, end) with columns[e] >= lo; they are sorted."""
    while first < end:
        middle = (first + end) // 2
        if columns[middle] < lo:
            first = middle + 1
        else:
            end = middle
    return first
