"""A whole schedule of training steps in one C function, for any chain of layers.

What a network is made of is data, not code: a plan, a table with a row an operation, which holds the addresses of the C
functions that do it, and of the caller's arrays (`kernels.loop.plan`). So there is one loop for all architectures,
which knows their order, who takes which part of their work, and when all have to meet; and no layer.

A step has two parts, each split over the team's threads. In the first every thread takes rows of the batch through all
operations and back, in the second it takes rows of what is updated; the bits don't depend on who takes what. Between
the parts, and after them, all wait for each other; and around operations so wide that each thread takes columns of its
own instead.
"""

import math

from numba import types

from fastbp.kernels.build.flags import entry, inlined
from fastbp.kernels.build.tables import is_there
from fastbp.kernels.loop.calls import call
from fastbp.kernels.loop.groups import group_border, groups_of
from fastbp.kernels.loop.plan import Run
from fastbp.kernels.loop.team import FLAG, barrier, flag_is_up, join, raise_flag, tell_progress
from fastbp.kernels.matmul.product import FEW_DOT
from fastbp.kernels.matmul.samples import PLACES_BEHIND
from fastbp.kernels.optimizers import BLOCK, square_sum
from fastbp.kernels.softmax_loss import ROWS
from fastbp.kernels.tiles import flush_denormals, lanes_of, moved, restore

# Where an operation has so many columns for each thread it takes its own, of W or for dx of its transpose: they stay in
# its caches. Else a thread takes rows of the batch through all operations.
COLUMNS_EACH = 96
ELEMENTS_OF_UPDATES = 64  # and of clipped ones at multiples of so many elements, two cache lines or more
ROWS_OF_UPDATES = 8  # shares of what is updated begin at multiples of these


@inlined
def _share(size, part, parts, multiple):
    """Where part number `part` of so many begins; the last one ends at `size`."""
    return size if part == parts else size * part // parts // multiple * multiple


@inlined
def _is_split(columns, run, parts):
    """Whether threads take columns of a result: there are enough, and enough rows that all of W is worth turning."""
    return parts > 1 and run.N > FEW_DOT and columns >= parts * COLUMNS_EACH


@inlined
def _do(function, lo, hi, columns, splits, n, part, parts, plan, step):
    """Calls the function of the plan's row n for the rows [lo, hi), or for this thread's columns of all rows.

    Whole vectors of columns: with whole panels of products, 240 and 272 of 512, one thread waits for the other.
    """
    left, right = 0, columns
    if splits:
        lanes = lanes_of(step.scratch)
        left, right = _share(columns, part, parts, lanes), _share(columns, part + 1, parts, lanes)
        if left == right:  # fewer columns than threads
            return 0
    return call(function, lo, hi, left, right, plan[n], step)


@inlined
def _forward_pass(run, plan, part, parts, step):
    """All operations, this thread's rows."""
    apart = False  # whether the rows are complete only when all have met
    for n in range(run.operations):
        op = plan[n]
        splits = op.whole != 0 or _is_split(op.forward_columns, run, parts)
        if splits or apart:
            barrier(run.team, parts)
        lo, hi = (0, run.N) if splits else (step.lo, step.hi)
        _do(op.forward, lo, hi, op.forward_columns if splits else op.M, splits, n, part, parts, plan, step)
        apart = splits
    if apart:
        barrier(run.team, parts)


@inlined
def _backward_pass(run, plan, part, parts, step):
    """The gradients of all operations' inputs, this thread's rows."""
    apart = False
    for n in range(run.operations - 1, -1, -1):
        op = plan[n]
        if op.backward == 0:
            continue
        splits = op.whole != 0 or _is_split(op.backward_columns, run, parts)
        if splits or apart:
            barrier(run.team, parts)
        lo, hi = (0, run.N) if splits else (step.lo, step.hi)
        _do(op.backward, lo, hi, op.backward_columns if splits else op.D, splits, n, part, parts, plan, step)
        apart = splits


@inlined
def _update_pass(run, plan, part, parts, step):
    """This thread's part of all updates; whether one says that the plan is good no longer.

    From the last operation to the first: each W is in the caches, and the first one then for the next forward pass.
    """
    ends = False
    for n in range(run.operations - 1, -1, -1):
        op = plan[n]
        if op.update == 0:
            continue
        splits, start, end = _is_split(op.update_columns, run, parts), 0, op.update_rows
        if not splits:
            start = _share(op.update_rows, part, parts, ROWS_OF_UPDATES)
            end = _share(op.update_rows, part + 1, parts, ROWS_OF_UPDATES)
        if start < end:
            if _do(op.update, start, end, op.M, splits, n, part, parts, plan, step) != 0:
                ends = True
    return ends


@inlined
def _blocks(p):
    """How many blocks of a gradient's squares are added up apart: the same sums for any number of threads."""
    return (p.size + BLOCK - 1) // BLOCK


@inlined
def _clip_factor(run, plan, part, parts):
    """min(1, max_norm / (norm + 1e-6)), of the norm of all gradients together; NaN where that is."""
    block = 0
    for n in range(run.operations):
        for k in range(plan[n].trained):
            p = plan[n].parameters[k]
            for b in range(_blocks(p)):
                if block % parts == part:
                    p.squares[b] = square_sum(min(BLOCK, p.size - b * BLOCK), moved(p.gradient, b * BLOCK))
                block += 1
    barrier(run.team, parts)
    squares = 0.0
    for n in range(run.operations):
        for k in range(plan[n].trained):
            p = plan[n].parameters[k]
            for b in range(_blocks(p)):
                squares += p.squares[b]
    factor = run.settings.max_norm / (math.sqrt(squares) + 1e-6)
    return 1.0 if factor > 1.0 else factor


@inlined
def _clipped_steps(run, plan, part, parts, step):
    """The optimizer's steps, once all gradients are there: this thread's elements of each parameter."""
    barrier(run.team, parts)
    step.clip = _clip_factor(run, plan, part, parts)
    for n in range(run.operations):
        for k in range(plan[n].trained):
            p = plan[n].parameters[k]
            start = _share(p.size, part, parts, ELEMENTS_OF_UPDATES)
            call(run.clips, start, _share(p.size, part + 1, parts, ELEMENTS_OF_UPDATES), 0, 0, p, step)


@inlined
def _at_the_edge(run, plan, part, parts, step, ends):
    """What each operation does before the first step, or after the last one."""
    for n in range(run.operations):
        op = plan[n]
        function = op.end if ends else op.begin
        start = _share(op.update_rows, part, parts, ROWS_OF_UPDATES)
        end = _share(op.update_rows, part + 1, parts, ROWS_OF_UPDATES)
        if function != 0 and start < end:
            call(function, start, end, 0, op.M, op, step)
    barrier(run.team, parts)


@inlined
def _change(function, run, plan, part, parts, step):
    """What enters or leaves a plan that is good only for a while: this thread's rows of its first operation."""
    start = _share(plan.update_rows, part, parts, ROWS_OF_UPDATES)
    end = _share(plan.update_rows, part + 1, parts, ROWS_OF_UPDATES)
    if function != 0 and start < end:
        call(function, start, end, 0, plan.M, plan, step)
    barrier(run.team, parts)


@inlined
def _penalties(run, plan, part, parts, step):
    """The sums of squares of the weights, for the loss: each W by one thread."""
    for n in range(part, run.operations, parts):
        if plan[n].penalty != 0:
            call(plan[n].penalty, 0, 0, 0, 0, plan[n], step)


@inlined
def _mean_loss(run, plan, decay):
    loss = 0.0
    for i in range(run.N):
        loss += run.costs[i]
    loss /= run.N
    for n in range(run.operations):
        if plan[n].penalty != 0:
            loss += 0.5 * decay * plan[n].squares[0]
    return loss


@inlined
def _begin_step(run, part, parts):
    """What this thread is told of the steps to come."""
    step, N = run.members[part], run.N
    step.N, step.lo, step.hi = N, _share(N, part, parts, ROWS), _share(N, part + 1, parts, ROWS)
    if run.grouped != 0:
        groups = groups_of(N)
        step.lo, step.hi = group_border(groups * part // parts, N), group_border(groups * (part + 1) // parts, N)
    step.samples, step.settings, step.batch = run.samples, run.settings, run.batch[part]
    step.costs, step.cursors = run.costs, moved(run.cursors, part * (N + PLACES_BEHIND))
    step.scratch = moved(run.scratch, part * run.scratch_size)
    return step


@inlined
def _steps(run, leads):
    team = run.team
    part, parts = join(team, leads != 0, run.threads)
    if part < 0:
        return 0
    step, plan, gather, last = _begin_step(run, part, parts), run.plan, run.gather, run.operations - 1
    _at_the_edge(run, plan, part, parts, step, False)
    passing = is_there(run.other_plan)  # whether this plan is good only for a while
    if passing:
        if call(run.admits, 0, 0, 0, 0, plan, step) != 0:
            _change(run.enter, run, plan, part, parts, step)
        else:
            plan, gather, passing = run.other_plan, run.other_gather, False
    steps = run.steps
    for s in range(steps):
        step.rows = moved(run.order, s * run.N)
        step.next_rows = moved(run.order, (s + 1 if s < steps - 1 else s) * run.N)
        step.rate, step.number = run.rates[s], s
        if passing and flag_is_up(team, FLAG):
            _change(run.leave, run, plan, part, parts, step)
            plan, gather, passing = run.other_plan, run.other_gather, False
        if gather != 0:
            call(gather, step.lo, step.hi, 0, 0, plan, step)
        _forward_pass(run, plan, part, parts, step)
        if run.loss == 0:
            barrier(team, parts)
            continue
        call(run.labels, step.lo, step.hi, 0, 0, plan[last], step)
        call(run.loss, step.lo, step.hi, 0, 0, plan[last], step)
        _backward_pass(run, plan, part, parts, step)
        _penalties(run, plan, part, parts, step)
        barrier(team, parts)
        loss = _mean_loss(run, plan, run.settings.decay)
        if part == 0:
            run.losses[s] = loss
        if run.stops != 0 and loss != loss:
            steps = s
            break
        if passing and call(run.holds, 0, 0, 0, 0, plan, step) == 0:
            call(run.other_gather, step.lo, step.hi, 0, 0, plan, step)
            _change(run.leave, run, plan, part, parts, step)
            plan, gather, passing = run.other_plan, run.other_gather, False
        if _update_pass(run, plan, part, parts, step):
            raise_flag(team, FLAG)
        if run.clips != 0:
            _clipped_steps(run, plan, part, parts, step)
        barrier(team, parts)
        if part == 0:
            tell_progress(team, s + 1)
    if passing:
        _change(run.leave, run, plan, part, parts, step)
    _at_the_edge(run, plan, part, parts, step, True)
    return steps


@entry
def train(run, leads):
    """The steps of a run, whose losses go to `run.losses`; the number of steps done.

    Each member of the team calls this with the same run, and `leads` 1 for one of them, else 0; who comes too late
    returns 0. With `run.stops` a loss of NaN ends the run, before that step changes anything. Without a loss it ends
    with the forward pass. Denormal numbers are taken for 0 meanwhile: on 27,000 steps of 64-32-10 7.0 µs each become
    5.5.
    """
    before = flush_denormals()
    steps = _steps(run, leads)
    restore(before)
    return steps


def run_types(real):
    """The types of `train` for a network of this dtype."""
    return Run.of(real), types.int64
