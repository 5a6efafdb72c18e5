"""The first layer's dx, which a network's `gradient` computes and never reads: where that is proved, it is left out.

It is a third of the work of a training step of chapter 5, and 0.6 MB to write. The layer looks who calls it: the proof
(`fastbp.engine.proof`) says of the `gradient` method of a network that it passes dx from layer to layer and returns the
parameters' gradients alone, whatever samples and labels it gets; what was read for that is looked at again at each
call, and so is what else `gradient` was called with. Anybody else who calls `backward` gets dx.
"""

import dis
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, wraps
from types import CodeType, FrameType, FunctionType, NoneType
from typing import Any, NamedTuple

from fastbp.chain import NotCompilable
from fastbp.layers.without_dx import backward_without_dx, pays
from fastbp.reads import Reads

# A network that is another one in each step is proved anew each time: so many times, and then no longer.
MOST_PROOFS = 20
MOST_NETWORKS = 8  # that are known at a time, and kept
DEPTH = 3  # calls from `gradient` to `backward`, at most: a network may have two methods between


class _Call(NamedTuple):
    """What a call of `gradient` must have for the proof to be of it, by the names of its local variables."""

    x: str
    t: str
    others: dict[str, Any]  # of further arguments: their defaults, with which it was proved

    def is_this(self, found: Mapping[str, Any]) -> bool:
        """Whether it is the call with these variables. Samples and labels may be anything that no `is` tells apart."""
        x, t, others = self
        if type(found.get(x)) in _TOLD_APART or type(found.get(t)) in _TOLD_APART:
            return False
        return not others or all(found.get(name, self) is value for name, value in others.items())


_TOLD_APART = {NoneType, bool}  # which a proof lets a method ask for: `if t is None`


class _Proof:
    """What is known of a network: which layer's dx its `gradient` doesn't read."""

    def __init__(self, network: Any) -> None:
        self.network = network
        self._reads: Reads | None = None
        self._layers: list[Any] = []  # of the network that was proved; empty where none was
        self._call: _Call | None = None  # which calls of its `gradient` were
        self._proofs = 0

    def is_of(self, layer: Any, found: Mapping[str, Any]) -> bool:
        """Whether it is this layer's, in the call of `gradient` with these variables, as the network is now.

        All that was read takes 8 µs to look at.
        """
        if self._reads is None or not self._reads.same():
            self.forget()
            self._reads = Reads()
            if self._proofs < MOST_PROOFS:
                self._proofs += 1
                self._layers = _proved(self.network, self._reads)
                self._call = _call_of(type(self.network).gradient) if self._layers else None
                if self._call is None:
                    self._layers = []
                _later.update((id(later), later) for later in self._layers[1:])
        return self._call is not None and self._layers[0] is layer and self._call.is_this(found)

    def forget(self) -> None:
        """Nothing is known of its layers."""
        for later in self._layers[1:]:
            _later.pop(id(later), None)
        self._layers, self._call = [], None


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
        found = frame.f_locals
        network = found.get(code.co_varnames[0])
        gradient = getattr(type(network), "gradient", None)
        if gradient is None:
            return False
        if getattr(gradient, "__code__", None) is code and gradient.__globals__ is frame.f_globals:
            return _proof_of(network).is_of(layer, found)
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


def _call_of(gradient: FunctionType) -> _Call | None:
    """The calls that the proof of a `gradient` is of; None where its variables don't tell what it was called with."""
    code = gradient.__code__
    arguments = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    if code.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS) or set(_bound(code)).intersection(arguments):
        return None
    _, x, t, *_ = arguments
    optional = arguments[3 : code.co_argcount]
    others = dict(zip(optional, (gradient.__defaults__ or ())[-len(optional) :], strict=False))
    others |= gradient.__kwdefaults__ or {}
    others |= {
        name: cell.cell_contents for name, cell in zip(code.co_freevars, gradient.__closure__ or (), strict=True)
    }
    return _Call(x, t, others)


@lru_cache(maxsize=64)
def _bound(code: CodeType) -> tuple[str, ...]:
    """The variables that a function, or one inside it, binds or deletes; its arguments aren't bound by being given."""
    return tuple(_bindings(code, "FAST|DEREF"))


def _bindings(code: CodeType, kinds: str) -> Iterator[str]:
    for instruction in dis.get_instructions(code):
        # One instruction may do two things: STORE_FAST_LOAD_FAST.
        does = re.findall(rf"(STORE|DELETE|LOAD)_(?:{kinds})", instruction.opname)
        names = instruction.argval if type(instruction.argval) is tuple else (instruction.argval,)
        if does:
            yield from (name for what, name in zip(does, names, strict=False) if what != "LOAD")
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _bindings(inner, "DEREF")


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
