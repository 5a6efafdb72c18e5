"""Dense samples (N, D) to compressed rows (CSR) of their non-zeros."""

from fastbp.kernels.flags import kernel


@kernel
def count_nonzeros(x, starts):
    """starts (N + 1,): how many non-zeros lie before each row of x, and in all."""
    total = 0
    starts[0] = 0
    for i in range(x.shape[0]):
        for k in range(x.shape[1]):
            total += x[i, k] != 0
        starts[i + 1] = total


@kernel
def compress_rows(x, scale, starts, columns, values):
    """The columns and values, times scale (1,), of the non-zeros of x, row by row; rounded as a dense batch is."""
    for i in range(x.shape[0]):
        e = starts[i]
        for k in range(x.shape[1]):
            if x[i, k] != 0:
                columns[e] = k
                values[e] = x[i, k]
                values[e] *= scale[0]
                e += 1
