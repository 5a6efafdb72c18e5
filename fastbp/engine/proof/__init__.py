"""Whether the methods of a network do what its chain of layers does, for every input."""

from fastbp.engine.proof.proving import STEPS, check_lookups, prove

__all__ = ["STEPS", "check_lookups", "prove"]
