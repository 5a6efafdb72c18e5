"""`fastbp run`: what is the script's own stays so, and it is a process like any other."""

import builtins
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
from book_scripts import TRAINING, Project, numbers
from mnist_real import REAL

from fastbp.book import shadows

pytestmark = pytest.mark.command


# What is the script's own --------------------------------------------------------------------------------------------


def test_a_changed_default_and_what_uses_it(japanese: Project) -> None:
    japanese.change("functions", "+ 1e-7", "+ 1e-3")
    japanese.change("layers", "class Relu:", "class Tanh:\n    pass\n\n\nclass Relu:")
    script = japanese.write(
        TRAINING + "from common.multi_layer_net import MultiLayerNet\nprint(net.loss(x, t), Tanh.__module__)\n"
        "print(MultiLayerNet.__init__.__code__.co_filename[-18:], SoftmaxWithLoss.forward.__code__.co_filename[-9:])"
    )
    output, last = japanese.fastbp(script)
    assert output == japanese.plain(script)
    assert "common.functions: cross_entropy_error (changed), softmax_loss (uses cross_entropy_error)" in last
    assert "Tanh (added)" in last
    assert "SoftmaxWithLoss (uses cross_entropy_error)" in last
    assert "common.multi_layer_net: MultiLayerNet (uses SoftmaxWithLoss)" in last


def test_another_common_is_left_alone(japanese: Project) -> None:
    (japanese.folder / "common" / "layers.py").write_text("class Relu:\n    mine = True\n")
    for name in ("functions", "optimizer", "trainer", "gradient", "util", "multi_layer_net"):
        (japanese.folder / "common" / f"{name}.py").unlink()
    script = japanese.write("from common.layers import Relu\nprint(Relu.mine)\n")
    output, last = japanese.fastbp(script)
    assert output == "True\n"
    assert "nothing was replaced; the package 'common' is not the book's and was left alone (if it is, written" in last
    assert last.endswith("python -m fastbp.book.known common > forms.json, FASTBP_BOOK_FORMS=forms.json)")


def test_only_some_modules(japanese: Project) -> None:
    script = japanese.write(TRAINING + "print(Affine.forward.__code__.co_filename, SGD.update.__code__.co_filename)")
    output, last = japanese.fastbp("--only", "layers", script)
    layers, optimizer = output.split()
    assert "common" not in layers
    assert Path(optimizer).parts[-2:] == ("common", "optimizer.py")
    assert "common.optimizer (--only)" in last
    assert "--only must name modules of functions" in japanese.run("-m", "fastbp", "run", "--only", "x", script).stderr


def test_dialect(japanese: Project) -> None:
    script = japanese.write(
        "from common.optimizer import *\nprint(Nesterov.update.__qualname__, Nesterov.__mro__[1].__name__)\n"
    )
    assert japanese.fastbp(script)[0].split()[-1] == "Momentum"
    _, last = japanese.fastbp("--dialect", "ko", script)
    assert "(ko edition)" in last
    compared = japanese.write(
        "from common.optimizer import *\nN = Nesterov(0.1)\nW = {'W': np.ones(2)}\n"
        "for _ in range(3): N.update(W, {'W': np.ones(2)})\nprint(W)\n"
    )
    assert japanese.fastbp("--dialect", "ko", compared)[0] != japanese.fastbp("--dialect", "ja", compared)[0]


@pytest.mark.parametrize(
    ("line", "edition"),
    [
        ("from common.functions import sum_squared_error as error", "ja"),
        ("from common.functions import mean_squared_error as error", "ko"),
    ],
)
def test_a_script_without_a_common(line: str, edition: str, tmp_path: Path, japanese: Project) -> None:
    script = tmp_path / "alone" / "alone.py"
    script.parent.mkdir()
    script.write_text(f"from common.layers import *\n{line}\nprint(error(np.ones(2), np.zeros(2)), Relu.__module__)\n")
    output, last = japanese.fastbp(script)
    assert output == "1.0 common.layers\n"
    assert f"({edition} edition)" in last


@pytest.mark.skipif(not REAL, reason="FASTBP_TEST_MNIST names no folder with MNIST")
def test_mnist_without_the_scripts_pickle(japanese: Project) -> None:
    script = japanese.write(
        """
        from dataset.mnist import load_mnist
        (x, t), (x_test, t_test) = load_mnist(normalize=False, flatten=False, one_hot_label=True)
        print(x.shape, x.dtype, t.shape, t.dtype, x_test.shape, load_mnist()[0][0].dtype)
        """
    )
    output, _ = japanese.fastbp(script, FASTBP_DATA=str(REAL))
    assert output == "(60000, 1, 28, 28) uint8 (60000, 10) float64 (10000, 1, 28, 28) float32\n"


# A process like any other --------------------------------------------------------------------------------------------


def test_arguments_names_and_files(japanese: Project) -> None:
    japanese.real = True
    (japanese.chapter / "data.txt").write_text("here")
    (japanese.chapter / "neighbour.py").write_text("name = __name__")
    script = japanese.write(
        """
        from common.layers import Relu
        import neighbour
        print(sys.argv, __name__, __file__, __doc__, __spec__, __package__, __builtins__, neighbour.name)
        print(sys.path[0], os.getcwd(), open('data.txt').read(), sorted(globals()))
        print(sys.modules['__main__'].Relu is Relu, sys.stdout.errors, sys.stdin.read())
        """
    )
    arguments = (script, "--help", "-x", "a b", "--", "--dialect")
    output, _ = japanese.fastbp(*arguments)
    assert output == japanese.plain(*arguments)
    elsewhere = japanese.folder / "elsewhere"
    elsewhere.mkdir()
    japanese.chapter, chapter = elsewhere, japanese.chapter
    (elsewhere / "data.txt").write_text("there")
    assert japanese.fastbp(chapter / script)[0] == japanese.plain(chapter / script)


def test_modules_named_as_pythons_own(japanese: Project) -> None:
    """The script's folder is the first for imports: fastbp has imported some of these, and goes on with its own."""
    names = ["uuid", "calendar", "html", "fractions", "queue", "colorsys", "typer"]
    for name in names:
        (japanese.chapter / f"{name}.py").write_text("mine = True\n")
    japanese.real = True
    script = japanese.write(
        "import uuid, importlib\nprint(uuid.mine, sys.path[1:])\n"
        + TRAINING
        + f"""
print([hasattr(importlib.import_module(name), 'mine') for name in {names}])
print(float(net.loss(x, t)), net.gradient(x, t)['W1'].sum(), os.path is importlib.import_module('os.path'))
import html, queue, colorsys
print(html.mine, queue.mine, colorsys.mine, 'html.entities' in sys.modules)
"""
    )
    output, last = japanese.fastbp(script)
    plain = japanese.plain(script)
    np.testing.assert_allclose(numbers(output), numbers(plain), rtol=1e-9)
    assert re.sub(r"-?\d+\.\d+", "", output) == re.sub(r"-?\d+\.\d+", "", plain)
    assert "served by kernels" in last


def test_a_module_that_our_imports_need(japanese: Project) -> None:
    """`python -m fastbp` in a folder with a dis.py, which is first on its path."""
    japanese.real = True
    (japanese.chapter / "dis.py").write_text("mine = True\n")
    (japanese.chapter / "ast.py").write_text("mine = True\n")
    script = japanese.write("import dis, ast\nprint(dis.mine, ast.mine, sys.path[1:])\n")
    assert japanese.fastbp(script)[0] == japanese.plain(script)
    info = japanese.run("-m", "fastbp", "info")
    assert (info.returncode, info.stderr) == (0, "")


def test_a_folder_of_many_files_and_one_that_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("queue.py", "wave.abi3.so", "html.png", "image", "image.7.png"):
        (tmp_path / name).touch()
    for name in ("json", "xml"):
        (tmp_path / name).mkdir()
    (tmp_path / "json" / "__init__.py").touch()
    looked: list[str] = []
    isfile = os.path.isfile
    with monkeypatch.context() as patch:
        patch.setattr(os.path, "isfile", lambda path: looked.append(path) or isfile(path))
        names = {"queue", "wave", "html", "json", "xml"}
        assert shadows._found_in(str(tmp_path), names) == {"queue", "json"} | (
            {"wave"} if os.name == "posix" else set()
        )
    assert len(looked) == 2

    def refuse(folder: str) -> None:
        raise PermissionError(13, "Permission denied", folder)

    monkeypatch.setattr(os, "scandir", refuse)
    before = builtins.__import__
    shadows.give_way(str(tmp_path))
    assert builtins.__import__ is before


def test_imports_of_fastbps_own_beside_the_scripts(tmp_path: Path) -> None:
    """What fastbp and Numba import later on, too."""
    for name in ("colorsys", "html", "textwrap", "encodings", "os", "sys", "xml"):
        (tmp_path / f"{name}.py").write_text("mine = True\n")
    (tmp_path / "wave").mkdir()
    (tmp_path / "wave" / "__init__.py").write_text("mine = True\n")
    code = """
        import html.entities, numpy, os, sys, xml, fastbp.book.shadows as shadows
        entities = html.entities
        sys.path.insert(0, os.getcwd())
        shadows.give_way(os.getcwd())
        import colorsys, html, wave
        print([getattr(module, "mine", False) for module in (colorsys, html, wave)])
        ours = {"__name__": "numba.core"}
        exec("import colorsys, wave, html.entities, html.parser, os, sys, encodings, numpy.ma", ours)
        print([getattr(ours[name], "mine", False) for name in ("colorsys", "html", "wave", "os", "sys", "encodings")])
        print(ours["html"].entities is entities, sys.path[0] == os.getcwd(), ours["html"].parser.__name__)
        exec("from xml import sax; from html import parser", ours)
        print(ours["sax"].__name__, ours["parser"] is ours["html"].parser)
        import html, wave
        print(html.mine, wave.mine, "html.parser" in sys.modules)
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(code)], cwd=tmp_path, env=os.environ | {"PYTHONSAFEPATH": "1"},
        capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "[True, True, True]",
        "[False, False, False, False, False, False]",
        "True True html.parser",
        "xml.sax True",
        "True True False",
    ]


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ("sys.exit(3)", 3),
        ("sys.exit()", 0),
        ("sys.exit('a message')", 1),
        ("raise SystemExit(True)", 1),
        ("raise KeyError('x')", 1),
        ("x = [1]\ndef f(): return x[3]\nf()", 1),
        ("Affine(np.ones((2, 3)), np.zeros(3)).forward('text')", 1),
        ("import atexit; atexit.register(print, 'last'); 1 / 0", 1),
        ("print(sys.excepthook is sys.__excepthook__, sys.displayhook is sys.__displayhook__)", 0),
        ("sys.excepthook = lambda *error: print(error[0].__name__); raise ValueError", 1),
        ("def f(:", 1),
        ("raise ValueError('a') from KeyError('b')", 1),
    ],
)
def test_how_a_script_ends(ending: str, status: int, japanese: Project) -> None:
    script = japanese.write(f"from common.layers import *\nprint('begins')\n{ending}\n")
    done, plain = japanese.run("-m", "fastbp", "run", script), japanese.run(script)
    assert (done.returncode, plain.returncode) == (status, status)
    assert done.stdout == plain.stdout
    *said, last = done.stderr.splitlines()
    assert last.startswith("fastbp: ")
    if "Affine" not in ending:  # whose error is ours
        assert [line for line in said if not line.startswith("fastbp: ")] == plain.stderr.splitlines()


def test_an_interrupt(japanese: Project) -> None:
    script = japanese.write("from common.layers import *\nimport time\nprint('ready', flush=True)\ntime.sleep(60)\n")
    with subprocess.Popen(
        [sys.executable, "-m", "fastbp", "run", script],
        cwd=japanese.chapter,
        env=japanese.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in said
    assert said.splitlines()[-1].startswith("fastbp: ")


def test_kernels_that_cannot_be_kept(japanese: Project) -> None:
    (japanese.folder / "file").touch()
    script = japanese.write(
        "from common.layers import *\nimport warnings\nRelu().forward(np.ones(2))\nwarnings.warn('mine')\n"
    )
    done = japanese.run("-m", "fastbp", "run", script, FASTBP_CACHE_DIR=f"{japanese.folder}/file/cache")
    compiling, warning, *own, last = done.stderr.splitlines()
    assert compiling == "fastbp: compiling the kernels, up to a minute: they can't be kept"
    assert warning.startswith("fastbp: warning: compiled kernels can't be kept in ")
    assert own == [f"{japanese.chapter / script}:6: UserWarning: mine", "  warnings.warn('mine')"]
    assert last.startswith("fastbp: ")


def test_an_interrupt_while_kernels_compile(japanese: Project) -> None:
    """The traceback ends in the script, at the line that was waiting, without fastbp's lines and Numba's."""
    script = japanese.write(
        "from common.layers import *\nlayer = Affine(np.ones((9, 9)), 0)\nlayer.forward(np.ones((9, 9)))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-m", "fastbp", "run", script],
        cwd=japanese.chapter,
        env=japanese.environment | {"FASTBP_CACHE_DIR": str(japanese.folder / "cache")},
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("fastbp: compiling the kernels")
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        traceback = process.stderr.read()
    assert process.returncode == -signal.SIGINT
    assert re.findall('File "(.*)", line (.*), in', traceback) == [(str(japanese.chapter / script), "5")]
    assert "\nKeyboardInterrupt\nfastbp: " in traceback


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(method: str, japanese: Project) -> None:
    japanese.real = True
    script = japanese.write(
        TRAINING
        + f"""
import multiprocessing

def loss(seed):
    np.random.seed(seed)
    return float(TwoLayerNet(64, 20, 10).loss(x, t)), Affine.forward.__code__.co_filename, os.getpid()

def of(network):
    return float(network.loss(x, t)), type(network.layers['Affine1']) is Affine

if __name__ == '__main__':
    with multiprocessing.get_context({method!r}).Pool(2) as pool:
        for value, file, process in pool.map(loss, range(4)):
            print(value, 'common' in file, process != os.getpid())
        print(pool.map(of, [net]))
"""
    )
    output, _ = japanese.fastbp(script)
    plain = japanese.plain(script)
    np.testing.assert_allclose(numbers(output), numbers(plain), rtol=1e-9)
    assert re.findall("True|False", output) == ["False", "True"] * 4 + ["True"]
    assert re.findall("True|False", plain) == ["True", "True"] * 4 + ["True"]


def test_mistakes(japanese: Project) -> None:
    for arguments, said in (
        (("missing.py",), "missing.py: No such file"),
        ((".",), "is a folder: expected a Python script"),
        (("--dialect", "fr", "script.py"), "'fr' is not one of"),
        ((), "Missing argument 'SCRIPT'"),
    ):
        done = japanese.run("-m", "fastbp", "run", *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr
