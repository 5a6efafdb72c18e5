"""The layers, on compiled kernels: `forward(x)` keeps what `backward(dout)` needs."""

import sys

from fastbp.lazy import attach

__getattr__, __dir__ = attach(__name__)

# Where layers stood in earlier releases, which their pickles name.
sys.modules |= dict.fromkeys([f"{__name__}.activation", f"{__name__}.loss"], sys.modules[__name__])
