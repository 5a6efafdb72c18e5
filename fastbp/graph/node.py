"""A node of a computational graph: a value, how it came about, and the derivative that `backward` leaves there."""

import os
from collections.abc import Callable
from importlib import import_module
from numbers import Real
from typing import Any, NoReturn

import numpy as np

from fastbp.graph import arithmetic, engine, matrices
from fastbp.graph.no_number import NoNumber
from fastbp.graph.operation import Operation
from fastbp.graph.values import Value, computed, given, number, printable, quiet, shape_of
from fastbp.provided import provided


class Node(NoNumber):
    """A value in a computational graph; made by `variable`, by operators and by the functions of `fastbp.graph`.

    `value` is a Python float or a read-only array (float64, or float32 where float32 arrays came in; labels, and what
    else a layer takes as it is, keep their own dtype); `grad` the derivative by this node that the last `backward`
    above it left, of the same kind, None before; `name` may be changed, and one of nothing that can be seen is none;
    `op` is the sign of its operation, or "variable" or "constant"; `inputs` the nodes that it is computed from.
    Values are copies: what a caller writes into an array later changes no graph.
    """

    __slots__ = ("__weakref__", "_grad", "_inputs", "_name", "_operation", "_passed", "_run", "_value", "_variable")

    def __init__(
        self, value: Value, operation: Operation | None = None, inputs: "tuple[Node, ...]" = (), name: str = ""
    ) -> None:
        self._value = value
        self._operation = operation
        self._inputs = inputs
        self._variable = False
        self._grad: Value | None = None
        self._passed: tuple[Value | None, ...] = ()
        self._run: object = None
        self.name = name

    @property
    def value(self) -> Value:
        return self._value

    @value.setter
    def value(self, value: Any) -> NoReturn:
        raise AttributeError("the value of a node can't be changed: compute the graph anew, with graph.variable(...)")

    @property
    def grad(self) -> Value | None:
        return self._grad

    @property
    def name(self) -> str:
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"the name of a node must be a str, got {type(name).__name__}")
        self._name = name if printable(name) else ""  # one that nobody could see is none

    @property
    def operation(self) -> Operation | None:
        return self._operation

    @property
    def op(self) -> str:
        if self._operation is not None:
            return self._operation.symbol
        return "variable" if self._variable else "constant"

    @property
    def inputs(self) -> "tuple[Node, ...]":
        return self._inputs

    @property
    def shape(self) -> tuple[int, ...]:
        return np.shape(self._value)

    # What a graph tells ----------------------------------------------------------------------------------------------

    def backward(self, dout: Any = 1) -> None:
        """Sets `grad` of this node to dout, and of all nodes below it by the chain rule; what was there is replaced.

        dout is a number, or an array of the value's shape. ValueError for another shape.
        """
        engine.backward(self, dout)

    def explain(self, variable: "Node") -> str:
        """The chain rule from this node down to `variable`: each path with its factors, their products, and the sum.

        At most 20 paths are written out. For arrays the rule and the shapes of each edge. ValueError when this node
        doesn't depend on `variable`.
        """
        return str(_by("explanation")(self, variable))

    def find(self, name: str) -> "Node":
        """The node of this name, among those below and this one. ValueError when there is none, or more than one."""
        found = [node for node in engine.in_order(self) if node.name == name]
        if len(found) != 1:
            names = sorted({node.name for node in engine.in_order(self) if node.name})
            what = f"{len(found)} nodes are" if found else "no node is"
            raise ValueError(f"{what} named {name!r}; the names in this graph: {', '.join(names[:20]) or 'none'}")
        return found[0]

    def opened(self) -> "Node":
        """The last node of a new graph of the same variables, in which every composite node is shown by its parts.

        sigmoid by −1 ×, exp, + 1 and /; softmax by −, exp, sum and /; cross_entropy by log, ×, sum, −1 × and / N;
        affine by dot and +; mean by sum and /; layers that are known by name (Affine, Relu, ...) likewise. A node
        stays whole where its parts don't have its value and derivatives, as where they overflow. Call `backward` on it
        for its derivatives.
        """
        opened: Node = _by("opened graph")(self)
        return opened

    def save(self, path: str | os.PathLike[str], *, dark: bool = False) -> None:
        """Draws the graph into an .svg, .png or .pdf file, whole or not at all; needs the extra `plot`.

        Values stand above the edges, derivatives (after `backward`) below. Of more than 40 nodes the nearest 40 are
        drawn, and the picture says how many are left out. ValueError for another suffix, ImportError without the
        extra, OSError where no file can be written.
        """
        _by("picture in a file")(self, path, dark=dark)

    def __str__(self) -> str:
        return str(_by("table of a graph")(self))

    def __repr__(self) -> str:
        name = f" {printable(self.name)!r}" if self.name else ""
        grad = "" if self.grad is None else f", grad {_short(self.grad)}"
        return f"<graph.Node {self.op}{name}: {_short(self.value)}{grad}>"

    def _repr_svg_(self) -> str | None:
        """What a notebook shows, where the extra `plot` is installed."""
        picture: str | None = _by("picture in a notebook")(self)
        return picture

    def _repr_html_(self) -> str | None:
        """What a notebook shows without the extra: the graph as `print` writes it."""
        text: str | None = _by("text in a notebook")(self)
        return text

    def __copy__(self) -> "Node":
        """A node of the same inputs."""
        made = Node(self._value, self._operation, self._inputs, self._name)
        made._variable, made._grad, made._passed, made._run = self._variable, self._grad, self._passed, self._run
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> "Node":
        copy: Node = _by("copy of a graph")(self, memo)
        return copy

    def __reduce__(self) -> Any:
        return _by("pickle of a graph")(self)

    # Operators -------------------------------------------------------------------------------------------------------

    def __add__(self, other: Any) -> "Node":
        return apply(arithmetic.Add(), self, other)

    def __radd__(self, other: Any) -> "Node":
        return apply(arithmetic.Add(), other, self)

    def __sub__(self, other: Any) -> "Node":
        return apply(arithmetic.Subtract(), self, other)

    def __rsub__(self, other: Any) -> "Node":
        return apply(arithmetic.Subtract(), other, self)

    def __mul__(self, other: Any) -> "Node":
        return apply(arithmetic.Multiply(), self, other)

    def __rmul__(self, other: Any) -> "Node":
        return apply(arithmetic.Multiply(), other, self)

    def __truediv__(self, other: Any) -> "Node":
        return apply(arithmetic.Divide(), self, other)

    def __rtruediv__(self, other: Any) -> "Node":
        if isinstance(other, Real) and other == 1:
            return apply(arithmetic.Reciprocal(), self)
        return apply(arithmetic.Divide(), other, self)

    def __pow__(self, other: Any) -> "Node":
        if isinstance(other, Real):
            return apply(arithmetic.PowerOf(float(other)), self)
        return apply(arithmetic.Power(), self, other)

    def __rpow__(self, other: Any) -> "Node":
        return apply(arithmetic.Power(), other, self)

    def __matmul__(self, other: Any) -> "Node":
        return apply(matrices.Dot(stacks=True), self, other)

    def __rmatmul__(self, other: Any) -> "Node":
        return apply(matrices.Dot(stacks=True), other, self)

    def __neg__(self) -> "Node":
        return apply(arithmetic.Negative(), self)

    def dot(self, other: Any) -> "Node":
        """The product of np.dot."""
        return apply(matrices.Dot(), self, other)

    def sum(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> "Node":
        """The sum, as np.sum takes it."""
        return apply(matrices.Sum(axis, keepdims), self)

    def mean(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> "Node":
        """The mean, as np.mean takes it."""
        return apply(matrices.Mean(axis, keepdims), self)

    def reshape(self, *shape: Any) -> "Node":
        """In another shape, as ndarray.reshape: the sizes one by one or as a tuple, one of them may be −1."""
        return apply(matrices.Reshape(shape[0] if len(shape) == 1 else shape), self)

    @property
    def T(self) -> "Node":
        return apply(matrices.Transpose(), self)

    # What NumPy asks --------------------------------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> "Node":
        """`array * node` is one node; other functions of NumPy are errors that name the graph's own."""
        if method == "__call__" and ufunc in _OPERATORS and not options:
            return _OPERATORS[ufunc](*inputs)
        if options.get("out"):
            raise TypeError("an array can't take a node in place: write `a = a + node` instead of `a += node`")
        raise _instead(ufunc.__name__)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> NoReturn:
        raise _instead(function.__name__)

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("a node is no array: take node.value for its numbers")


def apply(operation: Operation, *inputs: Any) -> Node:
    """A new node: the operation on nodes, numbers and arrays. TypeError and ValueError for inputs that don't fit."""
    nodes = tuple(each if isinstance(each, Node) else constant(each) for each in inputs)
    with quiet():
        value = computed(operation.value(*(node.value for node in nodes)))
    return Node(value, operation, nodes)


def variable(value: Any, name: str = "") -> Node:
    """An input of a graph, by which one wants the derivative: a number, or an array of any shape.

    Numbers, integers and booleans become float64; float32 and float16 arrays float32. TypeError for anything but real
    numbers, ValueError for an empty array.
    """
    if isinstance(value, Node):
        raise TypeError("it is a node already: use it as it is, or graph.variable(node.value) for a new input")
    node = Node(given(value), name=name)
    node._variable = True
    return node


def constant(value: Any, name: str = "") -> Node:
    """An input that stands for itself, as numbers and arrays in an expression do; takes what `variable` takes."""
    return Node(given(value, "an operand"), name=name)


def _by(what: str) -> Callable[..., Any]:
    """What `fastbp/graph/__init__.py` has put in for this."""
    function = provided(what)
    assert function is not None, what
    return function


def _short(value: Value) -> str:
    return number(value) if np.ndim(value) == 0 else f"array {shape_of(value)} {value.dtype}"


def _instead(name: str) -> TypeError:
    """The error for np.exp(node): which function to take, where there is one."""
    package = import_module(__package__)
    known = {"matmul": "x @ y", "negative": "-x", "transpose": "x.T", "maximum": "graph.relu(x)", "square": "x ** 2"}
    ours = known.get(name) or (f"graph.{name}(x)" if callable(getattr(package, name, None)) else "")
    if ours:
        return TypeError(f"np.{name} takes no nodes: write {ours}")
    return TypeError(f"np.{name} takes no nodes, and fastbp.graph has nothing like it: take node.value for the numbers")


_OPERATORS: dict[Any, Callable[[Any, Any], Node]] = {
    np.add: lambda x, y: apply(arithmetic.Add(), x, y),
    np.subtract: lambda x, y: apply(arithmetic.Subtract(), x, y),
    np.multiply: lambda x, y: apply(arithmetic.Multiply(), x, y),
    np.divide: lambda x, y: apply(arithmetic.Divide(), x, y),
    np.power: lambda x, y: apply(arithmetic.Power(), x, y),
    np.matmul: lambda x, y: apply(matrices.Dot(stacks=True), x, y),
}
