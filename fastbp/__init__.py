"""The layers of "Deep Learning from Scratch" on Numba kernels. Every public name is loaded at its first use."""

from pathlib import Path

from fastbp.lazy import attach
from fastbp.provided import provide

__version__ = "0.1.0"

# In a checkout kernels/ stands beside this folder, not inside it.
if not (Path(__file__).parent / "kernels").is_dir():
    __path__.append(str(Path(__file__).parent.parent))

__getattr__, __dir__ = attach(__name__)

# What networks use of the floors above them, which they don't know; and what stood lower in earlier releases.
provide("scores", "fastbp.engine.scores", "predict")
provide("numerical gradients", "fastbp.gradcheck", "numerical_gradients")
for _name in ("GradientCheck", "ParameterCheck", "check_gradients"):
    provide(_name, "fastbp.gradcheck", _name)
