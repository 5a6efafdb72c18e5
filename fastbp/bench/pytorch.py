"""PyTorch at its best: no graph but in training, results into given memory where that is possible. Needs PyTorch."""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.system.threads import get_num_threads


def installed() -> bool:
    return find_spec("torch") is not None


@lru_cache(maxsize=1)
def _torch() -> Any:
    torch = import_module("torch")
    torch.set_num_threads(get_num_threads())
    torch.set_grad_enabled(False)
    return torch


def product(operation: str, arrays: dict[str, NDArray[Any]], out: NDArray[Any]) -> Callable[[], Any]:
    """One of the three products of an affine layer; without the column sums of dout, as `np.dot`."""
    torch, a = _torch(), _tensors(arrays)
    result = torch.from_numpy(out)
    if operation == "affine_forward":
        return lambda: torch.addmm(a["b"], a["x"], a["W"], out=result)
    left, right = (a["x"].T, a["dout"]) if operation == "affine_backward_params" else (a["dout"], a["W"].T)
    return lambda: torch.mm(left, right, out=result)


def layer(operation: str, arrays: dict[str, NDArray[Any]]) -> Callable[[], tuple[Any, ...]]:
    """forward and backward by the functions that PyTorch's graph would call."""
    return LAYERS[operation](_torch(), _tensors(arrays))


def _tensors(arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    return {name: _torch().from_numpy(array) for name, array in arrays.items()}


def _affine(torch: Any, a: dict[str, Any]) -> Callable[[], tuple[Any, ...]]:
    x, W, b, dout = (a[name] for name in ("x", "W", "b", "dout"))
    return lambda: (torch.addmm(b, x, W), torch.mm(dout, W.T), torch.mm(x.T, dout), dout.sum(0))


def _relu(torch: Any, a: dict[str, Any]) -> Callable[[], tuple[Any, ...]]:
    def passes() -> tuple[Any, ...]:
        out = torch.relu(a["x"])
        return out, torch.ops.aten.threshold_backward(a["dout"], out, 0)

    return passes


def _sigmoid(torch: Any, a: dict[str, Any]) -> Callable[[], tuple[Any, ...]]:
    def passes() -> tuple[Any, ...]:
        out = torch.sigmoid(a["x"])
        return out, torch.ops.aten.sigmoid_backward(a["dout"], out)

    return passes


def _softmax_loss(torch: Any, a: dict[str, Any]) -> Callable[[], tuple[Any, ...]]:
    aten, x, t = torch.ops.aten, a["x"], a["t"]
    one = torch.ones((), dtype=x.dtype)

    def passes() -> tuple[Any, ...]:
        log_y = torch.log_softmax(x, 1)
        loss, total = aten.nll_loss_forward(log_y, t, None, 1, -100)
        gradient = aten.nll_loss_backward(one, log_y, t, None, 1, -100, total)
        return float(loss), aten._log_softmax_backward_data(gradient, log_y, 1, x.dtype)

    return passes


LAYERS: dict[str, Callable[[Any, dict[str, Any]], Callable[[], tuple[Any, ...]]]] = {
    "Affine": _affine,
    "Relu": _relu,
    "Sigmoid": _sigmoid,
    "SoftmaxWithLoss": _softmax_loss,
}


# Training ------------------------------------------------------------------------------------------------------------


def transposed(torch: Any, params: Iterable[NDArray[Any]]) -> list[Any]:
    """W, b, W, b, ... as tensors of their own; `torch.nn.Linear` keeps its weights as (outputs, inputs)."""
    return [torch.from_numpy(np.array(parameter.T, order="C")) for parameter in params]


def chain_loss(torch: Any, params: Sequence[Any], x: Any, t: Any) -> Any:
    """The loss of affine layers with ReLU between them, for what `transposed` gives."""
    functional = torch.nn.functional
    for i in range(0, len(params), 2):
        x = functional.linear(x, params[i], params[i + 1])
        if i + 2 < len(params):
            x = functional.relu(x)
    return functional.cross_entropy(x, t)


def training(
    initial: dict[str, NDArray[Any]], x: NDArray[Any], t: NDArray[Any], order: NDArray[np.intp], rate: float
) -> Callable[[], tuple[Any, ...]]:
    """Steps of its own SGD from the initial W1, b1, W2, ...: the losses.

    `index_select` gathers six times as fast as `x[batch]`.
    """
    torch = _torch()
    weights = transposed(torch, initial.values())
    samples, labels, batches = (torch.from_numpy(array) for array in (x, t, order))
    params = [weight.clone().requires_grad_() for weight in weights]
    optimizer = torch.optim.SGD(params, lr=rate, foreach=False)

    def run() -> tuple[Any, ...]:
        losses = []
        for parameter, weight in zip(params, weights, strict=True):
            parameter.copy_(weight)
        with torch.enable_grad():
            for batch in batches:
                optimizer.zero_grad(set_to_none=True)
                loss = chain_loss(torch, params, samples.index_select(0, batch), labels.index_select(0, batch))
                loss.backward()
                optimizer.step()
                losses.append(loss.detach())
        return (torch.stack(losses).numpy(),)

    return run
