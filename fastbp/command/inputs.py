"""What the command works on: data sets by their names, and what is looked at before long work begins."""

import os
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastbp.command.networks import takes_images


def load_data(data: str, samples: int | None = None) -> Any:
    """(x_train, t_train), (x_test, t_test), with x as images (N, C, H, W); the first samples to train on, or all."""
    (x, t), test = _read(data)
    if samples and samples > len(x):
        raise ValueError(f"--train-samples {samples}: the data has {len(x)} to train on")
    return (x[:samples], t[:samples]), test


def _read(data: str) -> Any:
    from fastbp import datasets

    if data == "digits":
        return datasets.load_digits(flatten=False)
    if data == "mnist":
        return datasets.load_mnist(flatten=False)
    if not data or not Path(os.path.expanduser(data)).exists():
        raise ValueError(f"unknown data {data!r}: expected digits, mnist, or a folder that holds a data set")
    try:
        return datasets.load_mnist(data, flatten=False)
    except (FileNotFoundError, ValueError) as error:
        raise ValueError(re.sub("^path: ", "--data: ", str(error))) from None


def samples_for(network: Any, images: Any) -> Any:
    """Images in the shape that a network takes."""
    return images if takes_images(network) else images.reshape(len(images), -1)


def check_rate(lr: float) -> None:
    from fastbp import optimizers

    optimizers.SGD(lr)


def check_outputs(files: dict[str, Path | None], picture: str) -> None:
    """Finds out before the work, not after it, that a result can't be written: a file by option, one of them drawn."""
    from fastbp.system.files import check_writable

    given = {option: path for option, path in files.items() if path}
    for path in given.values():
        check_writable(path)
    if len({path.resolve() for path in given.values()}) < len(given):
        raise ValueError(f"{' and '.join(given)} both name {next(iter(given.values()))}: expected two files")
    if picture in given:
        if find_spec("matplotlib") is None:
            raise ValueError(f"{picture} needs matplotlib, which is not installed: pip install 'fastbp[plot]'")
        from fastbp.command.plots import check_format

        check_format(given[picture])
