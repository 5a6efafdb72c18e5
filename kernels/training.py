"""A whole schedule of training steps in one compiled loop, for any chain of layers.

What a network is made of is data, not code: a plan, an int64 table with a row an operation, which holds addresses of
the caller's arrays. So there is one kernel for all architectures, and a new one compiles nothing.

A step has two parts, each split over the team's threads. In the first every thread takes rows of the batch through all
layers and back, in the second it takes rows of each W and makes their gradient and their update; the bits don't depend
on who takes what. Between the parts, and after them, all wait for each other; and around layers so wide that each
thread takes columns of its own instead.
"""

from numba import carray

from fastbp.kernels.batches import gather_rows, spread_rows
from fastbp.kernels.flags import kernel, shared
from fastbp.kernels.gemm import backward_input_rows, backward_params_rows_ahead, forward_rows
from fastbp.kernels.optimizers import (
    adagrad_range,
    adam_range,
    momentum_range,
    nesterov_range,
    rmsprop_range,
    sgd_range,
    squares,
    weight_decay_range,
)
from fastbp.kernels.product import FEW_DOT, Ahead
from fastbp.kernels.relu import relu_backward_range, relu_forward_range
from fastbp.kernels.sigmoid import sigmoid_backward_range, sigmoid_forward_range
from fastbp.kernels.simd import (
    add,
    address_as,
    address_as_bytes,
    address_as_float32,
    address_as_float64,
    address_as_int32,
    address_as_int64,
    flush_denormals,
    load_row_masked,
    moved,
    pointer,
    restore,
    splat,
    store_row_masked,
    width_of,
    zeros,
)
from fastbp.kernels.softmax_loss import ROWS, softmax_loss_backward_rows, softmax_loss_forward_rows
from fastbp.kernels.sparse import (
    add_bias_rows,
    add_sparse_outer,
    copy_rows,
    gather_compressed,
    magnitude,
    sparse_product_rows,
)
from fastbp.kernels.team import FLAG, barrier, flag_is_up, join, raise_flag, tell_progress

# Operations, and the columns of the plan: D inputs and M outputs a sample, the rest addresses, 0 where there is none.
AFFINE, AFFINE_RELU, RELU, SIGMOID = range(4)
CODE, D_, M_, X, OUT, MASK, DOUT, DX = range(8)
BELOW = 8  # the mask of the operation below, which its gradient is to pass
W_, B_, DW, DB = range(9, 13)
W_STATE, W_STATE2, B_STATE, B_STATE2 = range(13, 17)  # the optimizer's
SQUARES = 17  # where the sum of the squares of W goes, a float64
MASKED = 18  # 1 where the gradient that comes in has passed this operation's mask already
PLAN_COLUMNS = 19

# What the samples are: the table `samples`.
KIND, ADDRESS, FEATURES, STARTS, COLUMNS, LABEL_KIND, LABELS, CLASSES = range(8)
UINT8, FLOAT32, FLOAT64, SPARSE, IN_PLACE = range(5)  # in place: the first operation's X, nothing is gathered
INDICES, PROBABILITIES = range(2)

# Buffers of the batch: the table `batch`, a row a thread. For compressed samples also copies of their rows, each thread
# its own, and of what belongs to the first layer, padded to STRIDE columns.
BATCH_X, BATCH_LABELS, Y, BEGINS, BATCH_COLUMNS, BATCH_VALUES, STRIDE, PADDED_W, PADDED_OUT, PADDED_DOUT = range(10)
BATCH_BUFFERS = 10

# Settings: float64.
SCALE, EPS, DECAY, FIRST, SECOND = range(5)  # FIRST and SECOND are the optimizer's: momentum, beta1 and beta2, ...
SGD, MOMENTUM, NESTEROV, ADAGRAD, RMSPROP, ADAM = range(6)
# Where W has so many columns for each thread it takes its own, in the forward pass and the update: they stay in its
# caches. Else a thread takes rows of the batch through all layers. A thread's columns begin at a whole panel.
COLUMNS_EACH, COLUMNS_STEP = 96, 48
FINITE = 1e37  # sums of magnitudes below this don't overflow
NOTHING = -1  # instead of an optimizer: only the forward pass


# --- the parts of a step ---


@shared
def _gather(lo, hi, rows, samples, batch, scale, like):
    """Rows [lo, hi) of the batch."""
    D, out = samples[FEATURES], address_as(batch[BATCH_X], like)
    if samples[KIND] == UINT8:
        gather_rows(lo, hi, rows, D, address_as_bytes(samples[ADDRESS]), scale, out)
    elif samples[KIND] == FLOAT32:
        gather_rows(lo, hi, rows, D, address_as_float32(samples[ADDRESS]), scale, out)
    elif samples[KIND] == FLOAT64:
        gather_rows(lo, hi, rows, D, address_as_float64(samples[ADDRESS]), scale, out)
    elif samples[KIND] == SPARSE:
        starts, columns = address_as_int64(samples[STARTS]), address_as_int32(samples[COLUMNS])
        spread_rows(lo, hi, rows, D, starts, columns, address_as(samples[ADDRESS], like), out)


@shared
def _gather_labels(lo, hi, rows, samples, batch, like):
    if samples[LABEL_KIND] == INDICES:
        t, out = address_as_int64(samples[LABELS]), address_as_int64(batch[BATCH_LABELS])
        for i in range(lo, hi):
            out[i] = t[rows[i]]
    else:
        gather_rows(
            lo,
            hi,
            rows,
            samples[CLASSES],
            address_as(samples[LABELS], like),
            1.0,
            address_as(batch[BATCH_LABELS], like),
        )


@shared
def _gather_compressed(lo, hi, rows, samples, batch, like):
    starts, columns = address_as_int64(samples[STARTS]), address_as_int32(samples[COLUMNS])
    begins, batch_columns = address_as_int64(batch[BEGINS]), address_as_int32(batch[BATCH_COLUMNS])
    values, batch_values = address_as(samples[ADDRESS], like), address_as(batch[BATCH_VALUES], like)
    gather_compressed(lo, hi, rows, starts, columns, values, begins, batch_columns, batch_values)


@shared
def _sparse_forward(lo, hi, op, batch, cursors, like):
    begins, columns = address_as_int64(batch[BEGINS]), address_as_int32(batch[BATCH_COLUMNS])
    values, W = address_as(batch[BATCH_VALUES], like), address_as(batch[PADDED_W], like)
    product, out, stride = address_as(batch[PADDED_OUT], like), address_as(op[OUT], like), batch[STRIDE]
    sparse_product_rows(lo, hi, begins, columns, values, op[D_], W, stride, product, cursors)
    b, mask = address_as(op[B_], like), address_as_bytes(op[MASK])
    add_bias_rows(lo, hi, op[M_], product, stride, b, out, mask, op[CODE] == AFFINE_RELU)


@shared
def _pad(lo, hi, M, array, padded, stride, like):
    """Rows [lo, hi) of an array into its padded copy."""
    copy_rows(lo, hi, M, address_as(array, like), M, address_as(padded, like), stride)


@shared
def _unpad(lo, hi, M, padded, stride, array, like):
    """Rows [lo, hi) of an array from its padded copy."""
    copy_rows(lo, hi, M, address_as(padded, like), stride, address_as(array, like), M)


@shared
def _forward(lo, hi, left, right, N, op, scratch):
    D, M, x, out = op[D_], op[M_], address_as(op[X], scratch), address_as(op[OUT], scratch)
    if op[CODE] <= AFFINE_RELU:
        W, b, mask = address_as(op[W_], scratch), address_as(op[B_], scratch), address_as_bytes(op[MASK])
        forward_rows(lo, hi, left, right, N, D, M, x, W, b, out, mask, op[CODE] == AFFINE_RELU, scratch)
    elif op[CODE] == RELU:
        relu_forward_range(lo * M, hi * M, x, out, address_as_bytes(op[MASK]))
    else:
        sigmoid_forward_range(lo * M, hi * M, x, out)


@shared
def _backward(lo, hi, left, right, N, op, scratch):
    """The gradient of the operation's input."""
    D, M, dout, dx = op[D_], op[M_], address_as(op[DOUT], scratch), address_as(op[DX], scratch)
    if op[CODE] == RELU:
        relu_backward_range(lo * M, hi * M, dout, address_as_bytes(op[MASK]), dx)
    elif op[CODE] == SIGMOID:
        sigmoid_backward_range(lo * M, hi * M, dout, address_as(op[OUT], scratch), dx)
    else:
        if op[CODE] == AFFINE_RELU and op[MASKED] == 0:
            relu_backward_range(lo * M, hi * M, dout, address_as_bytes(op[MASK]), dout)
        if op[DX] != 0:
            W, below = address_as(op[W_], scratch), address_as_bytes(op[BELOW])
            backward_input_rows(lo, hi, left, right, N, D, M, dout, below, op[BELOW] != 0, W, dx, scratch)


@shared
def _loss(lo, hi, N, samples, batch, scores, gradient, eps, costs, like):
    """Rows [lo, hi) of the loss and of its gradient."""
    shape = (N, samples[CLASSES])
    x, y = carray(address_as(scores, like), shape), carray(address_as(batch[Y], like), shape)
    dx = carray(address_as(gradient, like), shape)
    if samples[LABEL_KIND] == INDICES:
        t = carray(address_as_int64(batch[BATCH_LABELS]), (N,))
        softmax_loss_forward_rows(lo, hi, x, t, eps, y, costs)
        softmax_loss_backward_rows(lo, hi, 1.0 / N, y, t, dx)
    else:
        rows = carray(address_as(batch[BATCH_LABELS], like), shape)
        softmax_loss_forward_rows(lo, hi, x, rows, eps, y, costs)
        softmax_loss_backward_rows(lo, hi, 1.0 / N, y, rows, dx)


@shared
def _column_sums(N, M, dout, db):
    """db = the column sums of dout."""
    step = zeros(1, 4, dout)
    for j in range(0, M, width_of(step)):
        sums = splat(step, 0.0)
        for i in range(N):
            sums = add(sums, load_row_masked(step, dout, i * M + j, M - j))
        store_row_masked(sums, db, j, M - j)


@shared
def _optimize(optimizer, lo, hi, W, dW, state, state2, rate, settings, like):
    """The optimizer's step for the elements [lo, hi) of a parameter."""
    if optimizer == SGD:
        sgd_range(lo, hi, W, dW, rate)
    elif optimizer == MOMENTUM:
        momentum_range(lo, hi, W, dW, address_as(state, like), rate, settings[FIRST])
    elif optimizer == NESTEROV:
        nesterov_range(lo, hi, W, dW, address_as(state, like), rate, settings[FIRST])
    elif optimizer == ADAGRAD:
        adagrad_range(lo, hi, W, dW, address_as(state, like), rate)
    elif optimizer == RMSPROP:
        rmsprop_range(lo, hi, W, dW, address_as(state, like), rate, settings[FIRST])
    else:
        first, second = address_as(state, like), address_as(state2, like)
        adam_range(lo, hi, W, dW, first, second, rate, settings[FIRST], settings[SECOND])


@shared
def _update(lo, hi, left, right, N, following, op, optimizer, rate, settings, scratch):
    """Rows [lo, hi) of an affine layer's W, or its columns [left, right), and with the first row b.

    What is added to W at once isn't made first: with SGD and no weight decay there is no dW.
    """
    D, M, dout, db = op[D_], op[M_], address_as(op[DOUT], scratch), address_as(op[DB], scratch)
    W, dW, x = address_as(op[W_], scratch), address_as(op[DW], scratch), address_as(op[X], scratch)
    direct = optimizer == SGD and settings[DECAY] == 0.0
    target = W if direct else dW
    samples, size, rows, first_row, last_row = following
    ahead = Ahead(samples, size, rows, first_row, last_row, lo, hi, left)
    backward_params_rows_ahead(lo, hi, left, right, N, D, M, dout, x, -rate, direct, target, db, scratch, ahead)
    if not direct:
        _optimize_weights(lo, hi, op, optimizer, rate, settings, scratch)
    if lo == 0:
        _optimize_bias(left, right, op, optimizer, rate, settings, scratch)


@shared
def _growth(N, M, op, batch, rate, like):
    """The most that an element of the first W, or of its gradient, can grow in this step; or NaN."""
    begins, values = address_as_int64(batch[BEGINS]), address_as(batch[BATCH_VALUES], like)
    gradient = magnitude(0, N * M, address_as(op[DOUT], like))
    return max(abs(rate), 1.0) * float(gradient) * float(magnitude(begins[0], begins[N], values))


@shared
def _next_dense(lo, hi, rows, samples, wanted):
    """What `_update` asks for: the same rows, or nothing unless they are wanted."""
    size = 0
    if wanted and samples[KIND] <= FLOAT64:
        size = samples[FEATURES] << (0 if samples[KIND] == UINT8 else 2 if samples[KIND] == FLOAT32 else 3)
    return address_as_bytes(samples[ADDRESS]), size, rows, lo, hi


@shared
def _sparse_update(lo, hi, N, op, batch, optimizer, rate, settings, cursors, scratch):
    """The same on compressed samples, all columns; whether the W that an optimizer made is finite."""
    M, dout, W = op[M_], address_as(batch[PADDED_DOUT], scratch), address_as(batch[PADDED_W], scratch)
    begins, columns = address_as_int64(batch[BEGINS]), address_as_int32(batch[BATCH_COLUMNS])
    values, stride = address_as(batch[BATCH_VALUES], scratch), batch[STRIDE]
    direct, finite = optimizer == SGD and settings[DECAY] == 0.0, True
    if not direct:  # the copy of W is where dW is made
        for i in range(lo * stride, hi * stride):
            W[i] = 0.0
    alpha = -rate if direct else 1.0
    add_sparse_outer(lo, hi, N, begins, columns, values, dout, alpha, W, stride, cursors)
    if not direct:
        _unpad(lo, hi, M, batch[PADDED_W], stride, op[DW], scratch)
        _optimize_weights(lo, hi, op, optimizer, rate, settings, scratch)
        _pad(lo, hi, M, op[W_], batch[PADDED_W], stride, scratch)
        finite = magnitude(lo * stride, hi * stride, W) < FINITE
    if lo == 0:
        _column_sums(N, M, address_as(op[DOUT], scratch), address_as(op[DB], scratch))
        _optimize_bias(0, M, op, optimizer, rate, settings, scratch)
    return finite


@shared
def _optimize_weights(lo, hi, op, optimizer, rate, settings, like):
    """Rows [lo, hi) of W from those of dW."""
    M, W, dW = op[M_], address_as(op[W_], like), address_as(op[DW], like)
    if settings[DECAY] != 0.0:
        weight_decay_range(lo * M, hi * M, W, dW, settings[DECAY])
    _optimize(optimizer, lo * M, hi * M, W, dW, op[W_STATE], op[W_STATE2], rate, settings, like)


@shared
def _optimize_bias(left, right, op, optimizer, rate, settings, like):
    b, db = address_as(op[B_], like), address_as(op[DB], like)
    _optimize(optimizer, left, right, b, db, op[B_STATE], op[B_STATE2], rate, settings, like)


@shared
def _share(size, part, parts, multiple):
    """Where part number `part` of so many begins; the last one ends at `size`."""
    return size if part == parts else size * part // parts // multiple * multiple


@shared
def _is_ready(op):
    """Whether an affine layer's incoming gradient is all that its product needs."""
    return op[CODE] == AFFINE or (op[CODE] == AFFINE_RELU and op[MASKED] != 0)


# --- the kernel ---


@shared
def _train(
    team, leads, wanted, plan, samples, batch, settings, optimizer, rates, order, costs, cursors, losses, stops, scratch
):
    meeting = pointer(team)
    part, parts = join(meeting, leads, wanted)
    if part < 0:
        return 0
    own = moved(pointer(scratch), part * (scratch.size // wanted))
    steps, N, ops = order.shape[0], order.shape[1], plan.shape[0]
    first, data, places, numbers = pointer(plan), pointer(samples), pointer(batch[part]), pointer(settings)
    last, decay = moved(first, (ops - 1) * PLAN_COLUMNS), settings[DECAY]
    lo, hi = _share(N, part, parts, ROWS), _share(N, part + 1, parts, ROWS)
    places_in_rows = moved(pointer(cursors), part * N)  # of this thread alone
    columns_pay, direct = parts > 1 and N > FEW_DOT, optimizer == SGD and decay == 0.0
    compressed = samples[KIND] == SPARSE and first[CODE] <= AFFINE_RELU
    M, top, bottom = first[M_], _share(first[D_], part, parts, 8), _share(first[D_], part + 1, parts, 8)
    room = 0.0  # how much the first W may grow
    if compressed:
        room = FINITE - float(magnitude(0, first[D_] * M, address_as(first[W_], own)))
    padded = room > 0.0  # then the padded copy of W is what is trained
    if padded:
        _pad(top, bottom, M, first[W_], places[PADDED_W], places[STRIDE], own)
        barrier(meeting, parts)
    for s in range(steps):
        rows, sparse = moved(pointer(order), s * N), padded and not flag_is_up(meeting, FLAG)
        if padded and not sparse:
            _unpad(top, bottom, M, places[PADDED_W], places[STRIDE], first[W_], own)
            padded = False
            barrier(meeting, parts)
        if sparse:
            # All rows, as the update reads them all: to read another core's copies costs more than to make them.
            (start, end) = (lo, hi) if optimizer == NOTHING else (0, N)
            _gather_compressed(start, end, rows, data, places, own)
        else:
            _gather(lo, hi, rows, data, places, settings[SCALE], own)
        apart = False  # whether the rows are complete only when all have met
        for n in range(ops):
            op = moved(first, n * PLAN_COLUMNS)
            if n == 0 and sparse:
                _sparse_forward(lo, hi, first, places, places_in_rows, own)
                continue
            split = columns_pay and op[CODE] <= AFFINE_RELU and op[M_] >= parts * COLUMNS_EACH
            if split or apart:
                barrier(meeting, parts)
            if split:
                left, right = _share(op[M_], part, parts, COLUMNS_STEP), _share(op[M_], part + 1, parts, COLUMNS_STEP)
                _forward(0, N, left, right, N, op, own)
            else:
                _forward(lo, hi, 0, op[M_], N, op, own)
            apart = split
        if apart:
            barrier(meeting, parts)
        if optimizer == NOTHING:
            barrier(meeting, parts)
            continue
        _gather_labels(lo, hi, rows, data, places, own)
        _loss(lo, hi, N, data, places, last[OUT], last[DOUT], settings[EPS], pointer(costs), own)
        apart = False
        for n in range(ops - 1, -1, -1):
            op = moved(first, n * PLAN_COLUMNS)
            split = columns_pay and op[DX] != 0 and op[D_] >= parts * COLUMNS_EACH and _is_ready(op)
            if split or apart:
                barrier(meeting, parts)
            if split:
                left, right = _share(op[D_], part, parts, COLUMNS_STEP), _share(op[D_], part + 1, parts, COLUMNS_STEP)
                _backward(0, N, left, right, N, op, own)
            else:
                _backward(lo, hi, 0, op[D_], N, op, own)
            apart = split
        if sparse:
            _pad(lo, hi, M, first[DOUT], places[PADDED_DOUT], places[STRIDE], own)
        if decay != 0.0:
            for n in range(part, ops, parts):
                op = moved(first, n * PLAN_COLUMNS)
                if op[CODE] <= AFFINE_RELU:
                    address_as_float64(op[SQUARES])[0] = squares(op[D_] * op[M_], address_as(op[W_], own))
        barrier(meeting, parts)
        loss = 0.0
        for i in range(N):
            loss += costs[i]
        loss /= N
        if decay != 0.0:
            for n in range(ops):
                op = moved(first, n * PLAN_COLUMNS)
                if op[CODE] <= AFFINE_RELU:
                    loss += 0.5 * decay * address_as_float64(op[SQUARES])[0]
        if part == 0:
            losses[s] = loss
        if stops and loss != loss:
            steps = s
            break
        if sparse:
            room -= _growth(N, M, first, places, rates[s], own)
        if sparse and not room > 0.0:  # 0 · inf and 0 · NaN are NaN: zeros can't be skipped
            _gather(lo, hi, rows, data, places, settings[SCALE], own)
            if direct:
                _unpad(top, bottom, M, places[PADDED_W], places[STRIDE], first[W_], own)
            padded = False
            barrier(meeting, parts)
            sparse = False
        after = moved(rows, N) if s < steps - 1 else rows
        # From the last layer to the first: each W is in the caches, W2 from the gradient, W1 then for the next forward.
        for n in range(ops - 1, -1, -1):
            op = moved(first, n * PLAN_COLUMNS)
            if sparse and n == 0:
                if top < bottom:
                    finite = _sparse_update(
                        *(top, bottom, N, op, places),
                        *(optimizer, rates[s], numbers, places_in_rows, own),
                    )
                    if not finite:
                        raise_flag(meeting, FLAG)
            elif op[CODE] <= AFFINE_RELU:
                (start, end), (left, right) = (0, op[D_]), (0, op[M_])
                if columns_pay and direct and op[M_] >= parts * COLUMNS_EACH:
                    left, right = _share(right, part, parts, COLUMNS_STEP), _share(right, part + 1, parts, COLUMNS_STEP)
                else:
                    start, end = _share(end, part, parts, 8), _share(end, part + 1, parts, 8)
                if start < end:
                    following = _next_dense(lo, hi, after, data, n == 0)
                    _update(start, end, left, right, N, following, op, optimizer, rates[s], numbers, own)
        barrier(meeting, parts)
        if part == 0:
            tell_progress(meeting, s + 1)
    if padded and direct:
        _unpad(top, bottom, M, places[PADDED_W], places[STRIDE], first[W_], own)
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
    steps = _train(
        *(team, leads, wanted, plan, samples, batch, settings, optimizer),
        *(rates, order, costs, cursors, losses, stops, scratch),
    )
    restore(before)
    return steps
