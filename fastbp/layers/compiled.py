"""What a layer says of itself to those who know no layer: the compiled loop, warm-up, proofs, reports."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, ...]  # of one sample


def same_shape(layer: Any, inputs: Shape) -> Shape:
    """The output shape of a layer that works element by element."""
    return inputs


def no_sizes(layer: Any, inputs: Shape) -> Any:
    """No sizes."""
    return ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Compiled:
    """What the compiled loop calls in place of a layer's methods, and what it has to hold ready: `Layer.compiled`.

    The functions are `@part`s (`kernels.loop.plan` says what they get): rows [lo, hi) of the batch, `op`, the layer's
    row of the plan, and `step`. None where there is nothing to do.

    - `forward`: op.x (N, D) to op.out (N, M), in training; `predict` the same where nothing is learned (None: forward).
    - `backward`: op.dout (N, M) to op.dx (N, D). With `backward_is_dx` it makes nothing else, and is left out where
      nobody reads that; with `dx_is_optional` there is no op.dx then.
    - `update`: rows [lo, hi) of `update_rows` of the gradients of the parameters, and the optimizer's step on them.
    - `penalty`: the sum of the squares of the parameters that decay, to op.squares[0].

    `parameters` are the attributes that are trained, op.parameters[n] in this order (op.W and op.b are the first two);
    those in `decays` are part of weight decay. The last of them may be a plain number, which isn't trained: op.trained
    doesn't count it, and its op.parameters has `constant_size(layer)` elements of that. `averages` are arrays that a
    forward pass in training replaces but backward doesn't: op.averages[n] are copies, which a part changes in place.
    `make_ready(layer, inputs, dtype)` makes those that the first forward pass would make. `numbers` are attributes that
    are plain numbers, op.numbers[n]. `sizes(layer, inputs)` are op.sizes[n]; `options` are the attributes that these
    and `output_shape` read, plain numbers too. `keeps` is what forward leaves for backward, by name: the dtype (None:
    the network's) and the elements a sample, a number or a function of (layer, inputs) (None: as many as the output
    has); op.keeps[n] is the address, and op.mask that of one called mask. `sums(layer, inputs, dtype)` elements are
    what backward leaves for update of each group of samples (`kernels.loop.groups`), op.sums; rows [lo, hi) are whole
    groups then. A thread works in step.scratch, `scratch(layer, inputs, dtype)` elements or more.

    `output_shape(layer, inputs)` is the shape of a sample's output; ValueError where the inputs don't fit the layer.
    `input_size(layer)` is how many numbers a sample has where the layer alone says that, else None. `flops(layer,
    inputs)` are those of one sample's forward pass; each gradient costs as many.

    `has_flag` says that methods take `train_flg`. `draws(layer, shape)` draws the random numbers of one forward pass
    from the layer's own generator, float64: op.draws holds those of step.number at step.number times their size.
    `stream(layer)` is the object whose state that changes: networks that share one never draw at the same time.
    `whole_batches`: a thread takes some of the units of all samples (`units(layer, inputs)`, such as channels, from
    `left` to `right`), for results that depend on the whole batch.
    """

    forward: Any
    backward: Any
    predict: Any = None
    update: Any = None
    penalty: Any = None
    parameters: tuple[str, ...] = ()
    decays: tuple[str, ...] = ()
    averages: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    make_ready: Callable[[Any, Shape, Any], None] | None = None
    sizes: Callable[[Any, Shape], tuple[int, ...]] = no_sizes
    keeps: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    output_shape: Callable[[Any, Shape], Shape] = same_shape
    input_size: Callable[[Any], int | None] = lambda layer: None
    update_rows: Callable[[Any, Shape], int] = lambda layer, inputs: 0
    flops: Callable[[Any, Shape], int] = lambda layer, inputs: 0
    has_flag: bool = False
    draws: Callable[[Any, Shape], NDArray[np.float64]] | None = None
    stream: Callable[[Any], Any] = lambda layer: None
    sums: Callable[[Any, Shape, Any], int] | None = None
    scratch: Callable[[Any, Shape, Any], int] = lambda layer, inputs, dtype: 0
    constant_size: Callable[[Any], int] | None = None
    backward_is_dx: bool = True
    dx_is_optional: bool = False
    whole_batches: bool = False
    units: Callable[[Any, Shape], int] = lambda layer, inputs: math.prod(inputs)

    # What only products do, because it pays there.
    splits_columns: bool = False  # wide results may be made by columns, each thread its own
    epilogue: str = ""  # a name for what it does, for layers below that can do it on their way
    epilogues: tuple[str, ...] = ()  # what it does on its way, where op.mask is there
    masks_gradient: bool = False  # its backward passes dx through op.below, the mask of the operation below
    adds_gradient: bool = False  # its update adds the gradient to the parameter at once where settings.direct
    # While zeros of the samples are skipped: what makes the batch, forward, backward, update, and a `Run`'s.
    skipping: tuple[Any, ...] = ()
    skipping_in_place: tuple[Any, ...] = ()  # the same of samples that are read where they lie
    forward_of_few: Any = None  # in place of forward and predict, of batches of at most so many samples:
    few_samples: int = 0
    in_place: tuple[Any, ...] = ()  # samples are read where they lie: what says where, forward, update
    most_in_place: int = 0  # outputs of a sample up to which that pays
    copies: tuple[Any, Any] | None = None  # to an aligned copy of the first parameter, and back

    @property
    def is_elementwise(self) -> bool:
        """Whether each number of the output depends on one of the input alone."""
        return self.output_shape is same_shape and not (self.parameters or self.has_flag)

    def functions(self) -> list[Any]:
        """All parts that are there."""
        own = (self.forward, self.predict, self.forward_of_few, self.backward, self.update, self.penalty)
        others = (*self.skipping, *self.skipping_in_place, *self.in_place, *(self.copies or ()))
        return [each for each in dict.fromkeys((*own, *others)) if each is not None]


@dataclass(frozen=True, kw_only=True, eq=False)
class CompiledLoss:
    """What the compiled loop calls in place of a loss: `Loss.compiled`. Its functions are `@part`s, as a layer's.

    By the dimensions of the labels, as `targets(t, shape, dtype)` checks and converts them: `labels` brings those of a
    batch to step.batch.labels, `parts` makes the loss of each sample of the last operation's op.out, step.costs[i], and
    the gradient of their mean, op.dout. `numbers` are attributes that are plain numbers, step.settings.loss_numbers[n].
    """

    labels: Mapping[int, Any]
    parts: Mapping[int, Any]
    targets: Callable[[Any, Shape, Any], NDArray[Any]]
    numbers: tuple[str, ...] = ()

    def functions(self) -> list[Any]:
        """All parts that are there."""
        return [*self.labels.values(), *self.parts.values()]
