"""The limit: how fast this processor multiplies and adds, measured in registers alone."""

from fastbp.kernels.build.flags import kernel
from fastbp.kernels.tiles import fma, lanes_of, row, splat, store, zeros
from fastbp.kernels.tiles.target import TARGET, lanes

# More than latency x throughput anywhere, and registers to spare for the two factors.
PEAK_CHAINS = 20 if TARGET.registers == 32 else 12


@kernel
def fma_peak(out, steps):
    """out (PEAK_CHAINS * lanes,): independent chains of multiply-adds in registers, `steps` long; see `peak_flops`."""
    acc = zeros(PEAK_CHAINS, 1, out)
    a, b = splat(row(acc, 0), out[0]), splat(row(acc, 0), out[1])
    for _ in range(steps // 4):  # one step a round is bound by the loop, by luck: 96 to 108 GFLOP/s of 110 with AVX2
        acc = fma(fma(fma(fma(acc, a, b), a, b), a, b), a, b)
    for _ in range(steps % 4):
        acc = fma(acc, a, b)
    store(acc, out, 0, lanes_of(out))


def peak_flops(dtype, steps):
    """Floating-point operations in one call of fma_peak."""
    return 2 * PEAK_CHAINS * lanes(dtype) * steps
