"""Learning curves as a picture; needs the extra `plot`."""

from pathlib import Path

from fastbp._files import atomic_write
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
    steps = range(1, len(trainer.train_loss_list) + 1)
    left.plot(steps, trainer.train_loss_list, linewidth=0.5)
    left.set(title="Loss", xlabel="step", ylabel="cross-entropy", ylim=(0, None))
    epochs = range(1, len(trainer.train_acc_list) + 1)
    # Markers keep a run of one epoch visible.
    right.plot(epochs, trainer.train_acc_list, marker=".", label="train")
    right.plot(epochs, trainer.test_acc_list, marker=".", linestyle="--", label="test")
    right.set(title=f"Accuracy: test {trainer.test_acc_list[-1]:.4f} at the end", xlabel="epoch", ylabel="accuracy")
    right.legend(loc="lower right")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    with atomic_write(path) as stream:
        figure.savefig(stream, format=_format(path), dpi=120)


def _format(path: Path) -> str:
    return path.suffix.lstrip(".").lower() or "png"
