"""The book's way: its layers in plain NumPy and a loop in Python. The number of threads is the BLAS's."""

from typing import Any

import numpy as np

from fastbp import reference
from peers import layered, needs


class Peer(layered.Layered):
    name = "NumPy layers"
    missing = staticmethod(needs())

    def namespace(self) -> Any:
        return reference

    def optimizer(self, name: str) -> Any:
        return layered.OPTIMIZERS[name]()

    def version(self) -> str:
        return f"NumPy {np.__version__}"
