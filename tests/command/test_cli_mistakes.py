"""A user's mistake ends in one line on stderr and status 2."""

import gzip
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastbp.command import cli

pytestmark = pytest.mark.command

ARGUMENTS = {
    "nonsense": "No such command 'nonsense' (`python -m fastbp --help` tells more)",
    "--nonsense": "--nonsense",
    "train --nonsense": "--nonsense",
    "train extra": "unexpected extra argument",
    "info extra": "unexpected extra argument",
    "train --lr": "--lr",
    "train --data nonsense": "unknown data 'nonsense': expected digits, mnist, or a folder",
    "train --data empty": "empty lacks train-images-idx3-ubyte",
    "train --data file": "file: not a readable npz archive",
    "train --data broken": "train-images-idx3-ubyte",
    "train --data=": "unknown data ''",
    "gradcheck --data nonsense": "unknown data 'nonsense'",
    "evaluate --load net.npz --data nonsense": "unknown data 'nonsense'",
    "train --hidden 0": "--hidden",
    "train --hidden 1.5": "'1.5' is no size of a layer, such as 50, nor several, such as 100,50",
    "train --hidden 5,": "--hidden",
    "train --hidden 5,4": "--hidden 5,4: two-layer has one hidden layer, several need --network multi-layer",
    "train --network deep-conv --hidden 5,4": "deep-conv has one hidden layer",
    "train --network three-layer": "Invalid value for '--network': 'three-layer' is not one of 'two-layer', 'multi-",
    "train --optimizer newton": "'newton' is not one of 'adagrad', 'adam', 'momentum', 'nesterov', 'rmsprop', 'sgd'",
    "train --train-samples 0": "--train-samples",
    "train --train-samples 2000": "--train-samples 2000: the data has 1437 to train on",
    "train --hidden 10000000000000": "not enough memory",
    "train --epochs 0": "--epochs",
    "train --epochs x": "--epochs",
    "train --batch-size 0": "--batch-size",
    "train --batch-size 1e2": "--batch-size",
    "train --seed -1": "--seed",
    "train --seed x": "--seed",
    "gradcheck --seed x": "--seed",
    "gradcheck --hidden 0": "--hidden",
    "train --threads 0": "--threads",
    "train --threads many": "--threads",
    "train --dtype float16": "float16",
    "train --lr x": "Invalid value for '--lr': 'x' is no number",
    "train --lr nan": "lr must be a finite number, zero or positive, got nan",
    "train --lr inf": "lr must be a finite number, zero or positive, got inf",
    "train --lr -0.1": "lr must be a finite number, zero or positive, got -0.1",
    "train --lr 1e30 --quiet": "the loss is NaN at step 2: try a smaller learning rate",
    "train --lr 1e300 --dtype float64 --quiet": "the loss is NaN at step 2: try a smaller learning rate",
    "train --save empty": "empty is a folder",
    "train --save missing/net.npz": "missing/net.npz: can't write there (No such file or directory)",
    "train --save file/net.npz": "file/net.npz: can't write there (Not a directory)",
    "train --save net.npz --plot ./net.npz": "--save and --plot both name net.npz",
    "train --save net.txt": "--save net.txt: expected a file name that ends in .npz",
    "train --plot curves": "can't draw curves: expected a file name that ends in one of",
    "train --data half": "--data: half lacks train-labels-idx1-ubyte, t10k-images-idx3-ubyte",
    "train --data half/train-images-idx3-ubyte.gz": "is one of four files: name the folder that holds them",
    "train --plot empty": "empty is a folder",
    "train --plot missing/curves.png": "missing/curves.png: can't write there",
    "train --plot curves.xyz": "can't draw curves.xyz: expected a file name that ends in one of",
    "graph": "name a figure: expected apples, oranges, square, add, multiply, relu, sigmoid,",
    "graph nonsense": "unknown figure 'nonsense': expected apples, oranges, square, add, multiply, relu, sigmoid,",
    "graph apples --save apples.gif": "can't draw apples.gif: expected a file name that ends in .svg, .png or .pdf",
    "graph apples --save empty": "empty is a folder",
    "graph apples --save missing/apples.svg": "missing/apples.svg: can't write there (No such file or directory)",
    "graph apples oranges": "unexpected extra argument",
    "evaluate": "--load",
    "evaluate --load missing.npz": "missing.npz: No such file or directory",
    "evaluate --load empty": "empty: Is a directory",
    "evaluate --load file": "file is no npz file of parameters",
}


@pytest.mark.skipif(os.name != "posix", reason="error messages of POSIX")
@pytest.mark.parametrize("arguments", ARGUMENTS)
def test_mistake(command: Any, tmp_path: Path, arguments: str) -> None:
    if "--plot" in arguments or "graph" in arguments:
        pytest.importorskip("matplotlib")
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (tmp_path / "broken" / f"{name}-ubyte.gz").write_bytes(gzip.compress(b"nothing of the kind"))
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "train-images-idx3-ubyte.gz").touch()
    (tmp_path / "file").write_text("no data")
    before = sorted(tmp_path.rglob("*"))
    assert ARGUMENTS[arguments] in command.mistake(*arguments.split())
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(os.name != "posix", reason="special files of POSIX")
@pytest.mark.parametrize("option", ["--save", "--plot"])
def test_special_file_is_not_replaced(command: Any, tmp_path: Path, option: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "pipe is no regular file" in command.mistake("train", option, "pipe")
    assert (tmp_path / "pipe").is_fifo()


def parameters(**changed: Any) -> dict[str, Any]:
    shapes = {"W1": (64, 5), "b1": 5, "W2": (5, 10), "b2": 10}
    made = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()} | changed
    return {name: value for name, value in made.items() if value is not None}


FILES = {
    "foreign names": ({"x": np.zeros(3)}, "net.npz holds no network of `fastbp train`: expected W1, b1, W2, b2"),
    "a name too few": (parameters(b2=None), "net.npz holds no network of `fastbp train`"),
    "other data": (
        parameters(W1=np.zeros((784, 5))),
        "takes 784 features a sample, but the data has 64: --data names the data",
    ),
    "no matrix": (parameters(W1=np.zeros(64)), "net.npz holds no network of `fastbp train`"),
    "hidden layers that differ": (parameters(W2=np.zeros((6, 10))), "net.npz has W2 of shape (6, 10)"),
    "a bias of one number": (parameters(b1=np.float32(0)), "net.npz has b1 of shape ()"),
    "integers": (parameters(W2=np.zeros((5, 10), int)), "net.npz has W2 of dtype int64"),
    "text": (parameters(W1=np.full((64, 5), "a")), "net.npz has W1 of dtype <U1"),
    "another number of layers than of biases": (parameters(W3=np.zeros((10, 10))), "net.npz holds no network of"),
    "other images": (
        {"W1": np.zeros((3, 1, 5, 5)), "b1": np.zeros(3), "W2": np.zeros((432, 4)), "b2": np.zeros(4)}
        | {"W3": np.zeros((4, 10)), "b3": np.zeros(10)},
        "net.npz takes images of another size than the data's, 8 x 8: --data names the data that it was trained on",
    ),
    "too few classes": (
        parameters(W2=np.zeros((5, 3)), b2=np.zeros(3)),
        "net.npz has 3 classes, but the data labels up to 9: --data names the data",
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_file_of_other_parameters(command: Any, tmp_path: Path, case: str) -> None:
    arrays, message = FILES[case]
    np.savez(tmp_path / "net.npz", **arrays)
    assert message in command.mistake("evaluate", "--load", "net.npz")


DAMAGE = {
    "cut": lambda content: content[:-200],
    "one bit": lambda content: content[:600] + bytes([content[600] ^ 1]) + content[601:],
    "empty": lambda content: b"",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_file(command: Any, tmp_path: Path, damage: str) -> None:
    np.savez(tmp_path / "whole.npz", **parameters())
    (tmp_path / "net.npz").write_bytes(DAMAGE[damage]((tmp_path / "whole.npz").read_bytes()))
    command("evaluate", "--load", "whole.npz")
    assert "net.npz is no npz file of parameters" in command.mistake("evaluate", "--load", "net.npz")


@pytest.mark.filterwarnings("always")
def test_a_warning_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the line of our code that it arises in."""

    def facts() -> dict[str, str]:
        warnings.warn("kernels can't be kept", RuntimeWarning, stacklevel=1)
        return {"fastbp": "0"}

    monkeypatch.setattr("fastbp.system.info.collect", facts)
    before = warnings.showwarning
    assert cli.run(["info"]) == 0
    assert capsys.readouterr().err == "fastbp: warning: kernels can't be kept\n"
    assert warnings.showwarning is before


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="/dev/full")
@pytest.mark.parametrize("arguments", [("--help",), ("info",), ("train", "--epochs", "2")])
def test_disk_full(command: Any, arguments: tuple[str, ...]) -> None:
    with open("/dev/full", "w") as full, command.start(*arguments, stdout=full) as process:
        _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (2, "fastbp: error: No space left on device\n")
