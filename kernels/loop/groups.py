"""Groups of the samples of a batch, for sums over it: the same ones for any number of threads, so the same bits."""

from fastbp.kernels.build.flags import inlined
from fastbp.kernels.softmax_loss import ROWS

GROUPS = 16  # at most: each has sums of its own, and more threads than these find none to make


@inlined
def groups_of(N):
    """How many groups a batch of N samples has, none of them empty."""
    return max(1, min(N // ROWS, GROUPS))


@inlined
def group_border(group, N):
    """Where a group begins, and the one before it ends: shares of a batch begin at multiples of ROWS."""
    groups = groups_of(N)
    return N if group == groups else N * group // groups // ROWS * ROWS
