"""Samples and labels in the form that the compiled loop reads, checked once."""

import math
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.boundary import arrays
from fastbp.boundary.arguments import finite
from fastbp.boundary.labels import network_targets
from fastbp.chain import NotCompilable
from fastbp.engine.addresses import address
from fastbp.engine.compressed import compress, filled, from_scipy
from fastbp.engine.operations import Takes
from fastbp.engine.room import Room
from fastbp.kernels.loop import compress as kernels
from fastbp.kernels.loop import parts, plan
from fastbp.kernels.packing import PACKS
from fastbp.kernels.tiles.target import lanes

# Zeros are skipped below this share of non-zeros. On MNIST's 19 % a step of 784-50-10 takes 58 µs instead of 79, and of
# 784-512-512-10 1160 instead of 1500; of zeros without neighbours 77 at 19 % and 84 at 24 %, with AVX2 118 and 135
# instead of 145 (float32, one thread, EPYC of Zen 5).
# However short a run is: to compress a sample, where it is of another dtype, costs what one step saves on it, but a run
# cut into short ones must give the same bits.
SPARSE_BELOW = 0.25
# And in samples that are read where they lie only above so many vectors of columns: with 2 a step of 784-32-10 takes 57
# µs instead of 49, with AVX2 one of 784-10 52 instead of 45; with 3 one of 784-20-10 58 instead of 71.
NARROW = 2
LOOKED_AT = 250  # samples, for the share: four times as many take 4 µs of each of an epoch's 600 steps (Ice Lake)

NO_LABELS = np.empty(0, np.int64)  # for scores alone
_PLAIN_ARRAYS = (np.ndarray, np.memmap)
COMPRESSED: str = parts.COMPRESSED


@dataclass(frozen=True)
class Data:
    """What `prepare` makes: samples as rows (N, D), dense or compressed, and their labels."""

    samples: int
    features: int
    classes: int  # or values to predict
    dtype: np.dtype[Any]  # of the network that it was made for
    scale: float
    kind: str  # the dtype's name, or COMPRESSED
    labels: NDArray[Any] = field(repr=False)
    x: NDArray[Any] = field(repr=False)  # the dense samples, or the values of the compressed ones
    starts: NDArray[np.int64] | None = field(default=None, repr=False)
    columns: NDArray[Any] | None = field(default=None, repr=False)
    form: int = 0  # of compressed samples, see kernels.loop.compress
    skips_in_place: bool = False  # whether zeros of dense samples are skipped where they lie
    nonzero_share: float = 1.0  # of the elements of samples whose zeros are skipped where they lie, from some of them
    given: tuple[Any, Any, float] = field(default=(None, None, 1.0), repr=False)  # what it was made from: x, t, scale
    shape: tuple[int, ...] = field(default=(), repr=False)  # of a sample, where that is more than the features
    outputs: tuple[int, ...] = field(default=(), repr=False)  # of a sample, where that is more than the classes
    targets: Any = field(default=None, repr=False)  # what has checked the labels; None: that of classes

    @property
    def is_sparse(self) -> bool:
        """Whether the samples are compressed."""
        return self.kind == COMPRESSED

    @property
    def skips_zeros(self) -> bool:
        """Whether zeros of the samples are skipped."""
        return self.is_sparse or self.skips_in_place

    def first(self, count: int | None) -> "Data":
        """The first so many samples, all for None."""
        if count is None or count >= self.samples:
            return self
        count = max(0, count)
        starts = None if self.starts is None else self.starts[: count + 1]
        x = self.x[:count] if starts is None else self.x
        given = self.given[0][:count], self.given[1][:count], self.given[2]
        return replace(self, samples=count, labels=self.labels[:count], x=x, starts=starts, given=given)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of a sample."""
        return self.shape or (self.features,)

    def check_fits(self, takes: Takes) -> None:
        """ValueError when it was prepared for another kind of network."""
        features = self.features if takes.features is None else takes.features
        outputs = takes.outputs(self.sample_shape if takes.features is None else (features,))
        made_for = self.outputs or (self.classes,)
        if (self.features, made_for, self.dtype) != (features, outputs, takes.dtype):
            mine, its = (each[0] if len(each) == 1 else each for each in (made_for, outputs))
            raise ValueError(
                f"the data were prepared for {self.features} inputs, {mine} classes and {self.dtype}, "
                f"but the network has {features}, {its} and {takes.dtype}"
            )
        if (self.targets or network_targets) is not takes.targets:
            raise ValueError("the data were prepared for a network with another kind of loss")

    @cached_property
    def share_used(self) -> float:
        """The share of the samples' elements that the first layer multiplies."""
        if self.starts is None:
            return self.nonzero_share
        return int(self.starts[-1]) / max(1, self.samples * self.features)

    @cached_property
    def longest(self) -> int:
        """The most non-zeros of a compressed sample; 0 where none are compressed."""
        return 0 if self.starts is None else int(np.diff(self.starts).max(initial=0))

    def table(self) -> Any:
        """The row of `kernels.loop.plan` that says where the samples and labels lie."""
        row_bytes = self.x.itemsize * self.features if self.starts is None else 0
        where = address(self.x), self.features, row_bytes, address(self.starts), address(self.columns)
        return plan.Samples.row(*where, self.form, address(self.labels), self.classes)


@dataclass(frozen=True)
class LayerData:
    """What `prepare` of layer-by-layer steps makes: samples, times their scale, and labels."""

    x: NDArray[Any] = field(repr=False)
    t: NDArray[Any] = field(repr=False)

    @property
    def samples(self) -> int:
        return len(self.x)


def run_arguments(x: Any, t: Any, order: Any, scale: float, sparse: bool | None) -> tuple[Any, Any, Any]:
    """x, t and order of `run(x, t, order)`, or of `run(data, order)` with prepared data. TypeError for neither."""
    if isinstance(x, Data | LayerData):
        if order is None:
            order, t = t, None
        if t is not None or order is None or scale != 1.0 or sparse is not None:
            raise TypeError("prepared data go with an order alone: run(data, order)")
    elif t is None or order is None:
        raise TypeError("run needs samples, labels and an order: run(x, t, order)")
    return x, t, order


def samples_array(x: Any) -> NDArray[Any]:
    """x as an array of real numbers. TypeError for anything else, ValueError when ragged or empty."""
    if isinstance(x, Data | LayerData):
        raise TypeError("prepared data go to run(data, order) and fastbp.predict(network, data) alone")
    return arrays.real_array(x, "x")


def check_plain(x: Any, t: Any) -> None:
    """NotCompilable for samples and labels that the loop would read otherwise than indexing them does."""
    for name, array in (("x", x), ("t", t)):
        plain = type(array) in _PLAIN_ARRAYS or arrays.is_masked(array)  # which is an error elsewhere
        if not plain and isinstance(array, np.ndarray):
            raise NotCompilable(f"{name} is of a class of its own, {type(array).__name__}")


def check_apart(x: Any, t: Any, trained: list[NDArray[Any]]) -> None:
    """NotCompilable for samples or labels that change while steps change these arrays, as even one does as it goes."""
    for name, array in (("x", x), ("t", t)):
        if isinstance(array, np.ndarray) and any(map(np.may_share_memory, repeat(array), trained)):
            raise NotCompilable(f"{name} shares memory with a parameter, or with the optimizer's state")


def given_of(x: Any, t: Any) -> tuple[Any, Any]:
    """Samples and labels themselves, of prepared data too."""
    if isinstance(x, LayerData):
        return x.x, x.t
    return x.given[:2] if isinstance(x, Data) else (x, t)


def scaled(x: NDArray[Any], scale: float) -> NDArray[Any]:
    """scale · x in the dtype of x, float64 for integers; x itself, of whatever class, for 1."""
    return x if scale == 1 else x * x.dtype.type(scale) if x.dtype.kind == "f" else x * scale


def prepare(x: Any, t: Any, takes: Takes, *, scale: float, sparse: bool | None, room: Room | None = None) -> Data:
    """Checked data for a network that takes such samples; t may be NO_LABELS. Errors as in a step.

    Zeros of samples in the network's dtype are skipped where they lie; others are compressed for that, into arrays that
    are taken from `room`.
    """
    scale = finite(scale, "scale")
    given, dtype = (x, t, scale), takes.dtype
    shape = (takes.features,) if takes.features is not None else np.shape(x)[1:]
    outputs = takes.outputs(shape)
    features, classes = math.prod(shape), math.prod(outputs)
    if not takes.skips:
        if sparse:
            raise ValueError("sparse=True needs an Affine layer at the front")
        sparse = False
    dense = compressed = None
    form = kernels.form_of(dtype, features)
    if hasattr(x, "tocsr"):
        compressed = from_scipy(x, features, dtype, scale)
        rows = len(compressed[1]) - 1
        if sparse is False:
            dense, compressed, scale = filled(compressed, (rows, features), dtype), None, 1.0
    else:
        dense = dense_rows(x, features, dtype)
        rows = len(dense)
    labels = NO_LABELS if t is NO_LABELS else takes.targets(t, (rows, *outputs), dtype)
    if labels.ndim > 2:  # values of images: their loss is a sum over all
        labels = labels.reshape(rows, classes)
    made = partial(
        Data, rows, features, classes, dtype, given=given, shape=shape, outputs=outputs, targets=takes.targets
    )
    if dense is not None:
        in_place = dense.dtype == dtype and scale == 1 and PACKS
        wins = not in_place or takes.columns > NARROW * lanes(dtype)
        share = 1.0 if sparse is False else density(dense)
        skips = sparse or (sparse is None and wins and share < SPARSE_BELOW)
        if not skips:
            return made(scale, dense.dtype.name, labels, dense)
        if in_place:
            return made(scale, dense.dtype.name, labels, dense, skips_in_place=True, nonzero_share=share)
        compressed, form = compress(dense, dtype, scale, room), kernels.form_of(dense.dtype, features)
    assert compressed is not None
    values, starts, columns = compressed
    left = scale if form == kernels.BYTES else 1.0
    return made(left, COMPRESSED, labels, values, starts, columns, form)


def density(x: NDArray[Any]) -> float:
    """The share of non-zeros in some of the samples, evenly spread."""
    some = x[:: max(1, len(x) // LOOKED_AT)]
    return float(np.count_nonzero(some)) / max(1, some.size)


def checked_order(order: ArrayLike, samples: int) -> NDArray[np.int64]:
    """The order as (steps, batch) int64, C-contiguous. ValueError and TypeError when it is none, or out of range."""
    try:
        shape = np.shape(order)
    except ValueError:
        raise ValueError("order must have shape (steps, batch), got rows of different lengths") from None
    if len(shape) != 2:
        raise ValueError(f"order must have shape (steps, batch), got {shape}")
    if shape[0] == 0:
        return np.empty(shape, np.int64)
    if shape[1] == 0:
        raise ValueError("order must have at least one sample a step, got batches of 0")
    array = arrays.real_array(order, "order")
    if array.dtype.kind not in "iu":
        raise TypeError(f"order must hold integers, got dtype {array.dtype}")
    if array.min() < 0 or array.max() >= samples:
        step, place = np.argwhere((array < 0) | (array >= samples))[0]
        raise ValueError(
            f"order[{step}, {place}] is {array[step, place]}, but the {samples} samples are 0 to {samples - 1}"
        )
    return arrays.kernel_array(array, arrays.INDEX)


def dense_rows(x: Any, features: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """x as (N, features) in a dtype that the loop reads: uint8, float32 and float64 stay as they are, read-only too."""
    array = samples_array(x)
    if array.ndim < 2 or array.size != len(array) * features:
        alone = " (a single sample is x[None])" if array.shape == (features,) else ""
        raise ValueError(f"x must have {features} features a sample, got shape {array.shape}{alone}")
    wanted = array.dtype if array.dtype == np.uint8 else arrays.float_dtype(array, dtype)
    return np.require(array.reshape(len(array), features), wanted, ["C_CONTIGUOUS", "ALIGNED", "ENSUREARRAY"])
