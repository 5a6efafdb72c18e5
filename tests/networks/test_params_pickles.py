"""Pickles of parameters: read without running anything in them, and made into npz files by the command."""

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastbp import load_params
from fastbp.networks.pickles import convert_params, read_params

RNG = np.random.default_rng(0)
PARAMS = {
    "W1": RNG.standard_normal((3, 4)),
    "b1": RNG.standard_normal(4).astype(np.float32),
    "W2": np.asfortranarray(RNG.standard_normal((4, 2))),
    "labels": np.arange(5, dtype=np.uint8),
    "lr": np.float64(0.1),
    "steps": 7,
}


def saved(path: Path, value: Any, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(value, protocol))
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", [dict, OrderedDict])
def test_every_protocol(protocol: int, kind: Any, tmp_path: Path) -> None:
    source, target = saved(tmp_path / "params.pkl", kind(PARAMS), protocol), tmp_path / "params.npz"
    assert convert_params(source, target) == list(PARAMS)
    loaded = load_params(target)
    assert list(loaded) == list(PARAMS)
    for name, value in PARAMS.items():
        np.testing.assert_array_equal(loaded[name], value)
        assert loaded[name].dtype == np.asarray(value).dtype


@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_arrays_of_old_and_new_numpy(module: str, tmp_path: Path) -> None:
    content = pickle.dumps({"W": np.arange(3.0), "x": np.float32(2)}, 0)
    now = b"numpy._core.multiarray" if b"numpy._core" in content else b"numpy.core.multiarray"
    (tmp_path / "old.pkl").write_bytes(content.replace(now, module.encode()))
    assert read_params(tmp_path / "old.pkl")["W"].tolist() == [0, 1, 2]


def test_a_pickle_of_python_2(tmp_path: Path) -> None:
    """Bytes as a str of Python 2, protocol 2, written by hand: an array's state of that time."""
    raw = np.array([1.5, -2.0]).tobytes()
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntU\x01btR(I1\n(I2\nt"
        b"cnumpy\ndtype\n(U\x02f8I0\nI1\ntR(I3\nU\x01<NNNI-1\nI-1\nI0\ntbI00\nU" + bytes([len(raw)]) + raw + b"tb"
    )
    (tmp_path / "two.pkl").write_bytes(b"\x80\x02}U\x02W1" + array + b"s.")
    assert read_params(tmp_path / "two.pkl")["W1"].tolist() == [1.5, -2.0]


class Evil:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("ran"),))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"W": Evil()}, r"it holds a pathlib\S*\.Path"),
        ({"W": {1, 2}}, "expected an array of numbers"),
        ({"W": np.array([{}], object)}, "array of objects"),
        ({"W": np.array(["a"])}, "expected an array of numbers"),
        ({"W": "text"}, "has a str under 'W'"),
        ({3: np.ones(2)}, "has the key 3, expected names"),
        ([np.ones(2)], "holds a list, expected a dict of arrays by name"),
        ({}, "expected a dict of arrays"),
        ({"W": np.ma.ones(2)}, r"it holds a numpy\.ma"),
        ({"W": print}, r"it holds a builtins\.print"),
    ],
)
def test_what_is_refused(value: Any, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = saved(tmp_path / "params.pkl", value)
    with pytest.raises(ValueError, match=said) as error:
        convert_params(source, tmp_path / "params.npz")
    assert str(source) in str(error.value)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["params.pkl"]


@pytest.mark.parametrize(
    "code",
    [
        b"cos\nsystem\n(S'touch ran'\ntR.",
        b"\x80\x04\x8c\x08builtins\x8c\x04exec\x93\x8c\x01x\x85R.",
        b"cnumpy.core.multiarray\n_reconstruct\n(cbuiltins\nlist\n(I0\ntS'b'\ntR.",
        b"cnumpy\ndtype\n(S'O'\nI0\nI1\ntR.",
        b"garbage",
        b"",
    ],
)
def test_hand_made_pickles(code: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.pkl").write_bytes(code)
    with pytest.raises(ValueError, match=r"params\.pkl is no pickle of parameters"):
        read_params("params.pkl")
    assert not Path("ran").exists()


def test_an_npz_file_needs_no_conversion(tmp_path: Path) -> None:
    np.savez(tmp_path / "params.npz", W1=np.zeros(2))
    with pytest.raises(ValueError, match=r"params\.npz is an npz file, not a pickle: load_params reads it"):
        read_params(tmp_path / "params.npz")


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_load_params_names_the_command(protocol: int, tmp_path: Path) -> None:
    source = saved(tmp_path / "params.pkl", {"W": np.ones(2)}, protocol)
    with pytest.raises(ValueError, match=r"it is a pickle.*`fastbp convert \S*params\.pkl \S*params\.npz`"):
        load_params(source)


@pytest.mark.command
def test_the_command(command: Any, tmp_path: Path) -> None:
    saved(tmp_path / "params.pkl", PARAMS)
    assert command("convert", "params.pkl", "params.npz") == f"params.npz: {', '.join(PARAMS)}\n"
    np.testing.assert_array_equal(load_params(tmp_path / "params.npz")["W1"], PARAMS["W1"])
    saved(tmp_path / "params.pkl", {"W1": np.zeros(1)})
    assert "params.npz exists: --force overwrites it" in command.mistake("convert", "params.pkl", "params.npz")
    assert len(load_params(tmp_path / "params.npz")) == len(PARAMS)
    assert command("convert", "--force", "params.pkl", "params.npz") == "params.npz: W1\n"
    assert "missing.pkl: No such file" in command.mistake("convert", "missing.pkl", "other.npz")
