"""`fastbp graph`: the book's figures in a terminal, with their numbers, and as pictures."""

import re
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from processes import python

from fastbp.graph.figures import FIGURES

pytestmark = pytest.mark.command

# What must stand in the output of a figure, and of the same with --opened.
NUMBERS = {
    "apples": (["220.00000000000003", " 2.2", "110.00000000000001", " 200", "1.1 × 2 = 2.2"], []),
    "oranges": (["715.0000000000001", "110.00000000000001", " 2.2", "3.3000000000000003", " 165", " 650"], []),
    "square": ([" 49 ", " 14", "2x, 1 × 14 = 14"], []),
    "add": ([" 15 ", "with 1.3 from above = 1.3"], []),
    "multiply": ([" 50 ", "from above = 6.5", "from above = 13", "1.3 × 5 = 6.5"], []),
    "relu": (["[[1, -0.5], [-2, 3]]", "[[1, 0], [0, 3]]", "[[1, 0], [0, 1]]"], []),
    "sigmoid": (
        ["0.622459331201", "0.235003712201", "times y(1 − y)"],
        ["-1 × x", "exp((1))", "(2) + 1", "1 / (3)"],
    ),
    "affine": (["[[1, 2, 3], [11, 12, 13]]", "[5, 7, 9]", "dX = dY · Wᵀ"], ["[[0, 0, 0], [10, 10, 10]]", "dot(X, W)"]),
    "softmax": (["[5.3, 3.2, 10.1]", "[0.008154, 0.0009986, -0.009153]", "y − t"], ["[0.008154, 0.0009986, 0.9908]"]),
    "network": (["Affine1(x, W1, b1)", "Relu1((1))", "loss = SoftmaxWithLoss((3), t)", "(4, 5) |x|"], ["dot(x, W1)"]),
}


def test_every_figure_is_tested() -> None:
    assert list(NUMBERS) == list(FIGURES)


@pytest.mark.parametrize("name", NUMBERS)
def test_figure(command: Any, name: str) -> None:
    closed, parts = NUMBERS[name]
    output = command("graph", name)
    assert [each for each in closed if each not in output] == []
    assert "value →" in output
    assert "← derivative" in output
    if parts:
        opened = command("graph", name, "--opened")
        assert [each for each in parts if each not in opened] == []
        assert [each for each in parts if each in output] == []
    assert not re.search(r"\d\.0\b", output)


def test_help_says_what_each_shows(command: Any) -> None:
    output = command("graph", "--help")
    for name in FIGURES:
        assert re.search(rf"^  {name} +\S.*\((figures |section )?5", output, re.MULTILINE), name
    assert "Traceback" not in output


@pytest.mark.parametrize("suffix", ["svg", "png", "pdf"])
def test_save(command: Any, tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("fast_sugiyama")
    output = command("graph", "sigmoid", "--opened", "--save", f"sigmoid.{suffix}")
    assert output == command("graph", "sigmoid", "--opened")
    assert [path.name for path in tmp_path.iterdir()] == [f"sigmoid.{suffix}"]
    if suffix == "svg":
        found = ["".join(each.itertext()) for each in ET.parse(tmp_path / "sigmoid.svg").iter() if "text" in each.tag]
        assert any(each.startswith("0.622459331201") for each in found)


def test_without_the_extra(command: Any) -> None:
    code = (
        "import importlib.util; importlib.util.find_spec = lambda name: None; "
        "import sys; sys.argv = ['fastbp', 'graph', 'add', '--save', 'add.svg']; "
        "from fastbp.__main__ import main; main()"
    )
    message = command.mistake(python=("-c", code))
    assert "--save needs matplotlib and fast-sugiyama: pip install 'fastbp[plot]'" in message
    assert "10 + 5" not in message


def test_no_kernels_are_imported() -> None:
    code = (
        "import sys; from fastbp.command.cli import run; run(['graph', 'network', '--opened']); "
        "print(sorted({'numba', 'matplotlib'} & set(sys.modules)))"
    )
    assert python(code, how=subprocess.Popen).splitlines()[-1] == "[]"


def test_output_in_another_encoding(command: Any) -> None:
    output = command("graph", "add", PYTHONIOENCODING="ascii")
    assert "1.3" in output
