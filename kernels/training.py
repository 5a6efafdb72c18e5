"""A whole schedule of training steps in one compiled loop, for any chain of layers.

What a network is made of is data, not code: a plan, an int64 table with a row an operation, which holds addresses of
the caller's arrays. So there is one kernel for all architectures, and a new one compiles nothing.

A step has two parts, each split over the team's threads. In the first every thread takes rows of the batch through all
layers and back, in the second it takes rows of each W and makes their gradient and their update; the bits don't depend
on who takes what. Between the parts, and after them, all wait for each other; and around layers so wide that each
thread takes columns of its own instead.
"""

from typing import Any, NamedTuple

from fastbp.kernels.flags import kernel, merged, shared
from fastbp.kernels.operations import (
    adds_at_once,
    ask_for_sparse,
    backward,
    forward,
    gather,
    gather_labels,
    gather_sparse,
    growth,
    loss_and_gradient,
    next_dense,
    pad,
    room_to_grow,
    sparse_forward,
    sparse_update,
    unpad,
    update,
)
from fastbp.kernels.optimizers import square_sum
from fastbp.kernels.plan import (
    AFFINE,
    AFFINE_RELU,
    BEGINS,
    CODE,
    D_,
    DECAY,
    DOUT,
    DX,
    EPS,
    HOME,
    KIND,
    M_,
    MASKED,
    NOTHING,
    OUT,
    PADDED_DOUT,
    PADDED_W,
    PLAN_COLUMNS,
    SCALE,
    SPARSE,
    SQUARES,
    STARTS,
    STRIDE,
    W_,
)
from fastbp.kernels.product import FEW_DOT
from fastbp.kernels.simd import address_as, address_as_float64, flush_denormals, lanes_of, moved, pointer, restore
from fastbp.kernels.softmax_loss import ROWS
from fastbp.kernels.team import FLAG, barrier, flag_is_up, join, raise_flag, tell_progress

# Where a layer has so many columns for each thread it takes its own, of W or for dx of its transpose: they stay in its
# caches. Else a thread takes rows of the batch through all layers.
COLUMNS_EACH = 96


class Member(NamedTuple):
    """A thread of the team: what is to be done, and its share of that."""

    meeting: Any  # of the team
    part: int  # this thread's number
    parts: int  # threads
    plan: Any
    ops: int
    samples: Any
    batch: Any
    settings: Any
    optimizer: int
    direct: bool  # whether what is added to W needs no dW
    N: int
    lo: int  # its rows of the batch, [lo, hi)
    hi: int
    columns_pay: bool  # whether wide layers are split by columns
    top: int  # its rows of the first W, [top, bottom), where samples are compressed
    bottom: int
    cursors: Any  # memory of its own
    scratch: Any


@shared
def _share(size, part, parts, multiple):
    """Where part number `part` of so many begins; the last one ends at `size`."""
    return size if part == parts else size * part // parts // multiple * multiple


@shared
def _columns(m, size):
    """This thread's: whole vectors. Whole panels would be 240 and 272 of 512, where one thread waits for the other."""
    lanes = lanes_of(m.scratch)
    return _share(size, m.part, m.parts, lanes), _share(size, m.part + 1, m.parts, lanes)


@shared
def _op(m, n):
    return moved(m.plan, n * PLAN_COLUMNS)


@shared
def _is_ready(op):
    """Whether an affine layer's incoming gradient is all that its product needs."""
    return op[CODE] == AFFINE or (op[CODE] == AFFINE_RELU and op[MASKED] != 0)


@shared
def _gather(m, rows, skips):
    if not skips:
        gather(m.lo, m.hi, rows, m.samples, m.batch, m.settings[SCALE], m.scratch)
    elif m.batch[BEGINS] == m.samples[STARTS]:  # they are read where they lie
        ask_for_sparse(m.lo, m.hi, m.batch, m.scratch)
    else:  # all rows, as the update reads them all: to read another core's copies costs more than to make them
        gather_sparse(0, m.N, rows, m.samples, m.batch, m.scratch)


@merged
def _forward_pass(m, skips):
    """All layers, this thread's rows; where it skips zeros, the first one does."""
    apart = False  # whether the rows are complete only when all have met
    for n in range(m.ops):
        op = _op(m, n)
        if n == 0 and skips:
            sparse_forward(m.lo, m.hi, op, m.batch, m.cursors, m.scratch)
            continue
        split = m.columns_pay and op[CODE] <= AFFINE_RELU and op[M_] >= m.parts * COLUMNS_EACH
        if split or apart:
            barrier(m.meeting, m.parts)
        if split:
            left, right = _columns(m, op[M_])
            forward(0, m.N, left, right, m.N, op, m.scratch)
        else:
            forward(m.lo, m.hi, 0, op[M_], m.N, op, m.scratch)
        apart = split
    if apart:
        barrier(m.meeting, m.parts)


@merged
def _backward_pass(m, skips):
    """The gradients of all layers' inputs, this thread's rows."""
    apart = False
    for n in range(m.ops - 1, -1, -1):
        op = _op(m, n)
        split = m.columns_pay and op[DX] != 0 and op[D_] >= m.parts * COLUMNS_EACH and _is_ready(op)
        if split or apart:
            barrier(m.meeting, m.parts)
        if split:
            left, right = _columns(m, op[D_])
            backward(0, m.N, left, right, m.N, op, m.scratch)
        else:
            backward(m.lo, m.hi, 0, op[D_], m.N, op, m.scratch)
        apart = split
    if skips:
        pad(m.lo, m.hi, m.plan[M_], m.plan[DOUT], m.batch[PADDED_DOUT], m.batch[STRIDE], m.scratch)


@shared
def _sum_squares(m):
    """Of the weights, for the loss: each W by one thread."""
    for n in range(m.part, m.ops, m.parts):
        op = _op(m, n)
        if op[CODE] <= AFFINE_RELU:
            address_as_float64(op[SQUARES])[0] = square_sum(op[D_] * op[M_], address_as(op[W_], m.scratch))


@shared
def _mean_loss(m, costs):
    loss = 0.0
    for i in range(m.N):
        loss += costs[i]
    loss /= m.N
    if m.settings[DECAY] != 0.0:
        for n in range(m.ops):
            op = _op(m, n)
            if op[CODE] <= AFFINE_RELU:
                loss += 0.5 * m.settings[DECAY] * address_as_float64(op[SQUARES])[0]
    return loss


@merged
def _update_pass(m, skips, rate, following):
    """This thread's part of each W; where zeros are skipped, whether its part of the first one is finite.

    From the last layer to the first: each W is in the caches, and the first one then for the next forward pass.
    """
    finite = True
    for n in range(m.ops - 1, -1, -1):
        op = _op(m, n)
        if skips and n == 0:
            if m.top < m.bottom:
                finite = sparse_update(
                    *(m.top, m.bottom, m.N, op, m.batch, m.optimizer, rate, m.settings, m.cursors, m.scratch)
                )
        elif op[CODE] <= AFFINE_RELU:
            (start, end), (left, right) = (0, op[D_]), (0, op[M_])
            if m.columns_pay and m.direct and op[M_] >= m.parts * COLUMNS_EACH:
                left, right = _columns(m, op[M_])
            else:
                start, end = _share(op[D_], m.part, m.parts, 8), _share(op[D_], m.part + 1, m.parts, 8)
            if start < end:
                next_rows = next_dense(m.lo, m.hi, following, m.samples, n == 0)
                update(start, end, left, right, m.N, next_rows, op, m.optimizer, rate, m.settings, m.scratch)
    return finite


@shared
def _copy_weights(m, comes, goes):
    """This thread's rows of each W that has a copy, between the places in these two columns of the plan."""
    for n in range(m.ops):
        op = _op(m, n)
        if op[HOME] != 0:
            start, end = _share(op[D_], m.part, m.parts, 8), _share(op[D_], m.part + 1, m.parts, 8)
            pad(start, end, op[M_], op[comes], op[goes], op[M_], m.scratch)
    barrier(m.meeting, m.parts)


@shared
def _pad_weights(m):
    pad(m.top, m.bottom, m.plan[M_], m.plan[W_], m.batch[PADDED_W], m.batch[STRIDE], m.scratch)


@shared
def _unpad_weights(m):
    """W from its padded copy; where each step makes both, they are equal."""
    if m.direct:
        unpad(m.top, m.bottom, m.plan[M_], m.batch[PADDED_W], m.batch[STRIDE], m.plan[W_], m.scratch)


@merged
def _member(meeting, part, parts, first, ops, samples, batch, settings, optimizer, N, own):
    columns_pay, direct = parts > 1 and N > FEW_DOT, adds_at_once(N, optimizer, pointer(settings))
    return Member(
        *(meeting, part, parts, first, ops, pointer(samples), pointer(batch[part]), pointer(settings)),
        *(optimizer, direct, N, _share(N, part, parts, ROWS), _share(N, part + 1, parts, ROWS), columns_pay),
        *(_share(first[D_], part, parts, 8), _share(first[D_], part + 1, parts, 8), *own),
    )


@merged
def _train(
    team, leads, wanted, plan, samples, batch, settings, optimizer, rates, order, costs, cursors, losses, stops, scratch
):
    meeting = pointer(team)
    part, parts = join(meeting, leads, wanted)
    if part < 0:
        return 0
    steps, N, ops = order.shape[0], order.shape[1], plan.shape[0]
    first, decays = pointer(plan), settings[DECAY] != 0.0
    own = moved(pointer(cursors), part * N), moved(pointer(scratch), part * (scratch.size // wanted))
    m = _member(meeting, part, parts, first, ops, samples, batch, settings, optimizer, N, own)
    last, each_cost = _op(m, ops - 1), pointer(costs)
    _copy_weights(m, HOME, W_)
    room = 0.0  # how much the first W may grow while zeros are skipped: all threads compute the same
    if samples[KIND] == SPARSE and first[CODE] <= AFFINE_RELU:
        room = room_to_grow(first, m.scratch)
    padded = room > 0.0  # then the padded copy of W is what is trained
    if padded:
        _pad_weights(m)
        barrier(meeting, parts)
    for s in range(steps):
        rows, skips = moved(pointer(order), s * N), padded and not flag_is_up(meeting, FLAG)
        if padded and not skips:
            _unpad_weights(m)
            padded = False
            barrier(meeting, parts)
        _gather(m, rows, skips)
        _forward_pass(m, skips)
        if optimizer == NOTHING:
            barrier(meeting, parts)
            continue
        gather_labels(m.lo, m.hi, rows, m.samples, m.batch, m.scratch)
        loss_and_gradient(
            *(m.lo, m.hi, N, m.samples, m.batch, last[OUT], last[DOUT], settings[EPS], each_cost, m.scratch)
        )
        _backward_pass(m, skips)
        if decays:
            _sum_squares(m)
        barrier(meeting, parts)
        loss = _mean_loss(m, each_cost)
        if part == 0:
            losses[s] = loss
        if stops and loss != loss:
            steps = s
            break
        if skips:
            room -= growth(N, first[M_], first, m.batch, rates[s], m.scratch)
            if not room > 0.0:  # 0 · inf and 0 · NaN are NaN: zeros can't be skipped
                gather(m.lo, m.hi, rows, m.samples, m.batch, settings[SCALE], m.scratch)
                _unpad_weights(m)
                padded = skips = False
                barrier(meeting, parts)
        if not _update_pass(m, skips, rates[s], moved(rows, N) if s < steps - 1 else rows):
            raise_flag(meeting, FLAG)
        barrier(meeting, parts)
        if part == 0:
            tell_progress(meeting, s + 1)
    if padded and optimizer != NOTHING:
        _unpad_weights(m)
        barrier(meeting, parts)
    _copy_weights(m, W_, HOME)
    return steps


@kernel
def train(
    team, leads, wanted, plan, samples, batch, settings, optimizer, rates, order, costs, cursors, losses, stops, scratch
):
    """The steps of `order` (steps, N), whose losses go to `losses`; the number of steps done.

    `rates` (steps,) are the optimizer's step sizes; `costs` (N,), `cursors` (wanted × N,) of int64 and `scratch`
    (wanted × scratch_size) are memory to work in. With `stops` a loss of NaN ends the run, before that step changes
    anything. With the optimizer NOTHING it ends with the forward pass, whose scores lie at OUT of the last operation.
    Each member of the team calls this with the same arguments, but for `leads`, which is true for one of them; 0 for
    who came too late. Denormal numbers are taken for 0 meanwhile: on 27,000 steps of 64-32-10 7.0 µs each become 5.5.
    """
    before = flush_denormals()
    # fmt: off
    steps = _train(
        team, leads, wanted, plan, samples, batch, settings, optimizer,
        rates, order, costs, cursors, losses, stops, scratch,
    )
    # fmt: on
    restore(before)
    return steps
