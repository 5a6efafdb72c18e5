"""Many small networks side by side, one thread each."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.boundary.arguments import optimizer_object, whole_number
from fastbp.chain import NotCompilable, share_memory
from fastbp.engine.clipping import max_norm_of
from fastbp.engine.compiled_step import CompiledStep
from fastbp.engine.data import Data, check_apart, check_plain, checked_order
from fastbp.system import threads as _threads


def fit_many(
    networks: Sequence[Any],
    optimizers: Sequence[Any],
    x: Any,
    t: ArrayLike,
    orders: ArrayLike | Sequence[ArrayLike],
    *,
    threads: int | None = None,
    scale: float = 1.0,
    sparse: bool | None = None,
    max_norm: float | None = None,
) -> NDArray[np.float64]:
    """Trains each network with its optimizer on the same data; the losses (networks, steps), as `run` returns them.

    `orders` is one order (steps, batch) for all, or one for each network, (networks, steps, batch). Each network is
    trained by one thread, `threads` at a time (None: as many as kernels may use): the same bits as one after the
    other, which they are where layers of two draw from one generator, such as NumPy's global state. `max_norm` clips
    the gradients of each, as in `fastbp.compile`. ValueError and TypeError as in `fastbp.compile(strict=True)` and
    `run`, before any network has changed.
    """
    for what, things in (("networks", networks), ("optimizers", optimizers)):
        if isinstance(things, str) or not hasattr(things, "__iter__"):
            raise TypeError(f"{what} must be a sequence, one optimizer for each network, got {things!r}")
    networks, optimizers = list(networks), list(optimizers)
    if len(networks) != len(optimizers):
        raise ValueError(f"each network needs an optimizer: got {len(networks)} networks, {len(optimizers)} optimizers")
    for what, things in (("network", networks), ("optimizer", optimizers)):
        if len({id(thing) for thing in things}) < len(things):
            raise ValueError(f"the same {what} is there twice: each thread needs one of its own")
    if not networks:
        raise ValueError("no network to train")
    max_norm = max_norm_of(max_norm)
    at_once = _threads.get_num_threads() if threads is None else whole_number(threads, "threads", 1)
    steps = [
        _step(n, network, optimizer, max_norm)
        for n, (network, optimizer) in enumerate(zip(networks, optimizers, strict=True))
    ]
    arrays = [array for network in networks for array in network.params.values()]
    for optimizer in optimizers:
        states = [getattr(optimizer, name) or {} for name in optimizer.state_names]
        arrays += {id(array): array for state in states for array in state.values()}.values()
    if share_memory(arrays):
        raise ValueError("two networks or optimizers share an array: each thread needs its own, see copy.deepcopy")
    check_plain(x, t)
    for step in steps:
        check_apart(x, t, step.trained)
    prepared: dict[Any, Data] = {}
    data = []
    for step in steps:
        key = step.prepares
        if key not in prepared:
            prepared[key] = step.prepare(x, t, scale=scale, sparse=sparse)
        data.append(prepared[key])
    checked = _orders(orders, len(networks), data[0].samples)
    for step in steps:
        step.check()
    streams = [step.streams for step in steps]
    if sum(map(len, streams)) > len(set().union(*streams)):  # who draws first would depend on the threads
        at_once = 1
    return _run(steps, data, checked, at_once)


def _step(n: int, network: Any, optimizer: Any, max_norm: float | None) -> CompiledStep:
    optimizer_object(optimizer)
    step = CompiledStep(network, optimizer, max_norm)
    try:
        step.bind()
        return step
    except NotCompilable as error:
        raise NotCompilable(f"networks[{n}] can't be trained side by side with others: {error}") from None


def _orders(orders: Any, networks: int, samples: int) -> list[NDArray[np.int64]]:
    if not hasattr(orders, "__len__"):
        raise TypeError(f"orders must be one order (steps, batch), or one for each network, got {orders!r}")
    alone = orders.ndim == 2 if isinstance(orders, np.ndarray) else len(orders) > 0 and np.ndim(orders[0]) == 1
    if alone:
        return [checked_order(orders, samples)] * networks
    if len(orders) != networks:
        raise ValueError(f"orders must be one order, or one for each of the {networks} networks, got {len(orders)}")
    checked = [checked_order(order, samples) for order in orders]
    if len({len(order) for order in checked}) > 1:
        raise ValueError(f"the orders must have as many steps each, got {[len(order) for order in checked]}")
    return checked


def _run(
    steps: list[CompiledStep], data: list[Data], orders: list[NDArray[np.int64]], at_once: int
) -> NDArray[np.float64]:
    stop = threading.Event()

    def train(step: CompiledStep, samples: Data, order: NDArray[np.int64]) -> NDArray[np.float64]:
        return step.run_alone(samples, order, stop)

    with ThreadPoolExecutor(max(1, at_once), "fastbp") as pool:
        waiting = [pool.submit(train, *each) for each in zip(steps, data, orders, strict=True)]
        try:
            losses = [future.result() for future in waiting]
        except BaseException:  # Ctrl-C: every network ends with a whole step
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return np.array(losses, np.float64)
