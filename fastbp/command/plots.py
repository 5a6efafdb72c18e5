"""Learning curves as a picture; needs the extra `plot`."""

from pathlib import Path

import numpy as np

from fastbp.system.files import atomic_write
from fastbp.trainer import Trainer


def check_format(path: Path) -> None:
    """ValueError when matplotlib can't draw a file with this suffix."""
    from matplotlib.backend_bases import FigureCanvasBase

    known = sorted(FigureCanvasBase.get_supported_filetypes())
    if _format(path) not in known:
        raise ValueError(f"can't draw {path}: expected a file name that ends in one of .{', .'.join(known)}")


def plot_learning_curves(trainer: Trainer, path: Path) -> None:
    """Draws the loss of each step and both accuracies of each epoch into the file, whole or not at all."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    losses = np.array(trainer.train_loss_list)
    window = max(1, len(losses) // 50)
    means = np.convolve(losses, np.full(window, 1 / window), "valid")
    left.plot(np.arange(1, len(losses) + 1), losses, color="C0", alpha=0.35, linewidth=0.7)
    left.plot(np.arange(1, len(means) + 1) + (window - 1) / 2, means, color="C0")
    left.set(title="Loss of each step and its running mean", xlabel="step", ylabel="cross-entropy", ylim=(0, None))
    # Both have one an epoch, but where Ctrl-C came between the two lines that say so.
    count = min(len(trainer.train_acc_list), len(trainer.test_acc_list))
    train, test, epochs = trainer.train_acc_list[:count], trainer.test_acc_list[:count], np.arange(1, count + 1)
    # A run of one epoch has one point, which only a marker shows; in a long run markers hide the lines.
    style = {"marker": "o" if count <= 30 else "", "markersize": 4}
    right.plot(epochs, train, label="train", **style)
    right.plot(epochs, test, label="test", **style)
    right.set(title=f"Accuracy: test {test[-1]:.4f} at the end", xlabel="epoch", ylabel="accuracy")
    right.legend(loc="lower right")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    with atomic_write(path) as stream:
        figure.savefig(stream, format=_format(path), dpi=120)


def _format(path: Path) -> str:
    return path.suffix.lstrip(".").lower()
