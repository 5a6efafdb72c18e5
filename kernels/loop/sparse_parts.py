"""Parts of the first affine operation whose samples are compressed: zeros are skipped, on padded copies.

0 · inf and 0 · NaN are NaN: zeros can be skipped only while all sums stay finite.
"""

from fastbp.kernels.build.flags import inlined, part
from fastbp.kernels.build.tables import is_there
from fastbp.kernels.finite import all_finite
from fastbp.kernels.loop.affine_parts import mask_rows, optimize_weights
from fastbp.kernels.loop.calls import call
from fastbp.kernels.loop.gather import compressed_samples
from fastbp.kernels.loop.sparse import (
    add_bias_rows,
    add_sparse_outer,
    copy_rows,
    magnitude,
    sparse_product_rows,
)
from fastbp.kernels.matmul.edges import column_sums

LARGEST_SUM = 1e37  # of magnitudes, so that nothing overflows


@part
def admits(lo, hi, left, right, op, step):
    """Whether W is finite; how far its sums may grow before one could overflow."""
    step.room = LARGEST_SUM - float(magnitude(0, op.D * op.M, op.W.value))
    return step.room > 0.0


@part
def holds(lo, hi, left, right, op, step):
    """Whether they stay so in this step, by the most that an element of W, or of its gradient, can grow in it."""
    batch = step.batch
    gradient = float(magnitude(0, step.N * op.M, op.dout))
    samples = float(magnitude(batch.begins[0], batch.begins[step.N], batch.values))
    rate = abs(step.rate)
    step.room -= (rate if rate > 1.0 else 1.0) * gradient * samples
    return step.room > 0.0


@part
def enter(lo, hi, left, right, op, step):
    """Rows [lo, hi) of W into its padded copy."""
    copy_rows(lo, hi, op.M, op.W.value, op.M, step.batch.padded_W, step.batch.stride)


@part
def leave(lo, hi, left, right, op, step):
    """Rows [lo, hi) of W from its padded copy; where each step makes both, they are equal."""
    if step.settings.direct != 0:
        copy_rows(lo, hi, op.M, step.batch.padded_W, step.batch.stride, op.W.value, op.M)


@part
def forward(lo, hi, left, right, op, step):
    """Rows [lo, hi) of x @ W + b."""
    batch, product, stride = step.batch, step.batch.padded_out, step.batch.stride
    sparse_product_rows(
        lo, hi, batch.begins, batch.columns, batch.values, op.D, batch.padded_W, stride, product, step.cursors
    )
    add_bias_rows(lo, hi, op.M, product, stride, op.b.value, op.out, op.mask, is_there(op.mask))


@part
def backward(lo, hi, left, right, op, step):
    """Rows [lo, hi) of dout into its padded copy."""
    if op.masks != 0:
        mask_rows(lo, hi, op)
    copy_rows(lo, hi, op.M, op.dout, op.M, step.batch.padded_dout, step.batch.stride)


@inlined
def finish_update(lo, hi, op, step):
    """The optimizer's step on rows [lo, hi) of the padded copy of W, where dW was made, and b; whether W is finite.

    Where settings.direct W has been changed already.
    """
    settings, batch, finite = step.settings, step.batch, True
    W, stride = batch.padded_W, batch.stride
    if settings.direct == 0:
        copy_rows(lo, hi, op.M, W, stride, op.W.gradient, op.M)
        optimize_weights(lo, hi, op, step)
        copy_rows(lo, hi, op.M, op.W.value, op.M, W, stride)
        finite = all_finite(lo * stride, hi * stride, W)
    if lo == 0:
        column_sums(0, op.M, step.N, op.M, op.dout, op.b.gradient)
        if op.trained > 1:
            call(settings.optimize, 0, op.M, 0, 0, op.b, step)
    return finite


@part
def update(lo, hi, left, right, op, step):
    """Rows [lo, hi) of W, in its padded copy, and with the first row b.

    Returns 1 if what an optimizer made is not finite; what is added at once stays so, see `holds`.
    """
    batch, W, stride, direct = step.batch, step.batch.padded_W, step.batch.stride, step.settings.direct != 0
    add_sparse_outer(
        *(lo, hi, step.N, batch.begins, batch.columns, batch.values, batch.padded_dout, -step.rate, direct, W, stride),
        *(step.cursors, step.scratch),
    )
    return 0 if finish_update(lo, hi, op, step) else 1


# As the loop asks for them: what makes the batch, three parts of the operation, then what a `Run` has for such a plan.
SKIPPING = (compressed_samples, forward, backward, update, admits, holds, enter, leave)
