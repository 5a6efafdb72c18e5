"""The tables that tell the compiled loop what to do: a network, its samples and its buffers as data.

All are int64, but for the settings; addresses are those of the caller's arrays.
"""

# Operations, and the columns of the plan: D inputs and M outputs a sample, the rest addresses, 0 where there is none.
AFFINE, AFFINE_RELU, RELU, SIGMOID = range(4)
CODE, D_, M_, X, OUT, MASK, DOUT, DX = range(8)
BELOW = 8  # the mask of the operation below, which its gradient is to pass
W_, B_, DW, DB = range(9, 13)
W_STATE, W_STATE2, B_STATE, B_STATE2 = range(13, 17)  # the optimizer's
SQUARES = 17  # where the sum of the squares of W goes, a float64
MASKED = 18  # 1 where the gradient that comes in has passed this operation's mask already
HOME = 19  # the caller's W, where W_ is an aligned copy of it for the time of a run
PLAN_COLUMNS = 20

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
NOTHING = -1  # instead of an optimizer: only the forward pass
