"""A fingerprint of memory, to see whether an array has been changed since it was looked at last."""

from fastbp.kernels.flags import inlined, kernel
from fastbp.kernels.simd import address_as_int64

PRIME = 0x1E3779B97F4A7C15  # odd, its bits without a pattern


@inlined
def _mixed(hash_, word):
    """Every bit of either changes about half of the bits: a sign that is flipped twice does not cancel out."""
    hash_ = (hash_ ^ word) * PRIME
    return hash_ ^ ((hash_ >> 29) & 0x7FFFFFFFF)


@kernel
def fingerprint(address, words):
    """A hash of so many 64-bit words, which their order changes too.

    Eight chains side by side, as one multiplication waits for the last: 1 ms for 10 MB in the third-level cache, for
    more what the memory gives.
    """
    memory = address_as_int64(address)
    a, b, c, d, e, f, g, h = 1, 2, 3, 4, 5, 6, 7, 8
    whole = words // 8 * 8
    for i in range(0, whole, 8):
        a, b, c, d = _mixed(a, memory[i]), _mixed(b, memory[i + 1]), _mixed(c, memory[i + 2]), _mixed(d, memory[i + 3])
        e, f, g = _mixed(e, memory[i + 4]), _mixed(f, memory[i + 5]), _mixed(g, memory[i + 6])
        h = _mixed(h, memory[i + 7])
    for i in range(whole, words):
        a = _mixed(a, memory[i])
    return _mixed(_mixed(_mixed(a, b), _mixed(c, d)), _mixed(_mixed(e, f), _mixed(g, h)))
