"""What stands in for a network, its layers and its loss when `proving.py` calls a method: in which order they pass."""

from typing import Any

from fastbp.chain import has_flag
from fastbp.engine.proof import values
from fastbp.engine.proof.values import Call, Loss, Opaque, Parameter, StandIn, hidden


class Self(StandIn):
    """For `self`: its attributes."""

    __slots__ = ()

    def __getattribute__(self, name: str) -> Any:
        return values.run_of(self).attribute(name)


class Layer(StandIn):
    """For a layer of the chain: its two passes, its parameters and their gradients."""

    __slots__ = ("_parameters", "_place")

    def __init__(self, run: Any, place: int, parameters: dict[str, Parameter]) -> None:
        super().__init__(run)
        object.__setattr__(self, "_place", place)
        object.__setattr__(self, "_parameters", parameters)

    def __getattribute__(self, name: str) -> Any:
        run, place = values.run_of(self), object.__getattribute__(self, "_place")
        parameters = object.__getattribute__(self, "_parameters")
        if name == "forward":
            if has_flag(run.chain.layers[place]):
                return Call(run, "forward", lambda x, train_flg=True: _forward(run, place, x, train_flg))
            return Call(run, "forward", lambda x: _forward(run, place, x))
        if name == "backward":
            return Call(run, "backward", lambda dout: _backward(run, place, dout))
        if name in parameters:
            return parameters[name]
        if name[:1] == "d" and name[1:] in parameters:
            if not run.passes or run.backward[place] != run.passes or run.forward[place] != run.passes:
                raise run.refuse(f"it reads {name} of a layer before that has gone backward")
            key = place, name
            if key not in run.gradients:  # one array, however often it is read
                run.gradients[key] = values.Gradient(run, parameters[name[1:]])
            return run.gradients[key]
        raise run.refuse(f"it reads {name} of a layer")


def _forward(run: Any, place: int, x: Any, train_flg: Any = None) -> Opaque:
    if train_flg is not None:
        if type(train_flg) is not bool:
            raise run.refuse("a layer's forward gets a train_flg that is neither True nor False")
        if place in run.flags:  # as a pass in training draws numbers, or changes averages, each time
            raise run.refuse(f"it passes samples through {type(run.chain.layers[place]).__name__} more than once")
        run.flags[place] = train_flg
    if place == 0 and x is run.samples:
        run.passes += 1
    elif place == 0 or hidden(x) != ("output", place - 1, run.passes):
        raise run.refuse("a layer's forward gets something else than the output of the layer before it")
    run.forward[place] = run.passes
    return Opaque(run, "the scores", ("output", place, run.passes))


def _backward(run: Any, place: int, dout: Any) -> Opaque:
    if hidden(dout) != ("gradient", place, run.passes):
        raise run.refuse("a layer's backward gets something else than the gradient of the layer above it")
    run.backward[place] = run.passes
    for key in [key for key in run.gradients if key[0] == place]:
        del run.gradients[key]
    return Opaque(run, "a gradient", ("gradient", place - 1, run.passes))


class LastLayer(StandIn):
    """For the loss."""

    __slots__ = ()

    def __getattribute__(self, name: str) -> Any:
        run = values.run_of(self)
        if name == "forward":
            return Call(run, "forward", lambda x, t: _loss(run, x, t))
        if name == "backward":
            return Call(run, "backward", lambda dout=1: _begin_backward(run, dout))
        raise run.refuse(f"it reads {name} of the last layer")


def _loss(run: Any, scores: Any, t: Any) -> Loss:
    if hidden(scores) != ("output", len(run.chain.layers) - 1, run.passes) or not run.passes:
        raise run.refuse("the loss gets something else than the scores of the last layer")
    if t is not run.labels:
        raise run.refuse("the loss gets something else than the labels as they are given")
    run.lost = run.passes
    return Loss(run, 1.0, run.passes, {})


def _begin_backward(run: Any, dout: Any) -> Opaque:
    if type(dout) not in (int, float) or dout != 1:
        raise run.refuse("the backward pass starts with something else than 1")
    if not run.lost or run.lost != run.passes or set(run.forward) != {run.passes}:
        raise run.refuse("the backward pass starts before its own forward pass")
    return Opaque(run, "a gradient", ("gradient", len(run.chain.layers) - 1, run.passes))
