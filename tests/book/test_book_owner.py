"""What of a `common` is taken for the book's: read from its source, by the digests of its syntax trees."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from book_scripts import COMMON

from fastbp.book import known, syntax
from fastbp.book.owner import Owner

# The book's shortest definitions, which one can hardly write otherwise. Their digests are those of the repositories.
SHORT = {
    "functions": """
        def identity_function(x):
            return x
        def sigmoid(x):
            return 1 / (1 + np.exp(-x))
        def relu(x):
            return np.maximum(0, x)
    """,
    "optimizer": """
        class SGD:
            def __init__(self, lr=0.01):
                self.lr = lr
            def update(self, params, grads):
                for key in params.keys():
                    params[key] -= self.lr * grads[key]
    """,
}


def written(folder: Path, **modules: str) -> Owner:
    """A package in a folder, of these modules' texts; the short definitions are theirs."""
    (folder / "common").mkdir(exist_ok=True)
    for name, text in modules.items():
        (folder / "common" / f"{name}.py").write_text("import numpy as np\n" + dedent(text))
    return Owner("common", [str(folder / "common")])


def digest(text: str) -> str:
    return syntax.digest(ast.parse(dedent(text)).body[0])


@pytest.mark.parametrize(
    "other",
    [
        "def f(x):\n    'says what it does'\n    y = (x is not None)  # a comment\n    return y\n",
        "def f( x ):\n\n    y = not x is None\n    return (y)\n",
        "def f(x: int) -> bool:\n    y: bool = x is not None\n    return y\n",
    ],
)
def test_what_makes_no_difference(other: str) -> None:
    assert digest(other) == digest("def f(x):\n    y = x is not None\n    return y\n")


@pytest.mark.parametrize(
    "other",
    [
        "def f(x):\n    y = x is None\n    return y\n",
        "def g(x):\n    y = x is not None\n    return y\n",
        "def f(x=1):\n    y = x is not None\n    return y\n",
        "@g\ndef f(x):\n    y = x is not None\n    return y\n",
        "def f(x):\n    y = x is not None\n    print(y)\n    return y\n",
    ],
)
def test_what_makes_one(other: str) -> None:
    assert digest(other) != digest("def f(x):\n    y = x is not None\n    return y\n")


def test_numbers_are_told_apart() -> None:
    assert len({digest(f"x = {number}") for number in ("1", "1.0", "True", "'1'", "1j")}) == 5


def test_the_published_forms_are_known(tmp_path: Path) -> None:
    owner = written(tmp_path, **SHORT)
    assert owner.is_the_books
    assert {name: owner.difference("functions", name) for name in ("identity_function", "sigmoid", "relu")} == {
        "identity_function": "",
        "sigmoid": "",
        "relu": "",
    }
    assert owner.difference("optimizer", "SGD") == ""


@pytest.mark.parametrize(
    ("change", "name", "why"),
    [
        (("np.maximum(0, x)", "np.maximum(0.01 * x, x)"), "relu", "changed"),
        (("import numpy as np", "import cupy as np"), "relu", "uses np"),
        (("import numpy as np", "from other import *\nimport numpy as np"), "relu", "changed"),
        (("def relu(x):", "def relu(x, slope=0):"), "relu", "changed"),
        (("return x\n", "return x\nnp.maximum = max\n"), "relu", "uses np"),
        (("return x\n", "return x\nrelu = identity_function\n"), "relu", "changed"),
        (("return x\n", "return x\nif np:\n    def relu(x): return x\n"), "relu", "changed"),
        (("return x\n", "return x\nsetattr(np, 'exp', abs)\n"), "sigmoid", "uses np"),
        (("return x\n", "return x\nidentity_function.note = 1\n"), "identity_function", "changed"),
        (("return x\n", "return x\ndef leaky(x):\n    return x\n"), "leaky", "added"),
        (("return x\n", "return x\ndef setup():\n    global relu\n    relu = abs\n"), "relu", "changed"),
        (("return x\n", "return x\ndef setup():\n    global np\n    import cupy as np\n"), "relu", "uses np"),
        (("return x\n", "return x\nclass Setup:\n    global relu\n    relu = abs\n"), "relu", "changed"),
        (("return x\n", "return x\ndef leaky(x, f=(relu := abs)):\n    return f(x)\n"), "relu", "changed"),
        (("return x\n", "return x\ndef setup():\n    globals()['relu'] = abs\n"), "relu", "changed"),
        (("return x\n", "return x\ndef setup():\n    globals().update(relu=abs)\n"), "relu", "changed"),
        (("return x\n", "return x\ndef setup():\n    exec('relu = abs', globals())\n"), "relu", "changed"),
        (("return x\n", "return x\ndef named(name):\n    return globals()[name]\n"), "relu", ""),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_an_owner_changed(change: Any, name: str, why: str, tmp_path: Path) -> None:
    written(tmp_path, functions=SHORT["functions"])
    file = tmp_path / "common" / "functions.py"
    assert change[0] in file.read_text()
    file.write_text(file.read_text().replace(*change, 1))
    owner = Owner("common", [str(tmp_path / "common")])
    assert owner.difference("functions", name) == why


def test_a_file_that_was_edited_since(tmp_path: Path) -> None:
    owner = written(tmp_path, **SHORT)
    assert owner.difference("functions", "relu") == ""
    file = tmp_path / "common" / "functions.py"
    file.write_text(file.read_text().replace("np.maximum(0, x)", "np.maximum(1, x)"))
    assert owner.difference("functions", "relu") == ""  # as it was when it was imported
    assert [owner.read_again("optimizer"), owner.read_again("functions")] == [False, True]
    assert [owner.difference("functions", name) for name in ("relu", "sigmoid")] == ["changed", ""]
    assert not owner.read_again("functions")


def test_a_package_in_the_place_of_a_module(tmp_path: Path) -> None:
    """In there `.functions` is none of `common`."""
    owner = written(tmp_path, **SHORT)
    (tmp_path / "common" / "layers").mkdir()
    (tmp_path / "common" / "layers" / "__init__.py").write_text("from .functions import *\n")
    assert owner.source("layers") is None
    assert owner.is_the_books


def project(folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: tuple[str, str]) -> Owner:
    """The test's own `common`, said to be the book's, and then changed."""
    forms = folder / "forms.json"
    forms.write_text(json.dumps(known.forms_of(COMMON / "common")))
    monkeypatch.setenv("FASTBP_BOOK_FORMS", str(forms))
    known.forms.cache_clear()
    (folder / "common").mkdir()
    for file in (COMMON / "common").glob("*.py"):
        text = file.read_text()
        for old, new in [changes[file.stem]] if file.stem in changes else []:
            assert old in text
            text = text.replace(old, new, 1)
        (folder / "common" / file.name).write_text(text)
    return Owner("common", [str(folder / "common")])


@pytest.fixture(autouse=True)
def _forms_anew() -> Any:
    yield
    known.forms.cache_clear()
    known._own_forms.cache_clear()


def test_what_depends_on_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = project(tmp_path, monkeypatch, functions=("def softmax(x):", "def softmax(x):\n    x = x / 2"))
    assert owner.is_the_books
    why = {name: owner.difference("layers", name) for name in ("Affine", "Relu", "SoftmaxWithLoss", "Convolution")}
    assert why == {"Affine": "", "Relu": "", "SoftmaxWithLoss": "uses softmax", "Convolution": ""}
    assert owner.difference("multi_layer_net", "MultiLayerNet") == "uses SoftmaxWithLoss"
    assert owner.difference("trainer", "Trainer") == ""


def test_a_helper_changed_far_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = project(tmp_path, monkeypatch, util=("np.pad(input_data", "np.pad(-input_data"))
    assert [owner.difference("layers", name) for name in ("Convolution", "Pooling", "Relu")] == [
        "uses im2col",
        "uses im2col",
        "",
    ]


def test_an_optimizer_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = project(tmp_path, monkeypatch, optimizer=("lr=0.001", "lr=0.01"))
    assert owner.difference("optimizer", "Adam") == "changed"
    assert owner.difference("trainer", "Trainer") == "uses Adam"


@pytest.mark.parametrize("init", ["import common.layers\ncommon.layers.Relu = None\n", "print('hello')\n"])
def test_a_package_that_does_something_is_left_alone(init: str, tmp_path: Path) -> None:
    owner = written(tmp_path, **SHORT)
    assert owner.is_the_books
    (tmp_path / "common" / "__init__.py").write_text(init)
    assert not Owner("common", owner.path).is_the_books


def test_another_package_of_that_name(tmp_path: Path) -> None:
    owner = written(
        tmp_path,
        layers="class Affine:\n    pass\nclass Relu:\n    pass\nclass Dropout:\n    pass\n",
        functions="def relu(x):\n    return np.maximum(0, x)\n",
        optimizer="class Adam:\n    pass\n",
    )
    assert owner.difference("functions", "relu") == ""
    assert not owner.is_the_books


def test_modules_that_import_each_other_or_are_no_python(tmp_path: Path) -> None:
    owner = written(tmp_path, functions="from common.layers import *\n", layers="from common.functions import *\n")
    assert not owner.is_the_books
    broken = written(tmp_path, functions="def relu(x:\n")
    assert broken.source("functions") is None


def test_the_whole_book(tmp_path: Path) -> None:
    """The real package, in a folder that FASTBP_TEST_BOOK names, of the Japanese edition as it is now."""
    folder = os.environ.get("FASTBP_TEST_BOOK")
    if not folder:
        pytest.skip("FASTBP_TEST_BOOK names no folder with the book's common and dataset")
    for package, modules in known.MODULES.items():
        owner = Owner(package, [str(Path(folder, package))])
        assert owner.is_the_books
        for module in modules:
            source = owner.source(module)
            assert source is not None
            assert {name: why for name in source.definitions if (why := owner.difference(module, name))} == {}


def test_forms_of_an_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, functions="def relu(x):\n    return (x > 0) * x\ndef mine(x):\n    return x\n")
    command = [sys.executable, "-m", "fastbp.book.known", str(tmp_path / "common")]
    said = subprocess.run(command, capture_output=True, check=True, encoding="utf-8").stdout
    assert {module: list(names) for module, names in json.loads(said).items()} == {"functions": ["relu"]}
    nowhere = [*command[:-1], "nowhere"]
    for wrong, message in ((nowhere, "error: nowhere has none of the book's modules"), (command[:-1], "folder")):
        said_of_it = subprocess.run(wrong, capture_output=True, encoding="utf-8", cwd=tmp_path)
        assert (said_of_it.returncode, said_of_it.stdout) == (2, "")
        assert message in said_of_it.stderr
        assert "Traceback" not in said_of_it.stderr
    assert "FASTBP_BOOK_FORMS" in subprocess.run([*nowhere, "--help"], capture_output=True, encoding="utf-8").stdout
    owner = Owner("common", [str(tmp_path / "common")])
    assert owner.difference("functions", "relu") == "changed"
    (tmp_path / "forms.json").write_text(said)
    monkeypatch.setenv("FASTBP_BOOK_FORMS", str(tmp_path / "forms.json"))
    known.forms.cache_clear()
    assert Owner("common", owner.path).difference("functions", "relu") == ""
    (tmp_path / "forms.json").write_text("[1]")
    known.forms.cache_clear()
    known._own_forms.cache_clear()
    with pytest.raises(ValueError, match=r"FASTBP_BOOK_FORMS=\S*forms.json holds no forms of definitions"):
        known.forms("functions")
    said = subprocess.run(
        [sys.executable, "-m", "fastbp", "run", __file__],
        env=os.environ | {"FASTBP_BOOK_FORMS": "none.json"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    message = "fastbp: error: FASTBP_BOOK_FORMS=none.json can't be read: No such file or directory\n"
    assert (said.returncode, said.stdout, said.stderr) == (2, "", message)
