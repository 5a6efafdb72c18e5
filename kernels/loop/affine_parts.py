"""Parts of an affine operation, with the ReLU on top of it where it has a mask: thin entries around the products."""

from fastbp.kernels.build.flags import inlined, part
from fastbp.kernels.build.tables import is_there
from fastbp.kernels.loop.calls import call
from fastbp.kernels.loop.sparse import copy_rows
from fastbp.kernels.matmul.gemm import (
    backward_input_rows,
    backward_params_rows_ahead,
    forward_few_rows,
    forward_many_rows,
)
from fastbp.kernels.matmul.product import Ahead
from fastbp.kernels.relu import backward_elements
from fastbp.kernels.tiles import address_as_bytes


@part
def affine_forward(lo, hi, left, right, op, step):
    """Rows [lo, hi) and columns [left, right) of x @ W + b."""
    W, b, rectified = op.W.value, op.b.value, is_there(op.mask)
    forward_many_rows(lo, hi, left, right, step.N, op.D, op.M, op.x, W, b, op.out, op.mask, rectified, step.scratch)


@part
def affine_forward_of_few(lo, hi, left, right, op, step):
    """The same in batches of at most FEW_ROWS, all columns."""
    W, b, rectified = op.W.value, op.b.value, is_there(op.mask)
    forward_few_rows(lo, hi, step.N, op.D, op.M, op.x, W, b, op.out, op.mask, rectified, step.scratch)


@part
def affine_backward(lo, hi, left, right, op, step):
    """The same of dx = dout @ W.T, if there is a dx; before it dout passes the operation's own mask, if it masks."""
    if op.masks != 0:
        mask_rows(lo, hi, op)
    if is_there(op.dx):
        W, below, masked = op.W.value, op.below, is_there(op.below)
        backward_input_rows(lo, hi, left, right, step.N, op.D, op.M, op.dout, below, masked, W, op.dx, step.scratch)


@inlined
def mask_rows(lo, hi, op):
    """Rows [lo, hi) of dout, 0 where the operation's mask is on."""
    backward_elements(lo * op.M, hi * op.M, (op.dout, op.mask), (op.dout,), ())


@part
def affine_update(lo, hi, left, right, op, step):
    """Rows [lo, hi) of W, or its columns [left, right), and with the first row b.

    What is added to W at once isn't made first.
    """
    settings, samples, W = step.settings, step.samples, op.W
    direct = settings.direct != 0
    target = W.value if direct else W.gradient
    size = samples.row_bytes if op.asks != 0 else 0
    ahead = Ahead(address_as_bytes(samples.address), size, step.next_rows, step.lo, step.hi, lo, hi, left)
    backward_params_rows_ahead(
        *(lo, hi, left, right, step.N, op.D, op.M, op.dout, op.x, -step.rate, direct, target, op.b.gradient),
        *(step.scratch, ahead),
    )
    finish_update(lo, hi, left, right, op, step)


@inlined
def finish_update(lo, hi, left, right, op, step):
    """What is left to do once dW and db are made, and W += -rate * dW where settings.direct."""
    settings = step.settings
    if settings.direct == 0:
        optimize_weights(lo, hi, op, step)
    if lo == 0 and op.trained > 1:
        call(settings.optimize, left, right, 0, 0, op.b, step)


@inlined
def optimize_weights(lo, hi, op, step):
    """Rows [lo, hi) of W from those of dW."""
    settings = step.settings
    if settings.decays != 0:
        call(settings.decays, lo * op.M, hi * op.M, 0, 0, op.W, step)
    call(settings.optimize, lo * op.M, hi * op.M, 0, 0, op.W, step)


@part
def copy_from_home(lo, hi, left, right, op, step):
    """Rows [lo, hi) of W to its aligned copy."""
    copy_rows(lo, hi, op.M, op.W.home, op.M, op.W.value, op.M)


@part
def copy_to_home(lo, hi, left, right, op, step):
    """Rows [lo, hi) of W from its aligned copy."""
    copy_rows(lo, hi, op.M, op.W.value, op.M, op.W.home, op.M)
