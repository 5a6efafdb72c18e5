"""`fastbp train --data mnist` on the book's layers in NumPy: python benchmarks/reference_training.py [EPOCHS]

The same network, weights, order, accuracies and last line; float32, one process.
"""

import math
import sys
import time

import numpy as np

from fastbp import Trainer, TwoLayerNet, datasets, reference


def main(epochs: int) -> None:
    (x_train, t_train), (x_test, t_test) = datasets.load_mnist()
    rng = np.random.default_rng(0)
    std = math.sqrt(2 / x_train.shape[1])
    network = TwoLayerNet(x_train.shape[1], 50, 10, std, dtype=np.float32, rng=rng, layers=reference)
    trainer = Trainer(
        network,
        *(x_train, t_train, x_test, t_test),
        epochs=epochs,
        mini_batch_size=100,
        optimizer_param={"lr": 0.1},
        verbose=False,
        rng=rng,
    )
    start = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - start
    print(
        f"test accuracy {trainer.test_acc_list[-1]:.4f} · {trainer.current_iter} steps · {seconds:.1f} s · "
        f"{epochs * len(x_train) / seconds:,.0f} samples/s"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 17)
