"""Networks and layers of images beside PyTorch: python benchmarks/images.py measures and writes images.json.

Training steps of SimpleConvNet and DeepConvNet (batch 100, Adam, float32) on one and two threads, also against the
layers of `fastbp.reference`, and Convolution's forward and backward passes. A process for each number of threads and
instruction set; all are taken in turns, and a figure is the median of the ratios of the rounds. PyTorch's two layouts
are two peers, and what is said of PyTorch alone is against the faster one.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import columns
import instruction_sets
import numpy as np
from ratios import Ratios
from training_process import POOLS

from fastbp.bench.process import machine_facts

ROUNDS, SECONDS = 7, 0.1  # of each turn
BATCH, SAMPLES = 100, 1000
# C, FN, size of the images, filter, stride; the pad keeps the size.
SHAPES = (
    *((1, 30, 28, 5, 1), (1, 16, 28, 3, 1), (16, 16, 28, 3, 1), (16, 32, 14, 3, 1), (32, 32, 16, 3, 1)),
    *((32, 64, 8, 3, 1), (64, 64, 8, 3, 1), (3, 32, 32, 5, 2), (16, 32, 28, 3, 2), (64, 64, 16, 5, 2)),
)
NETWORKS = {"SimpleConvNet": 20, "DeepConvNet": 4}  # steps a turn
ORACLE_STEPS = 2


def network_row(name: str, threads: int, other: str = "PyTorch") -> str:
    return f"{name}, {threads} thread{'s' * (threads > 1)}, against {other}"


def convolution_row(shape: tuple[int, ...], other: str = "PyTorch") -> str:
    C, FN, size, window, stride = shape
    what = f"Convolution {C} to {FN} channels, {size}×{size}, filter {window}×{window}, stride {stride}"
    return what if other == "PyTorch" else f"{what}, against {other}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    instruction_sets.columns_option(parser)
    options, reports = parser.parse_args(), {}
    for each in instruction_sets.offered(options.isa):
        found: dict[str, list[float]] = {}
        for threads in (1, 2):
            found |= _measured(threads, each.environment)
        reports[each.name] = Ratios.of(machine_facts(), found)
    columns.write(columns.IMAGES, reports)
    for name, report in reports.items():
        for what, spread in report.ratios.items():
            print(f"{name}: {what}: {spread.median:.2f} ×")


def _measured(threads: int, environment: Mapping[str, str]) -> dict[str, list[float]]:
    """What the process that measures has found. ValueError where it ends early."""
    path = os.pathsep.join(filter(None, sys.path))
    env = os.environ | {"PYTHONPATH": path} | dict.fromkeys(POOLS, str(threads)) | dict(environment)
    code = f"import instruction_sets, images; images.worker({threads})"
    done = subprocess.run([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, encoding="utf-8", check=False)
    if done.returncode:
        raise ValueError("the process that measures images ended early")
    found: dict[str, list[float]] = json.loads(done.stdout)
    return found


# In that process -----------------------------------------------------------------------------------------------------


def worker(threads: int) -> None:
    """Prints the ratios, as JSON."""
    import torch

    torch.set_num_threads(threads)
    found: dict[str, list[float]] = {}
    for name, steps in NETWORKS.items():
        contenders = _networks(name, steps, threads)
        for other, ratios in _ratios(contenders).items():
            found[network_row(name, threads, other)] = ratios
    for shape in SHAPES if threads == 1 else ():
        for other, ratios in _ratios(_convolutions(shape)).items():
            found[convolution_row(shape, other)] = ratios
    instruction_sets.checked()
    print(json.dumps(found))


def _ratios(contenders: dict[str, tuple[Callable[[], object], int]]) -> dict[str, list[float]]:
    """By the other's name, of each round, its time over ours; "PyTorch" is the faster one of its layouts."""
    for take, _ in contenders.values():
        take()
        take()
    rounds = [
        {name: _seconds(take) / count for name, (take, count) in contenders.items()}  # in turns
        for _ in range(ROUNDS)
    ]
    layouts = [name for name in contenders if name.startswith("PyTorch")]
    best = min(layouts, key=lambda name: float(np.median([each[name] for each in rounds])))
    others = {"PyTorch": best} | {name: name for name in contenders if name != "fastbp"}
    return {other: [each[name] / each["fastbp"] for each in rounds] for other, name in others.items()}


def _seconds(take: Callable[[], object]) -> float:
    """Of one call, the mean of as many as fill a turn."""
    start, count = time.perf_counter(), 0
    while count == 0 or time.perf_counter() - start < SECONDS:
        take()
        count += 1
    return (time.perf_counter() - start) / count


def _networks(name: str, steps: int, threads: int) -> dict[str, tuple[Callable[[], object], int]]:
    import fastbp
    from fastbp import reference

    def network(layers: Any = fastbp.layers) -> Any:
        return getattr(fastbp, name)(dtype=np.float32, rng=np.random.default_rng(0), layers=layers)

    rng = np.random.default_rng(0)
    x, t = rng.random((SAMPLES, 1, 28, 28), np.float32), rng.integers(0, 10, SAMPLES)
    order = rng.integers(0, SAMPLES, (steps, BATCH))
    step, oracle, optimizer = fastbp.compile(network(), fastbp.Adam(), strict=True), network(reference), fastbp.Adam()

    def by_the_oracle() -> None:
        for batch in order[:ORACLE_STEPS]:
            optimizer.update(oracle.params, oracle.gradient(x[batch], t[batch]))

    contenders: dict[str, tuple[Callable[[], object], int]] = {"fastbp": (lambda: step.run(x, t, order), steps)}
    for layout in ("contiguous_format", "channels_last"):
        contenders[f"PyTorch, {layout}"] = _torch_steps(name, layout, x, t, order), steps
    if threads == 1:
        contenders["the oracle"] = by_the_oracle, ORACLE_STEPS
    return contenders


def _torch_steps(name: str, layout: str, x: Any, t: Any, order: Any) -> Callable[[], object]:
    import torch
    from torch import nn

    from fastbp.networks.convolutional import DEEP

    parts: list[Any] = []
    if name == "SimpleConvNet":
        parts += [nn.Conv2d(1, 30, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4320, 100), nn.ReLU()]
        parts += [nn.Linear(100, 10)]
    else:
        channels = 1
        for n, (filters, size, pad, stride) in enumerate(DEEP):
            parts += [nn.Conv2d(channels, filters, size, stride, pad), nn.ReLU()]
            parts += [nn.MaxPool2d(2)] if n % 2 else []
            channels = filters
        parts += [nn.Flatten(), nn.Linear(1024, 50), nn.ReLU(), nn.Dropout(), nn.Linear(50, 10), nn.Dropout()]
    network = nn.Sequential(*parts).to(memory_format=getattr(torch, layout))
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    loss, samples, labels = nn.CrossEntropyLoss(), torch.from_numpy(x), torch.from_numpy(t)
    samples = samples.contiguous(memory_format=getattr(torch, layout))

    def steps() -> None:
        for batch in order:
            rows = torch.from_numpy(batch)
            optimizer.zero_grad()
            loss(network(samples[rows]), labels[rows]).backward()
            optimizer.step()

    return steps


def _convolutions(shape: tuple[int, ...]) -> dict[str, tuple[Callable[[], object], int]]:
    import torch

    from fastbp import Convolution

    C, FN, size, window, stride = shape
    rng = np.random.default_rng(0)
    x, W = (
        rng.standard_normal((BATCH, C, size, size), np.float32),
        rng.standard_normal((FN, C, window, window), np.float32),
    )
    layer = Convolution(W, np.zeros(FN, np.float32), stride, window // 2)
    dout = rng.standard_normal(layer.forward(x).shape, np.float32)

    def ours() -> None:
        layer.forward(x)
        layer.backward(dout)

    def theirs(layout: str) -> Callable[[], object]:
        form = getattr(torch, layout)
        samples, gradient = (torch.from_numpy(each.copy()).contiguous(memory_format=form) for each in (x, dout))
        filters, bias = torch.from_numpy(W.copy()).contiguous(memory_format=form), torch.zeros(FN)
        for each in (samples, filters, bias):
            each.requires_grad_()

        def passes() -> None:
            out = torch.nn.functional.conv2d(samples, filters, bias, stride, window // 2)
            torch.autograd.grad(out, (samples, filters, bias), gradient)

        return passes

    layouts = {f"PyTorch, {each}": (theirs(each), 1) for each in ("contiguous_format", "channels_last")}
    return {"fastbp": (ours, 1), **layouts}


if __name__ == "__main__":
    columns.run(main)
