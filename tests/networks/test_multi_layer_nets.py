"""MultiLayerNet and MultiLayerNetExtend: their parts, their streams, and what they compute beside the oracle's."""

import copy
import pickle
from typing import Any

import checks
import numpy as np
import pytest
from chains import COMPILES
from nets import same_bits

import fastbp
from fastbp import MultiLayerNet, MultiLayerNetExtend, check_gradients, reference
from fastbp.boundary.arrays import TOLERANCE
from fastbp.gradcheck.chain_losses import ChainLosses
from fastbp.gradcheck.losses import NetworkLosses, gradient_of, losses_of

RNG = np.random.default_rng(65)
X, T = RNG.standard_normal((20, 6)), RNG.integers(0, 3, 20)
BOTH = {"use_batchnorm": True, "use_dropout": True, "dropout_ration": 0.3}
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "batch normalization": {"use_batchnorm": True},
    "dropout": {"use_dropout": True},
    "both": BOTH,
    "both, decay": BOTH | {"weight_decay_lambda": 0.1},
}


def plain(**arguments: Any) -> MultiLayerNet:
    return MultiLayerNet(6, [5, 4], 3, **({"rng": np.random.default_rng(1)} | arguments))


def extended(**arguments: Any) -> MultiLayerNetExtend:
    return MultiLayerNetExtend(6, [5, 4], 3, **({"rng": np.random.default_rng(1)} | arguments))


def test_the_parts_of_the_plain_one() -> None:
    network = plain(activation="sigmoid")
    assert list(network.params) == ["W1", "b1", "W2", "b2", "W3", "b3"]
    assert list(network.layers) == ["Affine1", "Activation_function1", "Affine2", "Activation_function2", "Affine3"]
    assert isinstance(network.layers["Activation_function1"], fastbp.Sigmoid)
    assert [network.params[f"W{n}"].shape for n in (1, 2, 3)] == [(6, 5), (5, 4), (4, 3)]
    assert (network.input_size, network.hidden_size_list, network.output_size) == (6, [5, 4], 3)
    assert (network.hidden_layer_num, network.weight_decay_lambda) == (2, 0)
    for n in (1, 2, 3):
        assert network.params[f"W{n}"] is network.layers[f"Affine{n}"].W
        assert network.params[f"b{n}"] is network.layers[f"Affine{n}"].b
        assert not network.params[f"b{n}"].any()


def test_the_parts_of_the_extended_one() -> None:
    network = extended(**BOTH)
    one = ["Affine1", "BatchNorm1", "Activation_function1", "Dropout1"]
    assert list(network.layers) == [*one, *(name.replace("1", "2") for name in one), "Affine3"]
    names = ["W1", "b1", "W2", "b2", "W3", "b3", "gamma1", "beta1", "gamma2", "beta2"]
    assert list(network.params) == names
    assert list(network.gradient(X, T)) == [*names[:2], *names[6:8], *names[2:4], *names[8:], *names[4:6]]
    for n, width in ((1, 5), (2, 4)):
        layer = network.layers[f"BatchNorm{n}"]
        assert layer.gamma is network.params[f"gamma{n}"]
        assert layer.beta is network.params[f"beta{n}"]
        np.testing.assert_array_equal(layer.gamma, np.ones(width))
        assert network.layers[f"Dropout{n}"].dropout_ratio == 0.3
    assert list(extended().layers) == list(plain().layers)


@pytest.mark.parametrize(
    ("weight_init_std", "deviations"),
    [
        ("relu", [(2 / n) ** 0.5 for n in (6, 5, 4)]),
        ("He", [(2 / n) ** 0.5 for n in (6, 5, 4)]),
        ("sigmoid", [(1 / n) ** 0.5 for n in (6, 5, 4)]),
        ("Xavier", [(1 / n) ** 0.5 for n in (6, 5, 4)]),
        (0.01, [0.01] * 3),
    ],
)
def test_weights_are_drawn_as_the_book_draws_them(weight_init_std: Any, deviations: list[float]) -> None:
    np.random.seed(3)
    drawn = [np.random.randn(*shape) for shape in ((6, 5), (5, 4), (4, 3))]
    after = np.random.rand()
    for make in (plain, extended):
        np.random.seed(3)
        network = make(rng=None, weight_init_std=weight_init_std)
        assert np.random.rand() == after
        for n, (weights, deviation) in enumerate(zip(drawn, deviations, strict=True), 1):
            np.testing.assert_allclose(network.params[f"W{n}"], weights * deviation, rtol=1e-15)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
def test_agrees_with_the_oracle(activation: str, variant: dict[str, Any], dtype: str) -> None:
    """With the same stream, from the weights to the dropped numbers of several passes."""
    x, tolerance = X.astype(dtype), 10 * TOLERANCE[np.dtype(dtype)]
    networks = []
    for layers in (fastbp.layers, reference):
        np.random.seed(4)
        networks.append(extended(rng=None, activation=activation, dtype=dtype, layers=layers, **variant))
    state = np.random.get_state()
    found = []
    for network in networks:
        np.random.set_state(state)
        gradients = [network.gradient(x, T) for _ in range(2)]
        found.append((gradients, network.loss(x, T), network.loss(x, T, train_flg=True), network.predict(x)))
    (gradients, *values), (expected, *others) = found
    for got, right in zip(gradients, expected, strict=True):
        for name, array in right.items():
            checks.close(got[name], array, tolerance, name)
            assert got[name].dtype == dtype
    for got, right in zip(values, others, strict=True):
        checks.close(got, right, tolerance, "loss or scores")
    assert networks[0].accuracy(x, T) == networks[1].accuracy(x, T)


@pytest.mark.parametrize("layers", [fastbp.layers, reference], ids=["layers", "oracle"])
@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_gradients_are_right(variant: dict[str, Any], layers: Any) -> None:
    for rng in (np.random.default_rng(1), None):
        np.random.seed(5)
        network = extended(layers=layers, rng=rng, **variant)
        state = np.random.get_state()
        report = check_gradients(network, X, T)
        assert report.ok, f"\n{report}"
        # The caller's stream goes on as if nothing had been drawn.
        np.testing.assert_array_equal(np.random.get_state()[1], state[1])
        assert np.random.get_state()[2] == state[2]


def test_a_wrong_gamma_is_found() -> None:
    class Wrong(MultiLayerNetExtend):
        def gradient(self, x: Any, t: Any) -> Any:
            gradients = super().gradient(x, t)
            return gradients | {"gamma2": gradients["gamma2"] * 1.01}

    network = Wrong(6, [5, 4], 3, rng=np.random.default_rng(1), **BOTH)
    report = check_gradients(network, X, T)
    assert [name for name, check in report.items() if not check.ok] == ["gamma2"], f"\n{report}"


def test_a_batch_of_one_stands_on_its_kinks() -> None:
    """Batch normalization makes it beta, which is exactly 0 before ReLU."""
    network = MultiLayerNetExtend(6, [5, 4], 3, use_batchnorm=True, rng=np.random.default_rng(1))
    report = check_gradients(network, X[:1], T[:1])
    assert report.ok, f"\n{report}"
    assert report["beta2"].verdict == "kink"


def test_numerical_gradients_are_those_of_training() -> None:
    network = extended(**BOTH)
    numerical = network.numerical_gradient(X, T)
    for name, gradient in network.gradient(X, T).items():
        checks.close(gradient, numerical[name], 1e-7, name)


@pytest.mark.skipif(not COMPILES, reason="as Python, kernels are too slow for this")
@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
def test_numerical_gradients_of_a_plain_chain_are_fast(activation: str) -> None:
    network = plain(activation=activation, weight_decay_lambda=0.1)
    own = NetworkLosses(network, X, T)
    fast = losses_of(own)
    assert isinstance(fast, ChainLosses)
    for name in network.params:
        np.testing.assert_allclose(gradient_of(fast, name), gradient_of(own, name), rtol=1e-8, atol=1e-10)


def test_training_and_prediction_differ() -> None:
    network = extended(**BOTH)
    assert network.loss(X, T) == network.loss(X, T, False)
    assert network.loss(X, T) != network.loss(X, T, True)
    np.testing.assert_array_equal(network.predict(X), network.predict(X, False))


@pytest.mark.parametrize("make", [plain, extended])
def test_the_plain_chain_is_compiled(make: Any) -> None:
    network, same = make(weight_decay_lambda=0.01), make(weight_decay_lambda=0.01)
    step = fastbp.compile(network, fastbp.SGD(0.1), strict=True)
    losses = step.run(X, T, np.arange(20).reshape(4, 5))
    for loss, batch in zip(losses, np.arange(20).reshape(4, 5), strict=True):
        expected, gradients = same.loss_and_gradient(X[batch], T[batch])
        assert loss == pytest.approx(expected, rel=1e-12)
        fastbp.SGD(0.1).update(same.params, gradients)
    for name, array in same.params.items():
        np.testing.assert_allclose(network.params[name], array, rtol=1e-10)


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_trainer(variant: dict[str, Any]) -> None:
    network = extended(**variant)
    before = network.loss(X, T)
    trainer = fastbp.Trainer(
        network, X, T, X, T, 30, 10, "Adam", {"lr": 0.01}, verbose=False, rng=np.random.default_rng(2)
    )
    trainer.train()
    assert network.loss(X, T) < before
    # Of a step with batch normalization, the loss is that of the pass in training.
    assert len(trainer.train_loss_list) == 60


@pytest.mark.parametrize("make", [plain, extended])
def test_copies_pickles_and_files(make: Any, tmp_path: Any) -> None:
    network = make()
    for twin in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        same_bits(twin.params, network.params)
        assert twin.layers["Affine2"].W is twin.params["W2"] if twin is not network else True
    fastbp.save_params(tmp_path / "net.npz", network)
    other = make(rng=np.random.default_rng(9))
    fastbp.load_params(tmp_path / "net.npz", other)
    same_bits(other.params, network.params)


BAD = [
    ({"activation": "step"}, ValueError, r"activation must be one of \['relu', 'sigmoid', 'tanh'\], got 'step'"),
    ({"weight_init_std": "big"}, ValueError, "weight_init_std must be a number or one of"),
    ({"weight_init_std": -1}, ValueError, "weight_init_std must be"),
    ({"weight_decay_lambda": -1}, ValueError, "weight_decay_lambda must be"),
    ({"dtype": "int32"}, TypeError, "dtype must be float32 or float64"),
    ({"rng": 3}, TypeError, "rng must be a numpy.random.Generator"),
]


@pytest.mark.parametrize(("wrong", "error", "message"), BAD)
@pytest.mark.parametrize("make", [plain, extended])
def test_is_refused(make: Any, wrong: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make(**wrong)


@pytest.mark.parametrize("cls", [MultiLayerNet, MultiLayerNetExtend])
@pytest.mark.parametrize(
    ("sizes", "message"),
    [((0, [5], 3), "input_size"), ((6, [5, 0], 3), r"hidden_size_list\[1\]"), ((6, [5], 0), "output_size")],
)
def test_sizes_are_at_least_1(cls: type, sizes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cls(*sizes)


def test_one_size_is_no_list_of_them() -> None:
    with pytest.raises(TypeError, match=r"hidden_size_list must be a list of sizes, as \[50\] is, got 50"):
        MultiLayerNet(784, 50, 10)  # type: ignore[arg-type]


def test_positional_arguments_are_the_books() -> None:
    network = MultiLayerNetExtend(6, [5], 3, "sigmoid", 0.1, 0.2, True, 0.4, True)
    assert (network.weight_decay_lambda, network.layers["Dropout1"].dropout_ratio) == (0.2, 0.4)
    assert isinstance(network.layers["Activation_function1"], fastbp.Sigmoid)
    assert MultiLayerNet(6, [5], 3, "sigmoid", 0.1, 0.2).weight_decay_lambda == 0.2
    assert list(MultiLayerNet(6, [], 3).layers) == ["Affine1"]
