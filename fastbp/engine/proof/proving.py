"""Whether the methods of a network compute, for every input, what its chain of layers does.

The compiled loop stands in for a network's own `loss`, `gradient` and `predict` only where this has been proved. The
proof has two parts, and runs none of the user's objects:

1. The code (`code.py`). A method, and each that it calls on `self`, may name its arguments, attributes of
   `self`, and a short list of builtins and of NumPy's functions; it may neither store to an attribute or a global, nor
   import, nor handle an exception, nor compare identities. Code that does is not called.
2. A run on stand-ins. The method is called with a stand-in for `self` and opaque values for the samples and labels. An
   attribute is read where it is a number, a string, a list or dict of such, one of the layers, or `params`. What the
   layers return or hold is opaque again and knows its origin: it may be handed to the next layer, to the loss, to the
   backward pass and to the caller, and take part in the sums and products of weight decay (`values.py`).
   Whatever else is done with it, its shape, an element, a comparison, a truth value, a NumPy function, refuses the
   proof; the refusal is kept, as the method might swallow the exception.

So nothing that the method does can depend on the values, the shape or the dtype of what it is given: it does for every
input what it did here, which is compared with the chain. Each call starts with layers that have passed nothing forward,
`loss` must return the loss of its own samples and labels, `gradient` must make its own forward pass in the chain's
order, start backward with 1, and return each parameter's own gradient, plus λ times that parameter for weight decay.
A layer that takes train_flg, as it draws numbers or averages in training, must go forward once, with the right flag.
What was read of the network, its class, its functions and their globals is kept, and looked at again whenever a run
begins (`Reads.same`): where any of it has been exchanged, the proof is made anew.

Taken for granted: the layers of the chain are the library's own and unchanged (`engine/recognition.py` looks at that);
Python's builtins and NumPy are what they were; a metaclass and a tracing tool change nothing of attribute access; no
other thread changes the network during a run; weights are finite where λ is 0 (0·inf, which the book's loss then is
NaN by, is left out); and the opcodes of CPython 3.11 to 3.14 mean what their names say.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from functools import partial
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType
from typing import Any

import numpy as np

from fastbp import originals
from fastbp.chain import Chain, NotCompilable
from fastbp.engine.proof import code, values
from fastbp.engine.proof.passes import LastLayer, Layer, Self
from fastbp.engine.proof.values import Call, Loss, NotProved, Opaque, Parameter, StandIn, hidden
from fastbp.reads import MISSING, Reads

STEPS = ("loss", "gradient", "loss_and_gradient")  # the methods of a network that a training step asks for

_COPIED = (dict, OrderedDict, list, tuple)


Held = Iterable[tuple[Any, str, str]]  # (layer, attribute, name of the parameter that it is)


def prove(chain: Chain, methods: tuple[str, ...], held: Held, reads: Reads) -> dict[str, float]:
    """Proves those of the methods that the network has; λ of the weight decay, by the name of the method that has it.

    `held` says which attributes of the layers are parameters. NotCompilable naming the line that there is no proof for.
    What was read, in either case, goes to `reads`.
    """
    check_lookups(chain.network, reads)
    decays = {}
    for name in methods:
        if not _has(chain.network, name, reads):
            continue
        run = _Run(chain, held, reads)
        try:
            with np.errstate(all="ignore"):
                decay = run.decay_of(name)
        except RecursionError:
            raise NotCompilable(f"{chain.name}.{name} calls itself without end") from None
        except Exception as error:
            raise _not_compilable(chain, name, run.refusal or error, error) from None
        finally:
            vars(run).clear()  # the stand-ins know it and it knows them: nothing is left to the garbage collector
        if decay is not None:
            decays[name] = decay
    return decays


def check_lookups(network: Any, reads: Reads) -> None:
    """NotCompilable where attributes of the network are not found in it or in its class, as is usual."""
    cls = type(network)
    if (
        reads.attribute(network, "__class__") is not cls
        or reads.attribute(type(cls), "__getattribute__") is not type.__getattribute__
        or reads.in_class(cls, "__getattribute__") is not object.__getattribute__
        or reads.in_class(cls, "__getattr__") is not MISSING
        or type(reads.in_class(cls, "__dict__")) not in (GetSetDescriptorType, type(MISSING))
        or not reads.has_plain_dict(network)
    ):
        raise NotCompilable(f"{cls.__name__} has attributes that are not looked up as usual")


def _has(network: Any, name: str, reads: Reads) -> bool:
    in_class = reads.in_class(type(network), name)
    return in_class is not MISSING or reads.item(reads.dict_of(network), name) is not MISSING


def _not_compilable(chain: Chain, name: str, reason: Exception, raised: Exception) -> NotCompilable:
    where = code.line_of(raised)
    said = str(reason) if isinstance(reason, NotProved) else f"{type(reason).__name__}: {reason}"
    return NotCompilable(
        f"{chain.name} has a {name} of its own, which can't be proved to do what its layers do: {where}{said}"
    )


class _Run:
    """One call of a method on stand-ins: what the layers have passed on, and what was refused."""

    def __init__(self, chain: Chain, held: Held, reads: Reads) -> None:
        self.chain, self.reads = chain, reads
        self.refusal: NotProved | None = None
        self.samples, self.labels = Opaque(self, "the samples"), Opaque(self, "the labels")
        self.self = Self(self)
        self.passes = 0  # forward passes begun
        self.forward = [0] * len(chain.layers)  # the pass that each layer made last
        self.flags: dict[int, bool] = {}  # by the places of layers that take train_flg: what they got, once
        self.backward = [0] * len(chain.layers)  # and that of which it made the gradients
        self.gradients: dict[tuple[int, str], Any] = {}  # of the layers' parameters, as the last backward left them
        self.lost = 0  # the pass of the last loss
        # Of containers, by their id: the copy, what was in it, and the attribute that it was read from.
        self._copies: dict[int, tuple[Any, list[Any], str]] = {}
        self.parameters = {name: Parameter(self, name) for name in chain.params}
        self._layers: dict[int, StandIn] = {
            id(layer): Layer(self, place, {key: self.parameters[name] for owner, key, name in held if owner is layer})
            for place, layer in enumerate(chain.layers)
        }
        self._layers[id(chain.loss)] = LastLayer(self)

    def refuse(self, why: str) -> NotProved:
        """The exception to raise for what is not proved. Kept, in case the method swallows it."""
        error = NotProved(why)
        self.refusal = self.refusal or error
        return error

    def decay_of(self, name: str) -> float | None:
        """Calls the method; the λ of weight decay that it adds, None of a `predict`. NotProved for anything unknown."""
        method = self.attribute(name)
        if type(method) is not Call:
            raise self.refuse("it is no method of the class")
        result = method(self.samples) if name == "predict" else method(self.samples, self.labels)
        for copy, contents, read in self._copies.values():
            if not _same_contents(copy, contents):
                raise self.refuse(f"it changes self.{read}")
        if self.refusal:
            raise self.refusal
        self._check_flags(name)
        if name == "predict":
            self._check_scores(result)
            return None
        if name == "loss":
            return self._loss_decay(result)
        if name == "gradient":
            return self._gradient_decay(result)
        if type(result) is not tuple or len(result) != 2:
            raise self.refuse("it returns something else than the loss and the gradients")
        decays = self._loss_decay(result[0]), self._gradient_decay(result[1])
        if decays[0] != decays[1]:
            raise self.refuse(f"the weight decay of its loss is {decays[0]}, that of its gradients {decays[1]}")
        return decays[0]

    def _check_flags(self, name: str) -> None:
        """NotProved where layers were told to train by `predict`, or to predict by a training step.

        A step doesn't ask for the `loss` of a network that has one of its own with the gradients.
        """
        trains = name != "predict"
        if name == "loss" and originals.defines(type(self.chain.network), "gradient", "loss_and_gradient"):
            return
        if any(flag is not trains for flag in self.flags.values()):
            raise self.refuse(f"it passes the samples through layers with train_flg={not trains}")

    # What a method returned

    def _check_scores(self, result: Any) -> None:
        if hidden(result) != ("output", len(self.chain.layers) - 1, self.passes):
            raise self.refuse("it returns something else than the scores of the last layer")

    def _loss_decay(self, result: Any) -> float:
        found = result if type(result) is Loss else None
        if found is None or values.loss_of(found) != (1.0, self.lost) or not self.lost:
            raise self.refuse("it returns something else than the loss of its samples, plus weight decay")
        return self._one_decay({name: 2 * factor for name, factor in values.decays_of(found).items()})

    def _gradient_decay(self, result: Any) -> float:
        if type(result) not in (dict, OrderedDict) or result.keys() != self.parameters.keys():
            raise self.refuse(f"it returns something else than a dict with a gradient for each of {[*self.parameters]}")
        factors: dict[str, float] = {}
        for name, gradient in result.items():
            if not values.is_gradient(gradient, name):
                raise self.refuse(f"what it returns for {name} is something else than the gradient of {name}")
            decays = values.decays_of(gradient)
            if decays.keys() - {name}:
                raise self.refuse(f"it adds another parameter to the gradient of {name}")
            factors[name] = decays.get(name, 0.0)
        return self._one_decay(factors)

    def _one_decay(self, factors: dict[str, float]) -> float:
        """The λ of all weights. NotProved where they differ, or a bias decays: the loop knows one for all weights."""
        weights = {name for name, array in self.chain.params.items() if np.ndim(array) > 1}
        if any(factor != 0 for name, factor in factors.items() if name not in weights):
            raise self.refuse("it decays a parameter that is no matrix of weights")
        found = {factors.get(name, 0.0) for name in weights} or {0.0}
        if not all(0 <= decay < np.inf for decay in found):
            raise self.refuse(f"its weight decay is {found.pop()}")
        if len(found) > 1:
            raise self.refuse(f"it decays the weights unequally, by {sorted(found)}")
        return found.pop()

    # What a method reads

    def attribute(self, name: str) -> Any:
        """What `self.name` is, as a stand-in."""
        network, reads = self.chain.network, self.reads
        in_class = reads.in_class(type(network), name)
        if type(in_class) is property:
            return self._call(reads.attribute(in_class, "fget"))
        if type(in_class) is MemberDescriptorType:  # a slot
            return self._stand_in(reads.attribute(network, name), name)
        if hasattr(type(in_class), "__get__") and type(in_class) is not FunctionType:
            raise self.refuse(f"self.{name} is a {type(in_class).__name__}")
        own = reads.item(reads.dict_of(network), name)
        if own is not MISSING:
            return self._stand_in(own, name)
        if type(in_class) is FunctionType:
            return self._method(in_class)
        if in_class is MISSING:
            raise self.refuse(f"there is no self.{name}")
        return self._stand_in(in_class, name)

    def method_of(self, cls: type, name: str, *, above: bool) -> Callable[..., Any]:
        """The method that `cls`, of which self is, has under a name, or with `above` that of super() in its methods."""
        order = self.reads.attribute(type(self.chain.network), "__mro__")
        if cls not in order:
            raise self.refuse(f"it names {name} of {cls.__name__}, of which the network is none")
        for base in order[order.index(cls) + 1 :] if above else self.reads.attribute(cls, "__mro__"):
            found = self.reads.item(self.reads.vars_of(base), name)
            if type(found) is FunctionType:
                return partial(self._call, found)
            if found is not MISSING:
                break
        raise self.refuse(f"{name} of {cls.__name__} is no method")

    def layer_of(self, value: Any) -> Any:
        """The layer that a stand-in is for; None of anything else."""
        if type(value) is Layer:
            return self.chain.layers[object.__getattribute__(value, "_place")]
        return self.chain.loss if type(value) is LastLayer else None

    def _stand_in(self, value: Any, name: str) -> Any:
        if type(value) in code.PLAIN or values.is_numpy_number(value):
            return value
        if id(value) in self._layers:
            return self._layers[id(value)]
        if id(value) in self._copies:
            return self._copies[id(value)][0]
        if value is self.chain.params and type(value) in (dict, OrderedDict):
            return self._copy(value, self.parameters, name)
        if type(value) in _COPIED:
            items = dict(value.items() if isinstance(value, dict) else enumerate(value))
            return self._copy(
                value, {key: self._stand_in(each, f"{name}[{key!r}]") for key, each in items.items()}, name
            )
        raise self.refuse(f"self.{name} is of type {type(value).__name__}, which a proof can't read")

    def _copy(self, container: Any, items: dict[Any, Any], name: str) -> Any:
        """A copy that the method may have: of its type, the same one each time, looked at again at the end."""
        self.reads.contents(container)
        if not all(map(code.is_plain, items)):
            raise self.refuse(f"self.{name} has a key that is no number, string or None")
        copy = type(container)(items if isinstance(container, dict) else items.values())
        self._copies[id(container)] = copy, (list(copy.items()) if isinstance(copy, dict) else list(copy)), name
        return copy

    def _method(self, function: FunctionType) -> Call:
        return Call(self, function.__name__, partial(self._call, function))

    def _call(self, function: Any, *arguments: Any, **named: Any) -> Any:
        """Calls a function of the network's class with a stand-in for self, after a look at its code."""
        if type(function) is not FunctionType:
            raise self.refuse("it is no plain function")
        runnable = code.on_stand_ins(function, self.reads, self)
        return runnable(self.self, *arguments, **named)


def _same_contents(copy: Any, contents: list[Any]) -> bool:
    now = list(copy.items()) if isinstance(copy, dict) else list(copy)
    if len(now) != len(contents):
        return False
    if isinstance(copy, dict):
        return all(a[0] is b[0] and a[1] is b[1] for a, b in zip(now, contents, strict=True))
    return all(a is b for a, b in zip(now, contents, strict=True))
