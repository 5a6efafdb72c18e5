"""The three products of an affine layer: x (N, D), W (D, M), b (M,), out and dout (N, M)."""

from fastbp.kernels.flags import kernel


@kernel
def affine_forward(x, W, b, out):
    """out = x @ W + b. x may be float32 where the others are float64."""
    rows, depth = x.shape
    for i in range(rows):
        for j in range(out.shape[1]):
            out[i, j] = b[j]
        # k outside j: rows of W and out are walked in memory order, which the vectoriser likes.
        for k in range(depth):
            xik = x[i, k]
            for j in range(out.shape[1]):
                out[i, j] += xik * W[k, j]


@kernel
def affine_backward(dout, x, W, dx, dW, db):
    """dx = dout @ W.T, dW = x.T @ dout, db = the column sums of dout."""
    affine_backward_input(dout, W, dx)
    affine_backward_params(dout, x, dW, db)


@kernel
def affine_backward_input(dout, W, dx):
    """dx (N, D) = dout @ W.T."""
    for i in range(dout.shape[0]):
        for k in range(W.shape[0]):
            total = dout[i, 0] * W[k, 0]
            for j in range(1, W.shape[1]):
                total += dout[i, j] * W[k, j]
            dx[i, k] = total


@kernel
def affine_backward_params(dout, x, dW, db):
    """dW (D, M) = x.T @ dout and db (M,) = the column sums of dout."""
    rows, depth = x.shape
    width = dout.shape[1]
    for j in range(width):
        db[j] = 0
    for k in range(depth):
        for j in range(width):
            dW[k, j] = 0
    for i in range(rows):
        for j in range(width):
            db[j] += dout[i, j]
        for k in range(depth):
            xik = x[i, k]
            for j in range(width):
                dW[k, j] += xik * dout[i, j]
