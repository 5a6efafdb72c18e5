"""Parameters on disk: what is written, what is read, and what must be refused."""

import io
import os
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import DTYPES
from nets import NAMES, X, holds_its_parameters, net, same_bits

from fastbp import TwoLayerNet, load_params, save_params
from fastbp.networks import files


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("as_path", [Path, str], ids=["Path", "str"])
@pytest.mark.parametrize("name", ["params.npz", "params", "params.v1.dat"])
def test_round_trip(tmp_path: Path, name: str, as_path: type, dtype: str) -> None:
    saved, loaded = net(dtype=dtype), net(seed=63, dtype=dtype)
    saved.params["b1"][:] = [-0.0, np.nan, np.inf, 1e-40]
    save_params(as_path(tmp_path / name), saved)
    assert os.listdir(tmp_path) == [name]
    arrays = dict(loaded.params)
    returned = load_params(as_path(tmp_path / name), loaded)
    same_bits(loaded.params, saved.params)
    same_bits(returned, saved.params)
    assert all(loaded.params[key] is arrays[key] for key in NAMES)
    assert holds_its_parameters(loaded)
    same_bits(load_params(tmp_path / name), saved.params)


def test_numpy_reads_and_writes_the_same_files(tmp_path: Path) -> None:
    network, path = net(), tmp_path / "params.npz"
    save_params(path, network)
    with np.load(path) as archive:
        same_bits(dict(archive), network.params)
    for write in (np.savez, np.savez_compressed):
        write(path, **network.params)
        same_bits(load_params(path), network.params)


def test_fortran_order_and_any_name(tmp_path: Path) -> None:
    network = net()
    network.params = {"file": np.asfortranarray(X), "allow_pickle": np.array(1.5)}
    save_params(tmp_path / "p", network)
    same_bits(load_params(tmp_path / "p"), network.params)


def test_float64_file_into_a_float32_network(tmp_path: Path) -> None:
    wide, narrow = net(), net(seed=63, dtype="float32")
    save_params(tmp_path / "p", wide)
    load_params(tmp_path / "p", narrow)
    same_bits(narrow.params, {name: array.astype(np.float32) for name, array in wide.params.items()})
    assert holds_its_parameters(narrow)


def object_array(network: TwoLayerNet) -> None:
    network.params["b2"] = np.array([1, "a", None], object)


def unreadable(network: TwoLayerNet) -> None:
    class Unreadable:
        def __array__(self, *args: Any, **kwargs: Any) -> Any:
            raise MemoryError("no more")

    network.params["b2"] = Unreadable()


@pytest.mark.parametrize(("spoil", "error"), [(object_array, ValueError), (unreadable, MemoryError)])
@pytest.mark.parametrize("before", [b"what was there", None], ids=["a file was there", "no file was there"])
def test_a_failure_leaves_what_was_there(
    tmp_path: Path, spoil: Callable[[TwoLayerNet], None], error: type[Exception], before: bytes | None
) -> None:
    path, network = tmp_path / "params.npz", net()
    if before:
        path.write_bytes(before)
    spoil(network)
    with pytest.raises(error):
        save_params(path, network)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == ({path.name: before} if before else {})


def test_saving_replaces_the_file(tmp_path: Path) -> None:
    path = tmp_path / "params.npz"
    for seed in (62, 63):
        save_params(path, net(seed))
        same_bits(load_params(path), net(seed).params)
    assert os.listdir(tmp_path) == ["params.npz"]


def archive(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return stream.getvalue()


def written(write: Callable[..., Any], *args: Any, **arrays: Any) -> bytes:
    stream = io.BytesIO()
    write(stream, *args, **arrays)
    return stream.getvalue()


class Alarm:
    """Unpickling it would be noticed."""

    rung = False

    def __reduce__(self) -> Any:
        return setattr, (Alarm, "rung", True)


PICKLED = np.array([Alarm()], object)

NOT_PARAMETERS = {
    "empty": b"",
    "text": b"W1 = 3\n" * 50,
    "pickle": pickle.dumps(Alarm()),
    "npy": written(np.save, X),
    "pickled npy": written(np.save, PICKLED),
    "pickled npz": written(np.savez, W1=PICKLED, b1=X),
    "another zip": archive(W1=b"hello", b1=b""),
    "zip of arrays without their headers": archive(**{"W1.npy": X.tobytes()}),
}


@pytest.mark.parametrize("content", NOT_PARAMETERS.values(), ids=NOT_PARAMETERS)
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path, network = tmp_path / "p.npz", net()
    path.write_bytes(content)
    for arguments in ((path,), (path, network)):
        with pytest.raises(ValueError, match=f"^{re.escape(str(path))} is no npz file of parameters, or is damaged"):
            load_params(*arguments)
    assert not Alarm.rung
    same_bits(network.params, net().params)


def test_truncated_files_are_refused(tmp_path: Path) -> None:
    path, network = tmp_path / "p.npz", net()
    save_params(path, net(seed=63))
    content = path.read_bytes()
    for size in (*range(0, len(content), 11), len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(ValueError, match=re.escape(str(path))):
            load_params(path, network)
    same_bits(network.params, net().params)


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed], ids=lambda f: f.__name__)
def test_a_flipped_bit_is_refused_or_harmless(tmp_path: Path, write: Callable[..., None]) -> None:
    path, saved = tmp_path / "p.npz", net(seed=63)
    content = written(write, **saved.params)
    rng, refused = np.random.default_rng(64), 0
    for _ in range(200):
        damaged = bytearray(content)
        damaged[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        network, expected = net(), saved
        try:
            load_params(path, network)
        except ValueError as error:
            assert str(path) in str(error)  # noqa: PT017
            expected = net()
            refused += 1
        same_bits(network.params, expected.params)
    assert refused > 80


MISFITS = {
    "missing": ({"b2": None}, r"holds \['W1', 'W2', 'b1'\], but the network has \['W1', 'W2', 'b1', 'b2'\]"),
    "one more": ({"W3": X}, r"holds \['W1', 'W2', 'W3', 'b1', 'b2'\]"),
    "transposed": ({"W2": np.zeros((3, 4))}, r"has W2 of shape \(3, 4\), but the network's has \(4, 3\)"),
    "would broadcast": ({"b2": np.array(1.0)}, r"has b2 of shape \(\), but the network's has \(3,\)"),
    "integers": ({"b2": np.arange(3)}, r"has b2 of dtype int64, expected floating point"),
    "complex": ({"b2": np.zeros(3, complex)}, r"has b2 of dtype complex128, expected floating point"),
    "text": ({"b2": np.array(["a", "b", "c"])}, r"has b2 of dtype <U1, expected floating point"),
}


@pytest.mark.parametrize(("changes", "message"), MISFITS.values(), ids=MISFITS)
def test_misfits_are_refused_and_change_nothing(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path, network = tmp_path / "p.npz", net()
    arrays = {name: array for name, array in (net(seed=63).params | changes).items() if array is not None}
    path.write_bytes(written(np.savez, **arrays))
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))} {message}"):
        load_params(path, network)
    same_bits(network.params, net().params)


def test_a_number_too_large_for_float32_changes_nothing_halfway(tmp_path: Path) -> None:
    wide, narrow = net(), net(seed=63, dtype="float32")
    wide.params["b2"][1] = 1e300
    save_params(tmp_path / "p", wide)
    with pytest.raises(ValueError, match="p has a number in b2 that is too large for the network's float32"):
        load_params(tmp_path / "p", narrow)
    same_bits(narrow.params, net(seed=63, dtype="float32").params)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.npz"):
        load_params(tmp_path / "none.npz")


@pytest.mark.parametrize("name", NAMES)
def test_a_parameter_that_cannot_be_written_changes_nothing(tmp_path: Path, name: str) -> None:
    save_params(tmp_path / "p", net(seed=63))
    network = net()
    network.params[name].flags.writeable = False
    with pytest.raises(ValueError, match=rf"p can't be loaded: the network's {name} is no array, or a read-only one"):
        load_params(tmp_path / "p", network)
    same_bits(network.params, net().params)


def test_a_parameter_that_is_a_number_changes_nothing(tmp_path: Path) -> None:
    network = net()
    network.params["b2"] = 1.5
    save_params(tmp_path / "p", network)
    network.params["W1"] += 1
    before = network.params["W1"].copy()
    with pytest.raises(ValueError, match="the network's b2 is no array"):
        load_params(tmp_path / "p", network)
    np.testing.assert_array_equal(network.params["W1"], before)


def test_infinities_fit_into_any_dtype(tmp_path: Path) -> None:
    wide, narrow = net(), net(seed=63, dtype="float32")
    wide.params["b2"][:] = [np.inf, -np.inf, np.nan]
    save_params(tmp_path / "p", wide)
    load_params(tmp_path / "p", narrow)
    np.testing.assert_array_equal(narrow.params["b2"], [np.inf, -np.inf, np.nan])


def test_too_little_memory_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_npz(content: bytes) -> Any:
        raise MemoryError("no more")

    save_params(tmp_path / "p", net())
    monkeypatch.setattr(files, "_read_npz", read_npz)
    with pytest.raises(MemoryError, match="no more"):
        load_params(tmp_path / "p")
