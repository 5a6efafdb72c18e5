"""The command as a user starts it: a process of its own, in an empty folder."""

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mnist_real import REAL, real_data

import fastbp
from fastbp import datasets
from fastbp.command.networks import Architecture, default_optimizer
from fastbp.optimizers.by_name import OPTIMIZERS
from fastbp.system.compilation import COMPILING

pytestmark = pytest.mark.command

OPTIONS = {
    "train": "data network hidden optimizer lr epochs batch-size train-samples dtype seed threads save plot quiet",
    "evaluate": "load data",
    "gradcheck": "data hidden seed",
    "graph": "opened save",
    "info": "",
    "run": "dialect only compare dtype",
    "convert": "force",
    "warmup": "dtype",
}


def last_line(output: str) -> tuple[float, int, float, float]:
    """Test accuracy, steps, seconds and samples per second."""
    how = "compiled loop"
    pattern = rf"test accuracy (\d\.\d{{4}}) · (\d+) steps · (\d+\.\d) s · ([\d,]+) samples/s · {how}"
    found = re.fullmatch(pattern, output.splitlines()[-1])
    assert found, output
    return float(found[1]), int(found[2]), float(found[3]), float(found[4].replace(",", ""))


def epoch_lines(output: str) -> list[tuple[int, str, str]]:
    """Number, training and test accuracy of each line but the last, and but that a kernel was compiled."""
    pattern = r"epoch {1,3}(\d+)  train (\d\.\d{4})  test (\d\.\d{4})"
    lines = output.removeprefix(f"{COMPILING}\n").splitlines()
    found = [re.fullmatch(pattern, line) for line in lines[:-1]]
    assert None not in found, output
    return [(int(line[1]), line[2], line[3]) for line in found]


# train ---------------------------------------------------------------------------------------------------------------


def test_train_by_default(command: Any, tmp_path: Path) -> None:
    output = command("train")
    accuracy, steps, seconds, rate = last_line(output)
    epochs = epoch_lines(output)
    assert accuracy >= 0.97
    assert steps == 200 * 15
    assert [number for number, _, _ in epochs] == list(range(1, 201))
    assert float(epochs[0][2]) < 0.8
    assert float(epochs[-1][1]) > 0.99
    assert float(epochs[-1][2]) == accuracy
    assert 200 * 1437 / (seconds + 0.06) < rate < 200 * 1437 / max(seconds - 0.06, 0.01)
    assert "\x1b" not in output
    assert "\r" not in output
    assert list(tmp_path.iterdir()) == []


def test_train_options_reach_the_training(command: Any, tmp_path: Path) -> None:
    """The command trains the very network that the same calls in Python train."""
    options = "--epochs 3 --hidden 7 --batch-size 600 --lr 0.5 --dtype float64 --seed 3 --threads 2 --save net.npz"
    output = command("train", *options.split())
    rng = np.random.default_rng(3)
    network = fastbp.TwoLayerNet(64, 7, 10, np.sqrt(2 / 64), dtype=np.float64, rng=rng)
    (x_train, t_train), (x_test, t_test) = datasets.load_digits()
    arrays = (x_train.astype(np.float64), t_train, x_test.astype(np.float64), t_test)
    trainer = fastbp.Trainer(network, *arrays, 3, 600, optimizer_param={"lr": 0.5}, verbose=False, rng=rng)
    trainer.train()
    accuracies = zip(trainer.train_acc_list, trainer.test_acc_list, strict=True)
    assert epoch_lines(output) == [(i, f"{a:.4f}", f"{b:.4f}") for i, (a, b) in enumerate(accuracies, 1)]
    assert last_line(output)[1] == 9
    with np.load(tmp_path / "net.npz", allow_pickle=False) as saved:
        assert set(saved) == set(network.params)
        for name, parameter in network.params.items():
            assert (saved[name].shape, saved[name].dtype) == (parameter.shape, np.float64)
            np.testing.assert_allclose(saved[name], parameter, rtol=1e-9, atol=1e-12)


def test_deep_conv_learns_by_adam_unless_a_rate_is_given() -> None:
    by_default = {each.value: (default_optimizer(each, None), default_optimizer(each, 0.1)) for each in Architecture}
    assert by_default.pop("deep-conv") == ("adam", "sgd")
    assert set(by_default.values()) == {("sgd", "sgd")}


@pytest.mark.parametrize("network", ["two-layer", "multi-layer", "simple-conv", "deep-conv"])
def test_train_each_network(command: Any, network: str) -> None:
    """It learns, the same whenever the seed is, and `evaluate` knows it again from the file."""
    adam = () if network == "deep-conv" else ("--optimizer", "adam")  # which is its default
    small = ("--network", network, *adam, "--train-samples", 300, "--epochs", 8, "--batch-size", 30)
    output, again = (command("train", *small, "--save", name) for name in ("net.npz", "again.npz"))
    number, _, test = epoch_lines(output)[-1]
    assert epoch_lines(output) == epoch_lines(again)
    assert (number, output.splitlines()[-1].split(" · ")[1]) == (8, "80 steps")
    assert float(test) > 0.6
    output = command("evaluate", "--load", "net.npz").removeprefix(f"{COMPILING}\n")
    assert output.startswith(f"test accuracy {test} · train accuracy ")


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_train_with_each_optimizer(command: Any, tmp_path: Path, name: str) -> None:
    """The very network that the same calls in Python train; its learning rate is the book's, but for SGD."""
    options = f"--optimizer {name} --epochs 2 --network multi-layer --hidden 9,8 --dtype float64 --save net.npz"
    output = command("train", *options.split())
    rng = np.random.default_rng(0)
    network = fastbp.MultiLayerNet(64, [9, 8], 10, rng=rng)
    (x_train, t_train), (x_test, t_test) = datasets.load_digits()
    arrays = (x_train.astype(np.float64), t_train, x_test.astype(np.float64), t_test)
    lr = {"sgd": 0.1, "adam": 0.001}.get(name, 0.01)
    trainer = fastbp.Trainer(network, *arrays, 2, 100, name, {"lr": lr}, verbose=False, rng=rng)
    trainer.train()
    assert epoch_lines(output)[-1][2] == f"{trainer.test_acc_list[-1]:.4f}"
    with np.load(tmp_path / "net.npz", allow_pickle=False) as saved:
        for key, parameter in network.params.items():
            np.testing.assert_allclose(saved[key], parameter, rtol=1e-9, atol=1e-12)


def test_train_seed(command: Any) -> None:
    first, again, other = (epoch_lines(command("train", "--epochs", 3, "--seed", s)) for s in (5, 5, 6))
    assert first == again
    assert all(a != b for a, b in zip(first, other, strict=True))


def test_train_quiet(command: Any) -> None:
    output = command("train", "--quiet", "--epochs", 2)
    assert output.count("\n") == 1
    assert last_line(output)[1] == 30


def test_train_with_an_encoding_that_lacks_the_dot(command: Any) -> None:
    assert " ? 15 steps ? " in command("train", "--epochs", 1, PYTHONIOENCODING="ascii")


@pytest.mark.full
def test_train_where_kernels_cannot_be_kept(command: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = command.run("train", "--epochs", 2, "--threads", 1, FASTBP_CACHE_DIR=f"{tmp_path}/file/cache")
    assert done.returncode == 0
    assert last_line(done.stdout)[1] == 30
    assert done.stderr.count(f"can't be kept in {tmp_path}/file/cache/kernels (Not a directory)") == 1
    assert "set FASTBP_CACHE_DIR" in done.stderr


# evaluate ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_save_and_evaluate(command: Any, tmp_path: Path, dtype: str) -> None:
    (tmp_path / "net").write_text("what was there before")
    _, train, test = epoch_lines(command("train", "--epochs", 4, "--dtype", dtype, "--save", "net"))[-1]
    assert [file.name for file in tmp_path.iterdir()] == ["net"]
    expected = f"test accuracy {test} · train accuracy {train} · 360 and 1437 samples\n"
    assert command("evaluate", "--load", "net").removeprefix(f"{COMPILING}\n") == expected


@pytest.mark.skipif(os.name != "posix", reason="symbolic links and modes of POSIX")
def test_save_through_a_link(command: Any, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.npz").symlink_to("folder/net.npz")
    command("train", "--epochs", 1, "--save", "link.npz")
    assert (tmp_path / "link.npz").is_symlink()
    assert (tmp_path / "folder" / "net.npz").is_file()
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / "folder" / "net.npz").stat().st_mode & 0o777 == 0o666 & ~umask


# --plot --------------------------------------------------------------------------------------------------------------


def pixels(picture: np.ndarray, color: str) -> np.ndarray:
    """Where a picture is near a color."""
    from matplotlib.colors import to_rgb

    return np.abs(picture[..., :3] - to_rgb(color)).max(axis=-1) < 0.1


def rises(curve: np.ndarray) -> bool:
    """Whether the topmost pixels of the last quarter are above those of the first."""
    columns = np.flatnonzero(curve.any(axis=0))
    top = curve[:, columns].argmax(axis=0)
    quarter = len(columns) // 4
    return bool(top[-quarter:].max() < top[:quarter].max())


@pytest.mark.parametrize("epochs", [1, 40])
def test_plot(command: Any, tmp_path: Path, epochs: int) -> None:
    image = pytest.importorskip("matplotlib.image")
    command("train", "--epochs", epochs, "--plot", "curves.png")
    assert [file.name for file in tmp_path.iterdir()] == ["curves.png"]
    assert (tmp_path / "curves.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    picture = image.imread(tmp_path / "curves.png")
    assert picture.shape == (480, 1200, 4)
    assert pixels(picture, "white").mean() > 0.5
    loss, train, test = pixels(picture[:, :600], "C0"), pixels(picture[:, 600:], "C0"), pixels(picture[:, 600:], "C1")
    assert min(loss.sum(), train.sum(), test.sum()) > 100
    if epochs > 1:
        assert rises(train)
        assert rises(test)
        assert rises(loss[::-1])


def test_plot_in_another_format(command: Any, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    command("train", "--epochs", 1, "--plot", "curves.svg")
    assert "</svg>" in (tmp_path / "curves.svg").read_text()


def test_plot_without_matplotlib(command: Any, tmp_path: Path) -> None:
    code = "import sys; sys.modules['matplotlib'] = None; from fastbp.__main__ import main; main()"
    message = command.mistake("train", "--plot", "curves.png", python=("-c", code))
    assert "pip install 'fastbp[plot]'" in message
    assert list(tmp_path.iterdir()) == []


# gradcheck -----------------------------------------------------------------------------------------------------------

ROW = r"(\w+) +(\d\.\d+e[-+]\d\d) +(\d\.\d+e[-+]\d\d) +(\d\.\d+e[-+]\d\d)  \([\d, ]+\) +(\w+)"


@pytest.mark.parametrize("arguments", [(), ("--hidden", 5, "--seed", 7)])
def test_gradcheck(command: Any, arguments: tuple[object, ...]) -> None:
    lines = command("gradcheck", *arguments).removeprefix(f"{COMPILING}\n").splitlines()
    rows = [re.fullmatch(ROW, line) for line in lines[1:-1]]
    assert [(row[1], row[5]) for row in rows] == [(name, "ok") for name in ("W1", "b1", "W2", "b2")]
    assert all(float(row[3]) < 1e-8 for row in rows)
    assert re.fullmatch(r"numerical \d+\.\d s, backprop 0\.\d{4} s", lines[-1])


def test_gradcheck_of_a_wrong_layer(command: Any) -> None:
    code = """
import sys
from fastbp import layers
right = layers.Affine.backward
def backward(self, dout):
    dx = right(self, dout)
    self.dW *= 1.001
    return dx
layers.Affine.backward = backward
from fastbp.command.cli import run
sys.exit(run(["gradcheck"]))
"""
    output = command(python=("-c", code), status=1).removeprefix(f"{COMPILING}\n")
    assert [line.split()[-1] for line in output.splitlines()[1:5]] == ["wrong", "ok", "wrong", "ok"]
    assert "\nwrong (" in output


# info, help, version -------------------------------------------------------------------------------------------------


def info(command: Any, **env: str) -> dict[str, str]:
    return dict(re.split(r"\s{2,}", line, maxsplit=1) for line in command("info", **env).splitlines())


def test_info(command: Any) -> None:
    facts = info(command)
    assert facts["fastbp"].startswith(fastbp.__version__)
    for package in ("python", "numpy", "numba", "llvmlite", "typer", "rich", "platformdirs", "pooch"):
        assert re.match(r"\d+\.\d+", facts[package]), package
    assert facts["numpy"] == np.__version__
    assert f"{os.cpu_count()} cores" in facts["processor"]
    assert facts["instruction set"] in {"AVX-512", "AVX2", "SSE2", "NEON", "generic"}
    assert re.fullmatch(r"\d+ \(.+\)", facts["threads"])
    assert re.match(r"(tbb|omp|none, kernels run serially) \(.+\)", facts["threading layer"])
    assert re.fullmatch(r"\d+ \(\d+\.\d MB\)", facts["cached kernels"])
    assert facts["system"]


def test_info_tells_where_kernels_are_kept(command: Any, tmp_path: Path) -> None:
    code = "import numpy, fastbp; fastbp.Relu().forward(numpy.ones(3))"  # the kernel that compiles soonest
    here, there, file = tmp_path / "here", tmp_path / "there", tmp_path / "file"
    command(python=("-c", code), FASTBP_CACHE_DIR=str(here))
    facts = info(command, FASTBP_CACHE_DIR=str(here))
    assert facts["cache folder"] == f"{here / 'kernels'} (writable)"
    assert facts["data folder"] == f"{here / 'mnist'} (writable)"
    assert list((here / "kernels").rglob("*.nbc"))
    assert info(command, FASTBP_DATA=str(here))["data folder"] == f"{here} (FASTBP_DATA)"
    assert info(command, FASTBP_DATA=str(there))["data folder"] == f"{there} (FASTBP_DATA, which is not there)"
    facts = info(command, FASTBP_CACHE_DIR="", NUMBA_CACHE_DIR=str(there))
    assert facts["cache folder"].startswith(str(there))
    assert not facts["data folder"].startswith(str(there))
    file.touch()
    named = info(command, FASTBP_CACHE_DIR=f"{file}/cache")["cache folder"]
    assert named == f"{file}/cache/kernels (not writable: Not a directory; set FASTBP_CACHE_DIR to another folder)"


def test_info_knows_what_kernels_are_compiled_for(command: Any) -> None:
    if info(command)["instruction set"] not in {"AVX-512", "AVX2"}:
        pytest.skip("a processor with AVX2 is needed, of which to use less")
    facts = info(command, NUMBA_CPU_NAME="x86-64", NUMBA_CPU_FEATURES="+sse2")
    assert facts["instruction set"] == "SSE2"
    assert "(x86-64)" in facts["processor"]


def test_version(command: Any) -> None:
    assert command("--version") == f"fastbp {fastbp.__version__}\n"


@pytest.mark.parametrize("arguments", [(), ("--help",)])
def test_help(command: Any, arguments: tuple[str, ...]) -> None:
    output = command(*arguments)
    assert "Usage:" in output
    for name in ("--version", "--help", *OPTIONS):
        assert re.search(rf"^  {name} +[A-Z]", output, re.MULTILINE), name


@pytest.mark.parametrize("name", OPTIONS)
def test_help_of_a_command(command: Any, name: str) -> None:
    output = command(name, "--help")
    found = set(re.findall(r"^  --([a-z-]+)", output, re.MULTILINE))
    assert found == {*OPTIONS[name].split(), "help"}


# MNIST ---------------------------------------------------------------------------------------------------------------


@real_data
def test_mnist(command: Any) -> None:
    output = command("train", "--data", REAL, "--epochs", 1, "--save", "net.npz")
    accuracy, steps, _, _ = last_line(output)
    assert accuracy > 0.9
    assert steps == 600
    expected = f"test accuracy {accuracy:.4f} · train accuracy {epoch_lines(output)[0][1]} · 10000 and 60000 samples\n"
    assert command("evaluate", "--data", REAL, "--load", "net.npz").removeprefix(f"{COMPILING}\n") == expected


@real_data
@pytest.mark.full
def test_mnist_by_default(command: Any) -> None:
    accuracy, steps, _, _ = last_line(command("train", "--data", REAL))
    assert accuracy >= 0.965
    assert steps == 17 * 600
