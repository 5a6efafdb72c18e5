"""fastbp's layers and optimizers one by one, with a loop in Python."""

from typing import Any

import fastbp
from peers import RATES, Job, layered


class Peer(layered.Layered):
    name = "fastbp layers"

    def __init__(self, job: Job) -> None:
        fastbp.set_num_threads(job.threads)
        super().__init__(job)

    @staticmethod
    def missing(optimizer: str) -> str:
        return "" if hasattr(fastbp, optimizer) else f"fastbp.{optimizer} is missing"

    def namespace(self) -> Any:
        return fastbp.layers

    def optimizer(self, name: str) -> Any:
        return getattr(fastbp, name)(lr=RATES[name])

    def version(self) -> str:
        return f"fastbp {fastbp.__version__}"
