"""The book's networks, on the layers of any namespace: `fastbp.layers` or `fastbp.reference`."""

from fastbp.lazy import attach

__getattr__, __dir__ = attach(__name__)
