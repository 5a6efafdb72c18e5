"""The book's optimizers over dicts of parameters and gradients; parameters are changed in place."""

from fastbp.lazy import attach

__getattr__, __dir__ = attach(__name__)
