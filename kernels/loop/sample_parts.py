"""Parts of a first affine operation that reads its samples where they lie, in the dtype of the network."""

from fastbp.kernels.build.flags import part
from fastbp.kernels.build.tables import is_there
from fastbp.kernels.loop.affine_parts import finish_update
from fastbp.kernels.matmul.edges import column_sums
from fastbp.kernels.matmul.product import Next
from fastbp.kernels.matmul.samples import PLACES_BEHIND, forward_of_samples, params_of_samples
from fastbp.kernels.tiles import address_as, address_as_bytes


@part
def places(lo, hi, left, right, op, step):
    """Where each sample of the batch begins, for this thread: its update reads them all."""
    N, rows, found = step.N, step.rows, step.cursors
    for i in range(N):
        found[i] = rows[i] * op.D
    for i in range(N, N + PLACES_BEHIND):
        found[i] = found[N - 1]


@part
def forward(lo, hi, left, right, op, step):
    """Rows [lo, hi) of x @ W + b."""
    x, W, b, rectified = address_as(step.samples.address, op.W.value), op.W.value, op.b.value, is_there(op.mask)
    forward_of_samples(lo, hi, step.N, op.D, op.M, x, step.cursors, W, b, op.out, op.mask, rectified, step.scratch)


@part
def update(lo, hi, left, right, op, step):
    """Rows [lo, hi) of W, and with the first row b."""
    settings, samples = step.settings, step.samples
    x, direct = address_as(samples.address, op.W.value), settings.direct != 0
    target = op.W.value if direct else op.W.gradient
    ahead = Next(address_as_bytes(samples.address), samples.row_bytes, step.next_rows, step.lo, step.hi)
    if lo == 0:
        column_sums(0, op.M, step.N, op.M, op.dout, op.b.gradient)
    params_of_samples(
        *(lo, hi, step.N, op.D, op.M, op.dout, x, step.cursors, -step.rate, direct, target, step.scratch, ahead)
    )
    finish_update(lo, hi, 0, op.M, op, step)


IN_PLACE = (places, forward, update)  # as the loop asks for them: the first makes the batch
