"""The book's scripts by fastbp and by plain Python: python benchmarks/book.py measures and writes book.json.

A script of chapter 5's training under `fastbp run`: whole processes, kernels on disk, two threads each. The chapter's
gradient check of all 39,760 parameters: what `check_gradients` takes beside the book's loop, one thread each. Processes
in turns, for each instruction set. MNIST is read from where `load_mnist` finds it; the scripts' `common` is that of
tests/support/book_common.
"""

import argparse
import os
import pickle
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import columns
import instruction_sets
from ratios import Ratios
from training_process import POOLS

from fastbp.bench.process import machine_facts
from fastbp.datasets import load_mnist

sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))

from book_scripts import TWO_LAYER_NET, Project

THREADS, STEPS = 2, 10000
HEAD = (
    """
import time
import numpy as np
from collections import OrderedDict
from dataset.mnist import load_mnist
from common.layers import *
from common.gradient import numerical_gradient
"""
    + TWO_LAYER_NET
    + """
np.random.seed(0)
(x_train, t_train), (x_test, t_test) = load_mnist(normalize=True, one_hot_label=True)
network = TwoLayerNet(input_size=784, hidden_size=50, output_size=10)
"""
)
TRAINING = (
    HEAD
    + """
iters_num = int(sys.argv[1])
train_size, batch_size, learning_rate = x_train.shape[0], 100, 0.1
train_loss_list, train_acc_list, test_acc_list = [], [], []
iter_per_epoch = max(train_size / batch_size, 1)
for i in range(iters_num):
    batch_mask = np.random.choice(train_size, batch_size)
    x_batch, t_batch = x_train[batch_mask], t_train[batch_mask]
    grad = network.gradient(x_batch, t_batch)
    for key in ('W1', 'b1', 'W2', 'b2'):
        network.params[key] -= learning_rate * grad[key]
    train_loss_list.append(network.loss(x_batch, t_batch))
    if i % iter_per_epoch == 0:
        train_acc_list.append(network.accuracy(x_train, t_train))
        test_acc_list.append(network.accuracy(x_test, t_test))
        print(train_acc_list[-1], test_acc_list[-1])
print(train_loss_list[-1])
"""
)
CHECK = (
    HEAD
    + """
x, t = x_train[:3], t_train[:3]
network.gradient(x, t)
start = time.perf_counter()
grad = network.gradient(x, t)
for key, parameter in network.params.items():
    print(key, np.average(np.abs(grad[key] - numerical_gradient(lambda _: network.loss(x, t), parameter))))
print(time.perf_counter() - start)
"""
)
CHECK_BY_FASTBP = """
import time
import numpy as np
import fastbp
from fastbp.datasets import load_mnist

(x, t), _ = load_mnist(one_hot_label=True)
np.random.seed(0)
network = fastbp.TwoLayerNet(784, 50, 10)
fastbp.check_gradients(network, x[:3], t[:3])
start = time.perf_counter()
print(fastbp.check_gradients(network, x[:3], t[:3]))
print(time.perf_counter() - start)
"""
RUN = "chapter 5's training, 10,000 steps, fastbp run against plain Python"
RUN_FLOAT32 = f"{RUN}, --dtype float32"
CHECKED = "chapter 5's gradient check, check_gradients against the book's loop"
WAYS = {RUN: ("-m", "fastbp", "run"), RUN_FLOAT32: ("-m", "fastbp", "run", "--dtype", "float32")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    instruction_sets.columns_option(parser)
    parser.add_argument("--rounds", type=int, default=3, metavar="ROUNDS")
    parser.add_argument("--steps", type=int, default=STEPS, metavar="STEPS", help=f"of the training, {STEPS} asked")
    parser.add_argument("--parts", type=lambda value: value.split(","), default=list(PARTS), metavar=",".join(PARTS))
    parser.add_argument("--json", type=Path, default=columns.BOOK, metavar="FILE", help="instead of book.json")
    options, reports = parser.parse_args(), {}
    if unknown := set(options.parts) - set(PARTS):
        raise ValueError(f"no part {', '.join(unknown)}: there are {', '.join(PARTS)}")
    for each in instruction_sets.offered(options.isa):
        with tempfile.TemporaryDirectory() as folder:
            project = Project(Path(folder), dict(os.environ) | dict(each.environment))
            _save_pickle(project)
            found: dict[str, list[float]] = {}
            for part in options.parts:
                found |= PARTS[part](project, options.rounds, options.steps)
        reports[each.name] = Ratios.of(machine_facts(), found)
        for what, spread in reports[each.name].ratios.items():
            print(f"{each.name}: {what}: {spread.median:.2f} ×")
    columns.write(options.json, reports)


def _training(project: Project, rounds: int, steps: int) -> dict[str, list[float]]:
    """Plain Python's seconds over those of each way, of each round."""
    script, found = project.write(TRAINING), {way: [] for way in WAYS}
    for command in WAYS.values():
        _seconds(project, THREADS, *command, script, 2)  # compiles
    for _ in range(rounds):
        plain = _seconds(project, THREADS, script, steps)
        for way, command in WAYS.items():
            seconds = _seconds(project, THREADS, *command, script, steps)
            print(f"{way}: {plain:.2f} s and {seconds:.2f} s", file=sys.stderr)
            found[way].append(plain / seconds)
    return found


def _check(project: Project, rounds: int, _steps: int) -> dict[str, list[float]]:
    """The seconds that the book's check says it took over those of ours, of each round."""
    book, ours = project.write(CHECK, "check.py"), project.write(CHECK_BY_FASTBP, "check_by_fastbp.py")
    return {CHECKED: [_said(project, book) / _said(project, ours) for _ in range(rounds)]}


PARTS = {"training": _training, "check": _check}


def _save_pickle(project: Project) -> None:
    """What plain Python's `dataset.mnist` reads."""
    train, test = load_mnist(normalize=False)
    data = {"train_img": train[0], "train_label": train[1], "test_img": test[0], "test_label": test[1]}
    with open(project.folder / "dataset" / "mnist.pkl", "wb") as stream:
        pickle.dump(data, stream)


def _seconds(project: Project, threads: int, *arguments: object) -> float:
    """Of the whole process."""
    start = time.perf_counter()
    project.plain(*arguments, **_with(threads))
    return time.perf_counter() - start


def _said(project: Project, script: str) -> float:
    """What a process has printed last."""
    return float(project.plain(script, **_with(1)).split()[-1])


def _with(threads: int) -> Mapping[str, str]:
    return dict.fromkeys(POOLS, str(threads))


if __name__ == "__main__":
    columns.run(main)
