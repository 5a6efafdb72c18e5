"""A script of chapter 5 under `fastbp run` against plain Python: whole processes, warm cache, one after the other.

    python benchmarks/book_run.py [--rounds 3] [--steps 10000] [--threads 2]

MNIST is read from where `load_mnist` finds it. The script's `common` is that of tests/support/book_common.
"""

import argparse
import os
import pickle
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))

from book_scripts import TWO_LAYER_NET, Project

from fastbp.datasets import load_mnist
from fastbp.system.info import collect

SCRIPT = (
    """
import numpy as np
from collections import OrderedDict
from dataset.mnist import load_mnist
from common.layers import *
"""
    + TWO_LAYER_NET
    + """
np.random.seed(0)
(x_train, t_train), (x_test, t_test) = load_mnist(normalize=True, one_hot_label=True)
network = TwoLayerNet(input_size=784, hidden_size=50, output_size=10)
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
WAYS = {"plain Python": (), "fastbp run": ("run",), "fastbp run --dtype float32": ("run", "--dtype", "float32")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10000)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "FASTBP_NUM_THREADS"), str(options.threads))
    with tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder), dict(os.environ))
        project.environment |= threads
        script = project.write(SCRIPT)
        _save_pickle(project)
        for way in list(WAYS)[1:]:
            _seconds(project, script, way, 2)  # compiles
        seconds: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(options.rounds):
            for way in WAYS:
                seconds[way].append(_seconds(project, script, way, options.steps))
    plain = statistics.median(seconds["plain Python"])
    print(f"{options.steps} steps, {options.threads} threads, {collect()['processor']}; medians of {options.rounds}")
    for way, found in seconds.items():
        median = statistics.median(found)
        print(f"{way:<28} {median:6.2f} s   {plain / median:4.2f} x")


def _save_pickle(project: Project) -> None:
    """What plain Python's `dataset.mnist` reads."""
    train, test = load_mnist(normalize=False)
    data = {"train_img": train[0], "train_label": train[1], "test_img": test[0], "test_label": test[1]}
    with open(project.folder / "dataset" / "mnist.pkl", "wb") as stream:
        pickle.dump(data, stream)


def _seconds(project: Project, script: str, way: str, steps: int) -> float:
    start = time.perf_counter()
    done = project.run(*(("-m", "fastbp") if WAYS[way] else ()), *WAYS[way], script, steps)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{way} failed:\n{done.stderr}")
    return seconds


if __name__ == "__main__":
    main()
