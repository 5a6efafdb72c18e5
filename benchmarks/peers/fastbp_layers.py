"""fastbp's layers and optimizers one by one, with a loop in Python."""

from typing import Any

import fastbp
from peers import RATES, layered


class Peer(layered.Layered):
    name = "fastbp layers"

    def __init__(self, sizes: Any, batch: int, optimizer: str, threads: int, *data: Any) -> None:
        fastbp.set_num_threads(threads)
        super().__init__(sizes, batch, optimizer, threads, *data)

    @staticmethod
    def missing(optimizer: str) -> str:
        return "" if hasattr(fastbp, optimizer) else f"fastbp.{optimizer} is missing"

    def namespace(self) -> Any:
        return fastbp.layers

    def optimizer(self, name: str) -> Any:
        return getattr(fastbp, name)(lr=RATES[name])

    def version(self) -> str:
        return f"fastbp {fastbp.__version__}"
