"""Parts of the first affine operation whose samples are mostly zeros and lie in the network's dtype: zeros are skipped.

Samples are read where they lie, W and what belongs to it are padded copies. Zeros can be skipped while W and the
gradient are finite, as 0 · inf and 0 · NaN are NaN: where an update makes another W, the next step leaves the plan.
"""

from fastbp.kernels.build.flags import part
from fastbp.kernels.build.tables import is_there
from fastbp.kernels.finite import all_finite
from fastbp.kernels.loop import sparse_parts
from fastbp.kernels.loop.sample_parts import places
from fastbp.kernels.loop.sparse import add_bias_rows
from fastbp.kernels.matmul.product import Next
from fastbp.kernels.nonzero_products import CHUNK, TOGETHER, add_products, block_height, outer_products
from fastbp.kernels.nonzeros import listed
from fastbp.kernels.tiles import address_as, address_as_bytes, moved

_add_outer = outer_products(listed)


@part
def admits(lo, hi, left, right, op, step):
    """Whether W is finite."""
    return 1 if all_finite(0, op.D * op.M, op.W.value) else 0


@part
def holds(lo, hi, left, right, op, step):
    """Whether the gradient is."""
    return 1 if all_finite(0, step.N * op.M, op.dout) else 0


@part
def forward(lo, hi, left, right, op, step):
    """Rows [lo, hi) of x @ W + b."""
    batch, D, x = step.batch, op.D, address_as(step.samples.address, op.W.value)
    stride, W = batch.stride, batch.padded_W
    height = block_height(stride, W)
    for top in range(lo, hi, CHUNK):
        count, begins, product = min(CHUNK, hi - top), moved(step.cursors, top), moved(batch.padded_out, top * stride)
        for k in range(0, D, height):
            add_products(count, begins, k, min(height, D - k), x, W, stride, product, batch.columns, 0)
    add_bias_rows(lo, hi, op.M, batch.padded_out, stride, op.b.value, op.out, op.mask, is_there(op.mask))


@part
def update(lo, hi, left, right, op, step):
    """Rows [lo, hi) of W, in its padded copy, and with the first row b. Returns 1 if W is not finite any more."""
    samples, batch, N, direct = step.samples, step.batch, step.N, step.settings.direct != 0
    W, stride, finite = batch.padded_W, batch.stride, True
    x, alpha = address_as(samples.address, op.W.value), -step.rate if direct else 1.0
    for start in range(0, N, TOGETHER):
        size = samples.row_bytes if start == 0 else 0
        ahead = Next(address_as_bytes(samples.address), size, step.next_rows, step.lo, step.hi)
        count, begins = min(TOGETHER, N - start), moved(step.cursors, start)
        gradient, adds = moved(batch.padded_dout, start * stride), direct or start > 0
        done = _add_outer(
            *(lo, hi, count, begins, op.D, x, gradient, stride, alpha, adds, W, stride, stride, batch.begins, ahead)
        )
        finite = finite and done
    optimized = sparse_parts.finish_update(lo, hi, op, step)
    return 0 if optimized and (finite or not direct) else 1


# As the loop asks for them, see `sparse_parts.SKIPPING`.
SKIPPING_IN_PLACE = (
    *(places, forward, sparse_parts.backward, update),
    *(admits, holds, sparse_parts.enter, sparse_parts.leave),
)
