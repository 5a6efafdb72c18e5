"""A fingerprint of memory, to see whether an array has been changed since it was looked at last."""

from fastbp.kernels.build.flags import inlined, kernel
from fastbp.kernels.tiles import address_as_int64

PRIME = 0x1E3779B97F4A7C15  # odd, its bits without a pattern


@inlined
def _mixed(hash_, word):
    hash_ = (hash_ ^ word) * PRIME
    return hash_ ^ ((hash_ >> 29) & 0x7FFFFFFFF)


@inlined
def _spread(hash_, lane):
    """Two more rounds: else equal changes in the last words of two chains, such as two signs, would cancel out."""
    return _mixed(_mixed(hash_, lane), lane)


@kernel("int64, int64")
def fingerprint(address, words):
    """A hash of so many 64-bit words, which depends on their order too.

    Eight chains side by side, as one multiplication waits for the last.
    """
    memory = address_as_int64(address)
    a, b, c, d = 0x243F6A8885A308D3, 0x13198A2E03707344, 0x2A4093822299F31D, 0x082EFA98EC4E6C89
    e, f, g, h = 0x452821E638D01377, 0x3E5466CF34E90C6C, 0x40AC29B7C97C50DD, 0x3F84D5B5B5470917
    whole = words // 8 * 8
    for i in range(0, whole, 8):
        a, b, c, d = _mixed(a, memory[i]), _mixed(b, memory[i + 1]), _mixed(c, memory[i + 2]), _mixed(d, memory[i + 3])
        e, f, g = _mixed(e, memory[i + 4]), _mixed(f, memory[i + 5]), _mixed(g, memory[i + 6])
        h = _mixed(h, memory[i + 7])
    for i in range(whole, words):
        a = _mixed(a, memory[i])
    first = _mixed(_mixed(_spread(a, 11), _spread(b, 12)), _mixed(_spread(c, 13), _spread(d, 14)))
    second = _mixed(_mixed(_spread(e, 15), _spread(f, 16)), _mixed(_spread(g, 17), _spread(h, 18)))
    return _mixed(first, second)
