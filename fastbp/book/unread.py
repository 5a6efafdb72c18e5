"""The first layer's dx, which a network's `gradient` computes and never reads: where that is proved, it is left out.

It is a third of the work of a training step of chapter 5, and 0.6 MB to write. The layer looks who calls it: the proof
(`fastbp.engine.proof`) says of the `gradient` method of a network that it passes dx from layer to layer and returns the
parameters' gradients alone, whatever its input; what was read for that is looked at again at each call. Anybody else
who calls `backward` gets dx.
"""

import sys
from collections.abc import Callable
from functools import wraps
from types import FrameType
from typing import Any

from fastbp.chain import NotCompilable
from fastbp.layers.without_dx import backward_without_dx, pays
from fastbp.reads import Reads

# A network that is another one in each step is proved anew each time: so many times, and then no longer.
MOST_PROOFS = 20
MOST_NETWORKS = 8  # that are known at a time, and kept
DEPTH = 3  # calls from `gradient` to `backward`, at most: a network may have two methods between


class _Proof:
    """What is known of a network: which layer's dx its `gradient` doesn't read."""

    def __init__(self, network: Any) -> None:
        self.network = network
        self._reads: Reads | None = None
        self._layers: list[Any] = []  # of the network that was proved; empty where none was
        self._proofs = 0

    def is_of(self, layer: Any) -> bool:
        """Whether it is this layer's, as the network is now: all that was read takes 8 µs to look at."""
        if self._reads is None or not self._reads.same():
            self.forget()
            self._reads = Reads()
            if self._proofs < MOST_PROOFS:
                self._proofs += 1
                self._layers = _proved(self.network, self._reads)
                _later.update((id(later), later) for later in self._layers[1:])
        return bool(self._layers) and self._layers[0] is layer

    def forget(self) -> None:
        """Nothing is known of its layers."""
        for later in self._layers[1:]:
            _later.pop(id(later), None)
        self._layers = []


_known: dict[int, _Proof] = {}
# By their id, the layers that weren't the first one when their network was proved: they get no without another look,
# which is never wrong.
_later: dict[int, Any] = {}


def left_out(backward: Callable[..., Any], parameters: Callable[..., Any]) -> Callable[..., Any]:
    """`backward` of a layer class, which leaves a dx that nobody reads to `parameters`, and returns None."""

    @wraps(backward)
    def call(self: Any, *arguments: Any, **named: Any) -> Any:
        if len(arguments) != 1 or named or _later.get(id(self)) is self:
            return backward(self, *arguments, **named)
        if _is_unread(self, sys._getframe(2)) and pays(self, arguments[0]):
            return parameters(self, arguments[0])
        return backward(self, *arguments, **named)

    return call


def _is_unread(layer: Any, frame: FrameType | None) -> bool:
    """Whether the method in this frame, or one that called it, is the `gradient` of a network that drops its dx.

    The library's networks say so themselves, by `backward_without_dx`.
    """
    if frame is not None and frame.f_code is backward_without_dx.__code__:
        return True
    for _ in range(DEPTH):
        if frame is None or not frame.f_code.co_varnames:
            return False
        code = frame.f_code
        network = frame.f_locals.get(code.co_varnames[0])
        gradient = getattr(type(network), "gradient", None)
        if gradient is None:
            return False
        if getattr(gradient, "__code__", None) is code:
            return _proof_of(network).is_of(layer)
        frame = frame.f_back
    return False


def _proof_of(network: Any) -> _Proof:
    proof = _known.get(id(network))
    if proof is None:
        for oldest in list(_known)[: len(_known) + 1 - MOST_NETWORKS]:
            if dropped := _known.pop(oldest, None):  # another thread may have been faster
                dropped.forget()
        proof = _known[id(network)] = _Proof(network)
    return proof


def _proved(network: Any, reads: Reads) -> list[Any]:
    """The layers of a network whose `gradient` is proved; none of another. What was read goes to `reads`."""
    from fastbp.engine.operations import held_in
    from fastbp.engine.proof import prove
    from fastbp.engine.recognition import bind, operations_of, read

    try:
        chain = read(network, reads)
        operations = operations_of(chain, reads)
        bind(chain, operations, Reads())  # whatever arrays the parameters are, dx isn't read
        prove(chain, ("gradient",), held_in(operations), reads)
    except (NotCompilable, ValueError):
        return []
    return list(chain.layers)
