"""TwoLayerNet against the oracle, its promises about parameters and layers, and its parameters on disk."""

import copy
import io
import os
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import checks
import numpy as np
import pytest
from cases import DTYPES
from hypothesis import given
from hypothesis import strategies as st

from fastbp import SoftmaxWithLoss, TwoLayerNet, check_gradients, layers, load_params, reference, save_params
from fastbp._arrays import TOLERANCE

NAMES = ("W1", "b1", "W2", "b2")
RNG = np.random.default_rng(61)
X = RNG.standard_normal((5, 6))
T = np.array([0, 2, 1, 2, 0])
LABELS = {"index": T, "column": T[:, None], "one-hot": np.eye(3)[T], "soft": RNG.random((5, 3))}


def net(seed: int = 62, **arguments: Any) -> TwoLayerNet:
    return TwoLayerNet(6, 4, 3, 0.5, rng=np.random.default_rng(seed), **arguments)


def holds_its_parameters(network: TwoLayerNet) -> bool:
    """`params[k] is layer.W`, for each of the four."""
    return all(network.params[name] is getattr(network.layers[f"Affine{name[1]}"], name[0]) for name in NAMES)


def same_bits(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    assert list(a) == list(b)
    for name, array in a.items():
        assert array.dtype == b[name].dtype, name
        assert array.tobytes() == b[name].tobytes(), name


# What it is made of


@pytest.mark.parametrize("namespace", [layers, reference], ids=["layers", "oracle"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_parts(namespace: Any, dtype: str) -> None:
    network = net(dtype=dtype, layers=namespace)
    assert {name: array.shape for name, array in network.params.items()} == {
        "W1": (6, 4),
        "b1": (4,),
        "W2": (4, 3),
        "b2": (3,),
    }
    assert {array.dtype for array in network.params.values()} == {np.dtype(dtype)}
    assert [(name, type(layer)) for name, layer in network.layers.items()] == [
        ("Affine1", namespace.Affine),
        ("Relu1", namespace.Relu),
        ("Affine2", namespace.Affine),
    ]
    assert type(network.last_layer) is namespace.SoftmaxWithLoss
    assert network.last_layer.eps == 0
    assert holds_its_parameters(network)
    assert not network.params["b1"].any()
    assert not network.params["b2"].any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_without_a_generator_the_weights_are_the_books(dtype: str) -> None:
    np.random.seed(71)
    W1 = 0.01 * np.random.randn(6, 4)
    W2 = 0.01 * np.random.randn(4, 3)
    following = np.random.rand()
    np.random.seed(71)
    network = TwoLayerNet(6, 4, 3, dtype=dtype)
    assert np.random.rand() == following
    same_bits(network.params, with_biases(W1, W2, dtype))


def with_biases(W1: np.ndarray, W2: np.ndarray, dtype: str) -> dict[str, np.ndarray]:
    arrays = {"W1": W1, "b1": np.zeros(4), "W2": W2, "b2": np.zeros(3)}
    return {name: array.astype(dtype) for name, array in arrays.items()}


@pytest.mark.parametrize("dtype", DTYPES)
def test_with_a_generator_the_weights_are_its_normal_numbers(dtype: str) -> None:
    rng = np.random.default_rng(72)
    W1, W2 = (0.3 * rng.standard_normal(shape) for shape in ((6, 4), (4, 3)))
    before = np.random.get_state()[1].copy()
    network = TwoLayerNet(6, 4, 3, 0.3, dtype=dtype, rng=np.random.default_rng(72))
    same_bits(network.params, with_biases(W1, W2, dtype))
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_last_layer_has_two_names() -> None:
    network = net()
    assert network.lastLayer is network.last_layer
    for name in ("lastLayer", "last_layer"):
        layer = SoftmaxWithLoss(eps=1e-7)
        setattr(network, name, layer)
        assert network.lastLayer is network.last_layer is layer
    assert network.loss(X, T) == layer.loss


@pytest.mark.parametrize("sizes", [(0, 4, 3), (6, 0, 3), (6, 4, -1)])
def test_bad_sizes(sizes: tuple[int, int, int]) -> None:
    names = ("input_size", "hidden_size", "output_size")
    wrong = next(name for name, size in zip(names, sizes, strict=True) if size < 1)
    with pytest.raises(ValueError, match=rf"{wrong} must be at least 1, got {min(sizes)}"):
        TwoLayerNet(*sizes)


@pytest.mark.parametrize("dtype", ["float16", "int64", "complex128", "longdouble", "object", "bool", ">f4"])
def test_bad_dtypes(dtype: str) -> None:
    with pytest.raises(TypeError, match=f"dtype must be float32 or float64, got {np.dtype(dtype)}"):
        TwoLayerNet(6, 4, 3, dtype=dtype)


# What it computes


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("x_dtype", DTYPES)
@pytest.mark.parametrize("t", LABELS.values(), ids=LABELS)
def test_agrees_with_the_oracle(dtype: str, x_dtype: str, t: np.ndarray) -> None:
    ours, oracle = net(dtype=dtype), net(dtype=dtype, layers=reference)
    same_bits(ours.params, oracle.params)
    x, tolerance = X.astype(x_dtype), TOLERANCE[np.result_type(dtype, x_dtype)]
    checks.close(ours.predict(x), oracle.predict(x), tolerance, "scores")
    checks.close(ours.loss(x, t), oracle.loss(x, t), tolerance, "loss")
    assert ours.accuracy(x, t) == oracle.accuracy(x, t)
    got, expected = ours.gradient(x, t), oracle.gradient(x, t)
    assert tuple(got) == tuple(expected) == NAMES
    for name in NAMES:
        checks.close(got[name], expected[name], tolerance, name)
        assert got[name].dtype == expected[name].dtype
        assert got[name].shape == ours.params[name].shape


def test_numerical_gradients_agree() -> None:
    ours, oracle = net(), net(layers=reference)
    before = {name: array.copy() for name, array in ours.params.items()}
    got, expected, backprop = ours.numerical_gradient(X, T), oracle.numerical_gradient(X, T), ours.gradient(X, T)
    for name in NAMES:
        # A difference of losses, divided by 2e-4.
        checks.close(got[name], expected[name], TOLERANCE[np.dtype(np.float64)] / 2e-4, name)
        checks.close(backprop[name], got[name], 1e-8, name)
    same_bits(ours.params, before)


@given(st.integers(1, 7), st.integers(1, 6), st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**31))
def test_any_size_agrees_with_the_oracle(batch: int, inputs: int, hidden: int, outputs: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, t = rng.standard_normal((batch, inputs)), rng.integers(0, outputs, batch)
    ours, oracle = (
        TwoLayerNet(inputs, hidden, outputs, 1.0, rng=np.random.default_rng(seed), layers=namespace)
        for namespace in (layers, reference)
    )
    got, expected = ours.gradient(x, t), oracle.gradient(x, t)
    for name in NAMES:
        checks.close(got[name], expected[name], 1e-12, name)
    checks.close(ours.last_layer.loss, oracle.last_layer.loss, 1e-12, "loss")


@pytest.mark.parametrize("t", [2, np.int8(2), [2], [0, 0, 1]], ids=str)
def test_single_sample(t: Any) -> None:
    network = net()
    scores = network.predict(X[0])
    assert scores.shape == (3,)
    np.testing.assert_array_equal(scores, network.predict(X[:1])[0])
    assert network.loss(X[0], t) == pytest.approx(network.loss(X[:1], [2]), rel=1e-15)
    assert network.accuracy(X[0], t) == float(np.argmax(scores) == 2)
    single, batch = network.gradient(X[0], t), network.gradient(X[:1], [2])
    for name in NAMES:
        checks.close(single[name], batch[name], 1e-15, name)


def test_images_are_flattened() -> None:
    np.testing.assert_array_equal(net().predict(X.reshape(5, 1, 2, 3)), net().predict(X))


@pytest.mark.parametrize("t", LABELS.values(), ids=LABELS)
def test_accuracy_counts_hits(t: np.ndarray) -> None:
    network = net()
    labels = t.argmax(axis=1) if t.shape == (5, 3) else t.reshape(-1)
    hits = [int(np.argmax(network.predict(x)) == label) for x, label in zip(X, labels, strict=True)]
    assert network.accuracy(X, t) == sum(hits) / 5
    assert network.accuracy(X, network.predict(X).argmax(axis=1)) == 1.0


@pytest.mark.parametrize("method", ["loss", "accuracy", "gradient"])
@pytest.mark.parametrize(("t", "message"), [([0, 3, 1, 2, 0], r"t\[1\] is 3"), (T[:4], r"got \(4,\)")])
def test_bad_labels(method: str, t: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(net(), method)(X, t)


def test_inputs_and_parameters_are_not_changed() -> None:
    network, x, t = net(), X.copy(), T.copy()
    before = {name: array.copy() for name, array in network.params.items()}
    network.gradient(x, t)
    network.accuracy(x, t)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(t, T)
    same_bits(network.params, before)


def test_gradients_are_new_each_time() -> None:
    network = net()
    first = network.gradient(X, T)
    kept = {name: array.copy() for name, array in first.items()}
    second = network.gradient(-X, T)
    same_bits(first, kept)
    assert not any(np.shares_memory(first[name], second[name]) for name in NAMES)


# What a user may do to it


@pytest.mark.parametrize("how", ["in place", "rebound"])
@pytest.mark.parametrize("name", NAMES)
def test_changed_parameters_count_at_once(name: str, how: str) -> None:
    network, other = net(), net(seed=63)
    network.gradient(X, T)
    value = other.params[name] + 0.25
    if how == "in place":
        network.params[name][...] = value
    else:
        setattr(network.layers[f"Affine{name[1]}"], name[0], value)
    fresh = net()
    fresh.params[name][...] = value
    np.testing.assert_array_equal(network.predict(X), fresh.predict(X))
    same_bits(network.gradient(X, T), fresh.gradient(X, T))


class LeakyRelu:
    """A layer of a user's own."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.slope = np.where(x > 0, 1.0, 0.1)
        return x * self.slope

    def backward(self, dout: np.ndarray) -> np.ndarray:
        return dout * self.slope


class FixedDropout:
    """The same units are out at each call."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.keep = np.arange(x.shape[-1]) % 2 == 0
        return x * self.keep

    def backward(self, dout: np.ndarray) -> np.ndarray:
        return dout * self.keep


class Transposing:
    """Its arrays are never C-contiguous."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        return np.asfortranarray(x * 2)

    def backward(self, dout: np.ndarray) -> np.ndarray:
        return np.asfortranarray(dout * 2)


FOREIGN: list[tuple[Callable[[], Any], Callable[[Any], Any]]] = [
    (LeakyRelu, lambda a: np.where(a > 0, a, 0.1 * a)),
    (FixedDropout, lambda a: a * [1, 0, 1, 0]),
    (Transposing, lambda a: 2 * a),
]


@pytest.mark.parametrize(("make", "formula"), FOREIGN, ids=[make.__name__ for make, _ in FOREIGN])
@pytest.mark.parametrize("where", [1, 2], ids=["before relu", "after relu"])
def test_foreign_layers(make: Callable[[], Any], formula: Callable[[Any], Any], where: int) -> None:
    network = net()
    items = list(network.layers.items())
    network.layers = dict([*items[:where], ("Foreign", make()), *items[where:]])
    p = network.params
    hidden = X @ p["W1"] + p["b1"]
    hidden = np.maximum(formula(hidden), 0) if where == 1 else formula(np.maximum(hidden, 0))
    checks.close(network.predict(X), hidden @ p["W2"] + p["b2"], 1e-12, "scores")
    report = check_gradients(network, X, T)
    assert report.ok, f"\n{report}"


@pytest.mark.parametrize(
    "twice", [copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))], ids=["deepcopy", "pickle"]
)
@pytest.mark.parametrize("used", [False, True], ids=["new", "used"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_copies(twice: Callable[[TwoLayerNet], TwoLayerNet], used: bool, dtype: str) -> None:
    network = net(dtype=dtype)
    if used:
        network.gradient(X, T)
    twin = twice(network)
    assert holds_its_parameters(twin)
    assert twin.lastLayer is twin.last_layer
    same_bits(twin.params, network.params)
    same_bits(twin.gradient(X, T), network.gradient(X, T))
    twin.params["W1"] += 1
    assert not np.shares_memory(twin.params["W1"], network.params["W1"])
    assert twin.loss(X, T) != network.loss(X, T)


# On disk


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


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        save_params(tmp_path / "none" / "params.npz", net())


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_follow_the_umask(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        save_params(tmp_path / "p", net())
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert (tmp_path / "p").stat().st_mode & 0o777 == mode


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
    with pytest.raises(RuntimeWarning, match="overflow"):
        load_params(tmp_path / "p", narrow)
    same_bits(narrow.params, net(seed=63, dtype="float32").params)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.npz"):
        load_params(tmp_path / "none.npz")
