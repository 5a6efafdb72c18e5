"""The parts of a training step: what a thread does for rows of a batch, or of a W.

`op` is a row of the plan, `like` or `scratch` memory of the network's dtype; the tables are those of `kernels.plan`.
"""

from numba import carray

from fastbp.kernels.batches import gather_rows, spread_rows
from fastbp.kernels.flags import shared
from fastbp.kernels.gemm import backward_input_rows, backward_params_rows_ahead, forward_rows
from fastbp.kernels.optimizers import (
    adagrad_range,
    adam_range,
    momentum_range,
    nesterov_range,
    rmsprop_range,
    sgd_range,
    weight_decay_range,
)
from fastbp.kernels.plan import (
    ADAGRAD,
    ADDRESS,
    AFFINE_RELU,
    B_,
    B_STATE,
    B_STATE2,
    BATCH_COLUMNS,
    BATCH_LABELS,
    BATCH_VALUES,
    BATCH_X,
    BEGINS,
    BELOW,
    CLASSES,
    CODE,
    COLUMNS,
    D_,
    DB,
    DECAY,
    DOUT,
    DW,
    DX,
    FEATURES,
    FIRST,
    FLOAT32,
    FLOAT64,
    INDICES,
    KIND,
    LABEL_KIND,
    LABELS,
    M_,
    MASK,
    MASKED,
    MOMENTUM,
    NESTEROV,
    OUT,
    PADDED_DOUT,
    PADDED_OUT,
    PADDED_W,
    RELU,
    RMSPROP,
    SECOND,
    SGD,
    SIGMOID,
    SPARSE,
    STARTS,
    STRIDE,
    UINT8,
    W_,
    W_STATE,
    W_STATE2,
    X,
    Y,
)
from fastbp.kernels.product import Ahead
from fastbp.kernels.relu import relu_backward_range, relu_forward_range
from fastbp.kernels.sigmoid import sigmoid_backward_range, sigmoid_forward_range
from fastbp.kernels.simd import (
    address_as,
    address_as_bytes,
    address_as_float32,
    address_as_float64,
    address_as_int32,
    address_as_int64,
)
from fastbp.kernels.softmax_loss import softmax_loss_backward_rows, softmax_loss_forward_rows
from fastbp.kernels.sparse import (
    CHAIN,
    add_bias_rows,
    add_sparse_outer,
    all_finite,
    ask_for_compressed,
    column_sums,
    copy_rows,
    gather_compressed,
    magnitude,
    sparse_product_rows,
)

LARGEST_SUM = 1e37  # of magnitudes, so that nothing overflows


@shared
def gather(lo, hi, rows, samples, batch, scale, like):
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
def gather_labels(lo, hi, rows, samples, batch, like):
    if samples[LABEL_KIND] == INDICES:
        t, out = address_as_int64(samples[LABELS]), address_as_int64(batch[BATCH_LABELS])
        for i in range(lo, hi):
            out[i] = t[rows[i]]
    else:
        t_rows, out_rows = address_as(samples[LABELS], like), address_as(batch[BATCH_LABELS], like)
        gather_rows(lo, hi, rows, samples[CLASSES], t_rows, 1.0, out_rows)


@shared
def gather_sparse(lo, hi, rows, samples, batch, like):
    starts, columns = address_as_int64(samples[STARTS]), address_as_int32(samples[COLUMNS])
    begins, batch_columns = address_as_int64(batch[BEGINS]), address_as_int32(batch[BATCH_COLUMNS])
    values, batch_values = address_as(samples[ADDRESS], like), address_as(batch[BATCH_VALUES], like)
    gather_compressed(lo, hi, rows, starts, columns, values, begins, batch_columns, batch_values)


@shared
def ask_for_sparse(lo, hi, batch, like):
    """Samples [lo, hi) that lie side by side."""
    begins, columns = address_as_int64(batch[BEGINS]), address_as_int32(batch[BATCH_COLUMNS])
    values = address_as(batch[BATCH_VALUES], like)
    ask_for_compressed(begins[lo], begins[hi], columns, values)


@shared
def sparse_forward(lo, hi, op, batch, cursors, like):
    begins, columns = address_as_int64(batch[BEGINS]), address_as_int32(batch[BATCH_COLUMNS])
    values, W = address_as(batch[BATCH_VALUES], like), address_as(batch[PADDED_W], like)
    product, out, stride = address_as(batch[PADDED_OUT], like), address_as(op[OUT], like), batch[STRIDE]
    sparse_product_rows(lo, hi, begins, columns, values, op[D_], W, stride, product, cursors)
    b, mask = address_as(op[B_], like), address_as_bytes(op[MASK])
    add_bias_rows(lo, hi, op[M_], product, stride, b, out, mask, op[CODE] == AFFINE_RELU)


@shared
def pad(lo, hi, M, array, padded, stride, like):
    """Rows [lo, hi) of an array into its padded copy."""
    copy_rows(lo, hi, M, address_as(array, like), M, address_as(padded, like), stride)


@shared
def unpad(lo, hi, M, padded, stride, array, like):
    """Rows [lo, hi) of an array from its padded copy."""
    copy_rows(lo, hi, M, address_as(padded, like), stride, address_as(array, like), M)


@shared
def forward(lo, hi, left, right, N, op, scratch):
    D, M, x, out = op[D_], op[M_], address_as(op[X], scratch), address_as(op[OUT], scratch)
    if op[CODE] <= AFFINE_RELU:
        W, b, mask = address_as(op[W_], scratch), address_as(op[B_], scratch), address_as_bytes(op[MASK])
        forward_rows(lo, hi, left, right, N, D, M, x, W, b, out, mask, op[CODE] == AFFINE_RELU, scratch)
    elif op[CODE] == RELU:
        relu_forward_range(lo * M, hi * M, x, out, address_as_bytes(op[MASK]))
    else:
        sigmoid_forward_range(lo * M, hi * M, x, out)


@shared
def backward(lo, hi, left, right, N, op, scratch):
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
def loss_and_gradient(lo, hi, N, samples, batch, scores, gradient, eps, costs, like):
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
def adds_at_once(N, optimizer, settings):
    """Whether the gradient of N samples is added to W where it is made: with SGD, no weight decay, and one addition.

    Chain by chain, 60,000 samples would be 469 additions, and what is below half a unit in the last place of W is lost
    in each: of a float32 step with lr = 1e-4 59 % was made.
    """
    return optimizer == SGD and settings[DECAY] == 0.0 and N <= CHAIN


@shared
def update(lo, hi, left, right, N, next_rows, op, optimizer, rate, settings, scratch):
    """Rows [lo, hi) of an affine layer's W, or its columns [left, right), and with the first row b.

    What is added to W at once isn't made first: see `adds_at_once`.
    """
    D, M, dout, db = op[D_], op[M_], address_as(op[DOUT], scratch), address_as(op[DB], scratch)
    W, dW, x = address_as(op[W_], scratch), address_as(op[DW], scratch), address_as(op[X], scratch)
    direct = adds_at_once(N, optimizer, settings)
    target = W if direct else dW
    samples, size, rows, first_row, last_row = next_rows
    ahead = Ahead(samples, size, rows, first_row, last_row, lo, hi, left)
    backward_params_rows_ahead(lo, hi, left, right, N, D, M, dout, x, -rate, direct, target, db, scratch, ahead)
    if not direct:
        _optimize_weights(lo, hi, op, optimizer, rate, settings, scratch)
    if lo == 0:
        _optimize_bias(left, right, op, optimizer, rate, settings, scratch)


@shared
def room_to_grow(op, like):
    """How far the sums with a W may grow before one could overflow: more than 0 while W is finite."""
    return LARGEST_SUM - float(magnitude(0, op[D_] * op[M_], address_as(op[W_], like)))


@shared
def growth(N, M, op, batch, rate, like):
    """The most that an element of the first W, or of its gradient, can grow in this step; or NaN."""
    begins, values = address_as_int64(batch[BEGINS]), address_as(batch[BATCH_VALUES], like)
    gradient = magnitude(0, N * M, address_as(op[DOUT], like))
    return max(abs(rate), 1.0) * float(gradient) * float(magnitude(begins[0], begins[N], values))


@shared
def next_dense(lo, hi, rows, samples, wanted):
    """What `update` asks for: the rows [lo, hi) of a batch, or nothing unless they are wanted."""
    size = 0
    if wanted and samples[KIND] <= FLOAT64:
        size = samples[FEATURES] << (0 if samples[KIND] == UINT8 else 2 if samples[KIND] == FLOAT32 else 3)
    return address_as_bytes(samples[ADDRESS]), size, rows, lo, hi


@shared
def sparse_update(lo, hi, N, op, batch, optimizer, rate, settings, cursors, scratch):
    """Rows [lo, hi) of the padded W from compressed samples, and with the first row b.

    Whether what an optimizer made is finite; what is added at once stays so, see `growth`.
    """
    M, dout, W = op[M_], address_as(batch[PADDED_DOUT], scratch), address_as(batch[PADDED_W], scratch)
    begins, columns = address_as_int64(batch[BEGINS]), address_as_int32(batch[BATCH_COLUMNS])
    values, stride = address_as(batch[BATCH_VALUES], scratch), batch[STRIDE]
    direct, finite = adds_at_once(N, optimizer, settings), True
    add_sparse_outer(lo, hi, N, begins, columns, values, dout, -rate, direct, W, stride, cursors, scratch)
    if not direct:  # the copy of W is where dW was made
        unpad(lo, hi, M, batch[PADDED_W], stride, op[DW], scratch)
        _optimize_weights(lo, hi, op, optimizer, rate, settings, scratch)
        pad(lo, hi, M, op[W_], batch[PADDED_W], stride, scratch)
        finite = all_finite(lo * stride, hi * stride, W)
    if lo == 0:
        column_sums(N, M, address_as(op[DOUT], scratch), address_as(op[DB], scratch))
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
