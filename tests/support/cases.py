"""The one table of cases, operation × shape × dtype × array flavour, that drives the tests and the benchmarks.

A case is run with the layers of any namespace (`fastbp.layers`, `fastbp.reference`, or one with a mistake in it).
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Arrays = dict[str, Any]

DTYPES = ("float32", "float64")


def strided(array: np.ndarray) -> np.ndarray:
    """Every other element of an array twice as long."""
    return np.repeat(array, 2, axis=-1)[..., ::2]


def read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


def byte_swapped(array: np.ndarray) -> np.ndarray:
    return array.astype(array.dtype.newbyteorder())


def unaligned(array: np.ndarray) -> np.ndarray:
    """A copy whose data starts at an odd address."""
    memory = np.zeros(array.nbytes + 1, np.uint8)
    view = memory[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


FLAVOURS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "plain": np.ascontiguousarray,
    "fortran": np.asfortranarray,
    "strided": strided,
    "read-only": read_only,
    "byte-swapped": byte_swapped,
    "unaligned": unaligned,
}


@dataclass(frozen=True)
class Case:
    """`shape` is (batch, width); for affine (batch, inputs, outputs), for images what their functions below say."""

    operation: str
    shape: tuple[int, ...]
    dtype: str
    flavour: str = "plain"

    def __str__(self) -> str:
        return f"{self.operation}-{'x'.join(map(str, self.shape))}-{self.dtype}-{self.flavour}"

    def arrays(self) -> Arrays:
        """The random inputs of this case by name, the same at each call."""
        rng = np.random.default_rng([*self.shape, len(self.operation)])
        made = OPERATIONS[self.operation].arrays(rng, *self.shape)
        return {name: self._flavoured(value) for name, value in made.items()}

    def _flavoured(self, value: Any) -> Any:
        if not isinstance(value, np.ndarray):
            return value  # the loss's dout is a number
        return FLAVOURS[self.flavour](value.astype(self.dtype) if value.dtype.kind == "f" else value)

    def layer(self, layers: Any, arrays: Arrays) -> Any:
        """A new layer of the namespace."""
        return OPERATIONS[self.operation].layer(layers, arrays)

    def made(self, layers: Any) -> Any:
        """The same, of arrays of its own."""
        return self.layer(layers, self.arrays())

    def forward(self, layer: Any, arrays: Arrays) -> Any:
        return layer.forward(*(arrays[name] for name in ("x", "t") if name in arrays))

    def backward(self, layer: Any, arrays: Arrays) -> Any:
        return layer.backward(arrays["dout"])


@dataclass(frozen=True)
class Operation:
    """How to make a layer and its arrays; `saved` are the public attributes, `trained` the parameters' gradients."""

    layer: Callable[[Any, Arrays], Any]
    arrays: Callable[..., Arrays]
    saved: tuple[str, ...]
    trained: tuple[str, ...] = ()


def _affine_arrays(rng: np.random.Generator, batch: int, inputs: int, outputs: int) -> Arrays:
    return {
        "x": rng.standard_normal((batch, inputs)),
        "W": rng.standard_normal((inputs, outputs)),
        "b": rng.standard_normal(outputs),
        "dout": rng.standard_normal((batch, outputs)),
    }


def _element_arrays(rng: np.random.Generator, *shape: int) -> Arrays:
    # Away from ReLU's kink, so that central differences hold; the kink has its own tests.
    x = rng.standard_normal(shape) * 3
    return {"x": x + np.copysign(0.01, x), "dout": rng.standard_normal(shape)}


def _index_arrays(rng: np.random.Generator, batch: int, classes: int) -> Arrays:
    x = rng.standard_normal((batch, classes)) * 3
    return {"x": x, "t": rng.integers(0, classes, batch), "dout": float(rng.standard_normal())}


def _probability_arrays(rng: np.random.Generator, batch: int, classes: int) -> Arrays:
    # Soft labels whose sum isn't 1, with zeros among them: the general case of dx = (y·Σt − t) / N.
    t = rng.random((batch, classes)) * (rng.random((batch, classes)) < 0.7)
    return _index_arrays(rng, batch, classes) | {"t": t}


def _convolution_arrays(
    rng: np.random.Generator, n: int, c: int, h: int, w: int, fn: int, fh: int, fw: int, stride: int, pad: int
) -> Arrays:
    places = ((h + 2 * pad - fh) // stride + 1, (w + 2 * pad - fw) // stride + 1)
    return {
        "x": rng.standard_normal((n, c, h, w)),
        "W": rng.standard_normal((fn, c, fh, fw)),
        "b": rng.standard_normal(fn),
        "stride": stride,
        "pad": pad,
        "dout": rng.standard_normal((n, fn, *places)),
    }


def _pooling_arrays(
    rng: np.random.Generator, n: int, c: int, h: int, w: int, ph: int, pw: int, stride: int, pad: int
) -> Arrays:
    places = ((h + 2 * pad - ph) // stride + 1, (w + 2 * pad - pw) // stride + 1)
    # Far enough apart that central differences hold, in any order.
    x = rng.permutation(n * c * h * w).reshape(n, c, h, w) / 100 - 0.205
    return {"x": x, "pool": (ph, pw), "stride": stride, "pad": pad, "dout": rng.standard_normal((n, c, *places))}


def _regression_arrays(rng: np.random.Generator, *shape: int) -> Arrays:
    return {name: rng.standard_normal(shape) for name in ("x", "t")} | {"dout": float(rng.standard_normal())}


def _batch_arrays(rng: np.random.Generator, *shape: int) -> Arrays:
    gamma, beta = rng.standard_normal((2, shape[1]))
    x = rng.standard_normal(shape) * 3 + 1
    return {"x": x, "gamma": gamma, "beta": beta, "dout": rng.standard_normal(shape)}


def _image_arrays(rng: np.random.Generator, *shape: int) -> Arrays:
    gamma, beta = rng.standard_normal((2, int(np.prod(shape[1:]))))
    return _batch_arrays(rng, *shape) | {"gamma": gamma, "beta": beta}


class SameAgain(np.random.Generator):
    """Draws the same numbers at each call, so that every forward pass drops the same ones."""

    def random(self, *arguments: Any, **named: Any) -> Any:
        return np.random.default_rng(6).random(*arguments, **named)

    def __reduce__(self) -> Any:
        return SameAgain, (np.random.PCG64(),)  # a copy of a Generator is else a plain one


def _batch_normalization(layers: Any, a: Arrays) -> Any:
    return layers.BatchNormalization(a["gamma"], a["beta"])


_STATISTICS = ("xc", "xn", "std", "running_mean", "running_var", "input_shape", "batch_size")

OPERATIONS = {
    "affine": Operation(
        lambda layers, a: layers.Affine(a["W"], a["b"]), _affine_arrays, ("x", "original_x_shape"), ("W", "b")
    ),
    "convolution": Operation(
        lambda layers, a: layers.Convolution(a["W"], a["b"], a["stride"], a["pad"]),
        _convolution_arrays,
        ("x", "col", "col_W"),
        ("W", "b"),
    ),
    "pooling": Operation(
        lambda layers, a: layers.Pooling(*a["pool"], a["stride"], a["pad"]), _pooling_arrays, ("x", "arg_max")
    ),
    "leaky_relu": Operation(lambda layers, a: layers.LeakyRelu(alpha=0.1), _element_arrays, ("mask",)),
    "relu": Operation(lambda layers, a: layers.Relu(), _element_arrays, ("mask",)),
    "sigmoid": Operation(lambda layers, a: layers.Sigmoid(), _element_arrays, ("out",)),
    "tanh": Operation(lambda layers, a: layers.Tanh(), _element_arrays, ("out",)),
    "softmax_loss": Operation(lambda layers, a: layers.SoftmaxWithLoss(), _index_arrays, ("y", "loss")),
    "softmax_loss_soft": Operation(lambda layers, a: layers.SoftmaxWithLoss(), _probability_arrays, ("y", "loss")),
    "softmax_loss_eps": Operation(lambda layers, a: layers.SoftmaxWithLoss(eps=1e-7), _index_arrays, ("y", "loss")),
    "dropout": Operation(
        lambda layers, a: layers.Dropout(0.3, rng=SameAgain(np.random.PCG64())), _element_arrays, ("mask",)
    ),
    "batch_normalization": Operation(_batch_normalization, _batch_arrays, _STATISTICS, ("gamma", "beta")),
    "batch_normalization_of_channels": Operation(_batch_normalization, _batch_arrays, _STATISTICS, ("gamma", "beta")),
    "batch_normalization_of_elements": Operation(_batch_normalization, _image_arrays, _STATISTICS, ("gamma", "beta")),
    "identity_loss": Operation(lambda layers, a: layers.IdentityWithLoss(), _regression_arrays, ("y", "loss")),
}

IMAGES = ("batch_normalization_of_channels", "batch_normalization_of_elements")

WIDTHS = (*range(1, 71), 783, 784, 785)


def _shapes(operation: str) -> list[tuple[int, ...]]:
    if operation == "affine":
        widths = [(3, 5, width) for width in WIDTHS]
        depths = [(3, depth, 5) for depth in WIDTHS]
        rows = [(rows, 7, 6) for rows in (1, 2, 31, 32, 33)]
        book = [(1, 784, 50), (100, 784, 50), (100, 50, 10)]
        return [*widths, *depths, *rows, *book, (300, 512, 512)]
    if operation == "convolution":
        return [*_convolution_shapes(), (10, 1, 28, 28, 30, 5, 5, 1, 0), (3, 64, 14, 14, 64, 3, 3, 1, 1)]
    if operation == "pooling":
        return [*_pooling_shapes(), (10, 30, 24, 24, 2, 2, 2, 0), (2, 3, 28, 28, 28, 28, 1, 0)]
    if operation == "batch_normalization":
        return [*((7, width) for width in WIDTHS), *((rows, 5) for rows in (4, 31, 32, 33, 65, 200)), (100, 50)]
    if operation in IMAGES:
        odd = [(7, 2, 1, width) for width in WIDTHS]
        return [*odd, (5, 1, 2, 3), (40, 3, 5, 7), (2, 33, 3, 3), (10, 16, 14, 14)]
    return [*((3, width) for width in WIDTHS), (1, 10), (100, 50), (100, 10), (128, 1000), (1000, 1100)]


def _convolution_shapes() -> list[tuple[int, ...]]:
    """Filters, strides and pads of all kinds, alone and in random company; images as wide as the filter, and wider."""
    filters = [
        (2, 2, 7, 6, 3, fh, fw, s, p) for fh in (1, 2, 3, 5) for fw in (1, 2, 4) for s in (1, 2, 3) for p in (0, 2)
    ]
    widths = [(2, 2, 4, width, 5, 3, 3, 1, 1) for width in range(1, 40)]
    counts = [(1, c, 5, 5, fn, 3, 3, 1, 1) for c in (1, 3, 17) for fn in (1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 49)]
    rng = np.random.default_rng(11)
    others = []
    for _ in range(60):
        n, c, fh, fw, fn = (int(rng.integers(1, most)) for most in (5, 7, 6, 6, 40))
        stride, pad = int(rng.integers(1, 4)), int(rng.integers(0, 3))
        h, w = (max(1, each - 2 * pad) + int(rng.integers(0, 20)) for each in (fh, fw))
        others.append((n, c, h, w, fn, fh, fw, stride, pad))
    return filters + widths + counts + others


def _pooling_shapes() -> list[tuple[int, ...]]:
    windows = [
        (2, 3, 9, 8, ph, pw, s, p) for ph in (1, 2, 3) for pw in (1, 2, 5) for s in (1, 2, 3, 4) for p in (0, 1, 2)
    ]
    return windows + [(2, 2, 4, width, 2, 2, 2, p) for width in range(2, 70) for p in (0, 1)]


# A small shape of each operation, no dimension like another: for checks of everything, and for arrays of all flavours.
EXAMPLES: dict[str, tuple[int, ...]] = {
    "affine": (4, 6, 5),
    "convolution": (2, 3, 6, 5, 4, 3, 2, 2, 1),
    "pooling": (2, 3, 6, 5, 3, 2, 2, 1),
    "batch_normalization": (5, 7),
    **dict.fromkeys(IMAGES, (4, 2, 3, 5)),
}


def example(operation: str) -> tuple[int, ...]:
    return EXAMPLES.get(operation, (4, 6))


def table(operation: str, small: bool = False) -> list[Case]:
    """Every case of an operation; the small ones are those that plain Python can run."""
    shapes = [shape for shape in _shapes(operation) if not small or _is_small(operation, shape)]
    plain = [Case(operation, shape, dtype) for shape, dtype in itertools.product(shapes, DTYPES)]
    flavours = itertools.product(DTYPES, FLAVOURS)
    return plain + [Case(operation, example(operation), dtype, flavour) for dtype, flavour in flavours]


def _is_small(operation: str, shape: tuple[int, ...]) -> bool:
    if operation in ("convolution", "pooling"):
        return max(shape) < 10
    return bool(np.prod(shape) <= 300 and shape[-1] in SMALL)


SMALL = frozenset((1, 2, 5, 6, 7, 8, 9, 15, 16, 17, 31, 33))

# What the benchmarks time: the shapes of the book's networks and a large one.
BENCHMARKS = {
    "affine": ((100, 784, 50), (100, 50, 10), (100, 784, 512), (512, 512, 512)),
    "convolution": (
        (100, 1, 28, 28, 30, 5, 5, 1, 0),
        (32, 16, 28, 28, 32, 3, 3, 2, 1),
        (32, 64, 14, 14, 64, 3, 3, 1, 1),
    ),
    "pooling": ((100, 30, 24, 24, 2, 2, 2, 0), (100, 32, 14, 14, 2, 2, 2, 0), (32, 16, 28, 28, 3, 3, 2, 1)),
    "relu": ((100, 50), (128, 1000), (4096, 1000)),
    "sigmoid": ((100, 50), (128, 1000), (4096, 1000)),
    "softmax_loss": ((100, 10), (4096, 1000)),
    "dropout": ((100, 50), (128, 1000), (4096, 1000)),
    "batch_normalization": ((100, 50), (128, 1000), (1000, 1000)),
    "batch_normalization_of_channels": ((100, 30, 24, 24), (100, 64, 14, 14)),
    "identity_loss": ((100, 10), (4096, 1000)),
}


def benchmarks(operation: str, small: bool = False) -> list[Case]:
    """The cases to time; the small ones are the book's own."""
    shapes = BENCHMARKS.get(operation, BENCHMARKS["relu"])[: 1 if small else None]
    return [Case(operation, shape, dtype) for shape, dtype in itertools.product(shapes, DTYPES)]
