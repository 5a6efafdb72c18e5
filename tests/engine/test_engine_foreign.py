"""What `fastbp.compile` does with layers, losses, optimizers and networks it does not know: what their methods say."""

from typing import Any

import numpy as np
import pytest
from chains import Chain, batches, chain, data
from nets import same_bits

import fastbp
from fastbp import SGD, Affine, Relu, SoftmaxWithLoss, reference
from fastbp.engine import NotCompilable

X, T = data(40, 6, 3)
ORDER = batches(40, 7, 5)


def net() -> Chain:
    return chain("ARA", (6, 5, 3))


class Dropout:
    def forward(self, x: Any) -> Any:
        return 0.5 * x

    def backward(self, dout: Any) -> Any:
        return 0.5 * dout


class Leaky(Relu):
    def forward(self, x: Any) -> Any:
        return super().forward(x) + 0.1 * np.minimum(x, 0)


class Backwards(Relu):
    def backward(self, dout: Any) -> Any:
        return 2 * super().backward(dout)


class Smoothed(SoftmaxWithLoss):
    def forward(self, x: Any, t: Any) -> float:
        return super().forward(x, np.full_like(x, 1 / 3))


class Halved(SGD):
    def update(self, params: Any, grads: Any) -> None:
        super().update(params, {name: 0.5 * grad for name, grad in grads.items()})


class NamedRelu(Relu):
    """Another name and nothing else: the compiled loop can run it."""


def changed(network: Chain, place: int, layer: Any) -> Chain:
    network.layers[place] = layer
    return network


def patched() -> Chain:
    network = net()
    original = network.layers[1].forward
    network.layers[1].forward = lambda x: original(2 * x)
    return network


def with_loss(loss: Any) -> Chain:
    network = net()
    network.last_layer = loss
    return network


def twice() -> Chain:
    """One Relu in two places: its second forward replaces the mask that its first needs."""
    network = chain("ARARA", (6, 5, 5, 3))
    return changed(network, 3, network.layers[1])


def mixed() -> Chain:
    network = net()
    network.layers[2].W = network.params["W2"] = network.params["W2"].astype("float32")
    return network


FOREIGN: dict[str, tuple[Any, Any, str]] = {
    "layer": (lambda: changed(net(), 1, Dropout()), SGD, r"test_engine_foreign\.Dropout is no layer"),
    "the oracle's": (lambda: changed(net(), 1, reference.Relu()), SGD, r"fastbp\.reference\.Relu is no layer"),
    "forward": (lambda: changed(net(), 1, Leaky()), SGD, "Leaky has its own forward"),
    "backward": (lambda: changed(net(), 1, Backwards()), SGD, "Backwards has its own backward"),
    "forward of an object": (patched, SGD, "Relu has its own forward"),
    "loss": (lambda: with_loss(Smoothed()), SGD, "Smoothed has its own forward"),
    "optimizer": (net, Halved, r"test_engine_foreign\.Halved is no optimizer"),
    "one layer twice": (twice, SGD, "one layer is there twice"),
    "dtypes": (mixed, SGD, r"not all float32 or all float64: \['float32', 'float64'\]"),
}


@pytest.mark.parametrize(("make", "steps", "reason"), FOREIGN.values(), ids=FOREIGN)
def test_what_is_foreign_is_run_by_the_layers(make: Any, steps: Any, reason: str) -> None:
    network = make()
    step = fastbp.compile(network, steps(0.1))
    assert not step.compiled
    with pytest.raises(NotCompilable, match=reason) as raised:
        fastbp.compile(network, steps(0.1), strict=True)
    assert step.reason == str(raised.value)
    assert step.reason in step.report()
    expected = make()
    losses, by_hand = step.run(X, T, ORDER), []
    for batch in ORDER:
        by_hand.append(expected.last_layer.forward(expected.predict(X[batch]), T[batch]))
        dout = expected.last_layer.backward()
        for layer in reversed(expected.layers):
            dout = layer.backward(dout)
        affine = [layer for layer in expected.layers if isinstance(layer, Affine)]
        grads = {f"{key}{n}": getattr(layer, f"d{key}") for n, layer in enumerate(affine, 1) for key in "Wb"}
        steps(0.1).update(expected.params, grads)
    assert losses.tolist() == by_hand
    same_bits(network.params, expected.params)


def test_another_name_is_no_other_layer() -> None:
    assert fastbp.compile(changed(net(), 1, NamedRelu()), SGD(), strict=True).compiled
