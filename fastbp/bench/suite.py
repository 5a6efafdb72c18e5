"""What `fastbp bench` measures: the layers of the book's network at its sizes, and its training."""

from fastbp.bench.layers import layer_contenders
from fastbp.bench.process import machine_facts
from fastbp.bench.results import Row, Shape
from fastbp.bench.timing import Contender
from fastbp.bench.training import ZEROS_SKIPPED, training_contenders

SYSTEMS = ("fastbp", "NumPy", "PyTorch")
LAYERS: tuple[tuple[str, Shape], ...] = (
    ("Affine", (100, 784, 50)),
    ("Affine", (100, 50, 10)),
    ("Relu", (100, 50)),
    ("Sigmoid", (100, 50)),
    ("SoftmaxWithLoss", (100, 10)),
)
NETWORK = (784, 50, 10)


def rows(quick: bool) -> list[Row]:
    """The quick ones are those in float32."""
    made = []
    for dtype in ("float32", "float64"):
        fast = dtype == "float32"
        made += [Row("layers", layer, shape, dtype, SYSTEMS, fast) for layer, shape in LAYERS]
        made += [Row("training", name, NETWORK, dtype, SYSTEMS, fast) for name in ("Training", ZEROS_SKIPPED)]
    return [row for row in made if row.quick or not quick]


def contenders(row: Row) -> list[Contender]:
    return list(training_contenders(row) if row.section == "training" else layer_contenders(row))


def facts() -> dict[str, str]:
    return machine_facts()


def finish() -> dict[str, str]:
    """Nothing can have gone wrong with the run as a whole."""
    return {}
