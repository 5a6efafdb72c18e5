"""Scripts as readers of the book have them, in projects of their own: `common`, `dataset`, and a chapter's folder."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import prepared

from fastbp.book.known import forms_of

COMMON = Path(__file__).parent / "book_common"


class Project:
    """A reader's repository in a folder, with its `common` of one edition.

    `real` is whether `fastbp run` is to be a process of Python's own, and not a prepared one.
    """

    real = False

    def __init__(self, folder: Path, environment: dict[str, str], dialect: str = "ja") -> None:
        self.folder, self.chapter = folder, folder / "ch05"
        self.environment = environment | {"FASTBP_BOOK_FORMS": str(folder / "forms.json"), "OMP_NUM_THREADS": "1"}
        shutil.copytree(COMMON / "common", folder / "common")
        if dialect == "ko":
            shutil.copytree(COMMON / "ko", folder / "common", dirs_exist_ok=True)
        shutil.copytree(COMMON / "dataset", folder / "dataset")
        self.chapter.mkdir()
        # What this project's common has is the book's: so says its owner, before changing anything.
        known = forms_of(folder / "common", dialect) | forms_of(folder / "dataset")
        (folder / "forms.json").write_text(json.dumps(known))

    def write(self, text: str, name: str = "script.py") -> str:
        """A script in the chapter's folder that begins as the book's do."""
        head = "import sys, os\nsys.path.append(os.pardir)\n"
        (self.chapter / name).write_text(head + dedent(text), encoding="utf-8")
        return name

    def change(self, module: str, old: str, new: str) -> None:
        """An edit of the owner's."""
        file = self.folder / "common" / f"{module}.py"
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new, 1))

    def fastbp(self, *arguments: object, status: int = 0, **env: str) -> tuple[str, str]:
        """`fastbp run ARGUMENTS` in the chapter's folder: its output, and what it says in its last line."""
        command = ("-m", "fastbp", "run", *map(str, arguments))
        if self.real:
            done = self.run(*command, **env)
        else:
            done = prepared.run([sys.executable, *command], **self._place(**env))
        assert done.returncode == status, done.stderr
        *rest, last = done.stderr.splitlines()
        assert last.startswith("fastbp: "), done.stderr
        self.said = [line for line in rest if not line.startswith("fastbp: compiling")]
        return done.stdout, last

    def plain(self, *arguments: object, status: int = 0, **env: str) -> str:
        """`python ARGUMENTS` in the chapter's folder: its output."""
        done = self.run(*arguments, **env)
        assert done.returncode == status, done.stderr
        return str(done.stdout)

    def run(self, *arguments: object, **env: str) -> Any:
        """`python ARGUMENTS` in the chapter's folder, a process of Python's own."""
        return subprocess.run(
            [sys.executable, *map(str, arguments)], **self._place(**env), capture_output=True, timeout=300, check=False
        )

    def _place(self, **env: str) -> dict[str, Any]:
        where = {"cwd": self.chapter, "env": self.environment | env}
        return where | {"stdin": subprocess.DEVNULL, "encoding": "utf-8"}


TWO_LAYER_NET = """
class TwoLayerNet:
    def __init__(self, input_size, hidden_size, output_size, weight_init_std=0.01):
        self.params = {}
        self.params['W1'] = weight_init_std * np.random.randn(input_size, hidden_size)
        self.params['b1'] = np.zeros(hidden_size)
        self.params['W2'] = weight_init_std * np.random.randn(hidden_size, output_size)
        self.params['b2'] = np.zeros(output_size)
        self.layers = OrderedDict()
        self.layers['Affine1'] = Affine(self.params['W1'], self.params['b1'])
        self.layers['Relu1'] = Relu()
        self.layers['Affine2'] = Affine(self.params['W2'], self.params['b2'])
        self.lastLayer = SoftmaxWithLoss()

    def predict(self, x):
        for layer in self.layers.values():
            x = layer.forward(x)
        return x

    def loss(self, x, t):
        return self.lastLayer.forward(self.predict(x), t)

    def accuracy(self, x, t):
        y = np.argmax(self.predict(x), axis=1)
        if t.ndim != 1: t = np.argmax(t, axis=1)
        return np.sum(y == t) / float(x.shape[0])

    def gradient(self, x, t):
        self.loss(x, t)
        dout = self.lastLayer.backward(1)
        for layer in reversed(list(self.layers.values())):
            dout = layer.backward(dout)
        grads = {}
        grads['W1'], grads['b1'] = self.layers['Affine1'].dW, self.layers['Affine1'].db
        grads['W2'], grads['b2'] = self.layers['Affine2'].dW, self.layers['Affine2'].db
        return grads
"""

DIGITS = """
def digits(n=300):
    rng = np.random.RandomState(1)
    t = rng.randint(0, 10, n).astype(np.uint8)
    centres = rng.rand(10, 64)
    x = (centres[t] + 0.3 * rng.rand(n, 64)).astype(np.float32)
    return x, t
"""


def numbers(output: str) -> list[float]:
    return [float(found) for found in re.findall(r"-?\d+\.\d+(?:e-?\d+)?", output)]


IMPORTS = """
from collections import OrderedDict
from common.layers import *
from common.optimizer import *
from common.trainer import Trainer
"""
TRAINING = (
    IMPORTS
    + TWO_LAYER_NET
    + DIGITS
    + """
x, t = digits()
np.random.seed(0)
net = TwoLayerNet(64, 20, 10)
"""
)
