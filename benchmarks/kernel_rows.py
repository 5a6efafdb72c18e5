"""Which kernels and layers are measured, on which shapes, against whom: the tables to change."""

from collections.abc import Iterator
from dataclasses import dataclass

from fastbp.bench.results import Row, Shape


@dataclass(frozen=True)
class Section:
    """`unit` of the rates: "GFLOP/s", "GB/s", or nothing where they mean nothing."""

    title: str
    text: str
    unit: str = ""


DTYPES = ("float32", "float64")
PRODUCTS = ("affine_forward", "affine_backward_params", "affine_backward_input")

SECTIONS = {
    "products": Section(
        "Matrix products",
        "The kernels against the multiply-add peak, probed in registers right after them in every round (useful "
        "flops), and against `np.dot` with one BLAS thread, which adds no bias and sums no columns. Shapes are batch × "
        "inputs × outputs.",
        "GFLOP/s",
    ),
    "grid": Section("Matrix products of every shape", "The same, on a grid.", "GFLOP/s"),
    "threads": Section("Two threads", "The layer on two threads against the layer on one.", "GFLOP/s"),
    "layers": Section(
        "Layers", "forward and backward, whole Python calls, against the same layer in NumPy with one BLAS thread."
    ),
    "layer grid": Section("Affine layers of every shape", "The same, on a grid."),
    "loss kernels": Section("Softmax and loss", "The kernels, forward and backward, without the layer around them."),
    "memory": Section(
        "Kernels bound by memory", "Bytes moved in a second, against a plain copy into the same memory.", "GB/s"
    ),
    "compressing": Section(
        "Compressing",
        "60,000 images of which four of five pixels are 0, as bytes, into their non-zeros: bytes read in a second, "
        "against a plain copy of them.",
        "GB/s",
    ),
    "mixed": Section("Mixed precision", "The layer with float32 x beside float64 W and b, against all in float64."),
}

BOOK = (100, 784, 50)
# Of these the share of the peak is required.
PEAK_SHAPES = (BOOK, (96, 784, 48), (100, 784, 512), (250, 333, 250), (300, 784, 400), (512, 512, 512))
KEY_SHAPES = (*PEAK_SHAPES, (100, 512, 512), (128, 784, 256))

SQUARES = (
    *(1, 2, 3, 4, 5, 7, 8, 12, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 96, 127, 128, 129),
    *(192, 255, 256, 384, 511, 512, 768, 1000, 1024),
)
GRID: tuple[Shape, ...] = (
    *((n, n, n) for n in SQUARES),
    # One sample, and a few.
    *((1, 784, 50), (1, 50, 10), (1, 784, 512), (1, 512, 512), (1, 1024, 1024)),
    *((2, 784, 50), (4, 512, 512), (8, 784, 50), (10, 784, 50), (16, 784, 100)),
    # Tall, deep, wide.
    *((1000, 1, 1), (1000, 10, 10), (1000, 50, 10), (4096, 8, 8), (1024, 784, 10), (2048, 64, 32), (1024, 100, 100)),
    *((1, 1000, 1), (10, 1000, 10), (8, 4096, 8), (16, 4096, 16), (32, 2048, 64)),
    *((1, 1, 1000), (10, 10, 1000), (8, 64, 2048), (16, 16, 1024), (64, 32, 2048)),
    # Odd, and the rest of the book's.
    *((3, 5, 7), (13, 97, 201), (31, 33, 35), (63, 129, 65), (99, 783, 49), (101, 785, 51), (300, 511, 513)),
    *((100, 50, 10), (100, 50, 100), (100, 784, 10), (100, 784, 100), (256, 784, 256)),
)
QUICK_GRID = ((1, 1, 1), (1, 784, 50), (33, 33, 33), (101, 785, 51), (256, 256, 256))

# 20 MFLOP and more, in one direction.
THREAD_SHAPES = ((100, 784, 128), (100, 784, 512), (100, 512, 512), (128, 784, 256), (512, 512, 512), (1024,) * 3)

LAYERS: tuple[tuple[str, Shape], ...] = (
    *(("Affine", BOOK), ("Affine", (100, 50, 10)), ("Relu", (100, 50)), ("Relu", (128, 1000))),
    *(("Sigmoid", (128, 1000)), ("SoftmaxWithLoss", (100, 10))),
)
LAYER_GRID: tuple[Shape, ...] = (
    *((1, 784, 50), (1, 50, 10), (1, 512, 512), (2, 784, 50), (4, 784, 50), (8, 784, 50), (10, 50, 10)),
    *((16, 784, 50), (32, 784, 50), (32, 784, 100), (50, 784, 50), (64, 256, 128), (64, 784, 128), (100, 100, 100)),
    *((100, 784, 10), (100, 784, 100), (100, 784, 512), (100, 512, 512), (128, 784, 256), (200, 784, 50)),
    *((256, 256, 256), (256, 784, 512), (512, 512, 512)),
)

LOSS_SHAPE = (4096, 1000)

MEMORY_SHAPES = ((4096, 1000), (4096, 4096))
MEMORY_KERNELS = (
    *("relu_forward", "relu_backward", "sigmoid_forward", "sigmoid_backward"),
    *("softmax_loss_forward", "softmax_loss_backward"),
)

IMAGES = (60_000, 784)

MIXED_SHAPES = ((1, 784, 50), BOOK, (100, 784, 512), (100, 512, 512), (128, 784, 256), (100, 50, 10), (512, 512, 512))


def rows(quick: bool) -> list[Row]:
    """Every row in the order of the sections, or the quick ones only."""
    made = [*_products(), *_grid(), *_threads(), *_layers(), *_memory(), *_mixed()]
    return [row for row in made if row.quick or not quick]


def _products() -> Iterator[Row]:
    names = ("fastbp", "peak", "np.dot", "PyTorch")
    for dtype in DTYPES:
        for shape in KEY_SHAPES:
            for operation in PRODUCTS:
                quick = shape in (BOOK, (100, 784, 512)) and (dtype == "float32" or shape == BOOK)
                yield Row("products", operation, shape, dtype, names, quick)


def _grid() -> Iterator[Row]:
    for dtype in DTYPES:
        for shape in GRID:
            for operation in PRODUCTS:
                quick = shape in QUICK_GRID and dtype == "float32" and operation == "affine_forward"
                names = ("fastbp", "peak", "np.dot", *(("PyTorch",) if dtype == "float32" else ()))
                yield Row("grid", operation, shape, dtype, names, quick)


def _threads() -> Iterator[Row]:
    names = ("two threads", "one thread")
    for dtype in DTYPES:
        for shape in THREAD_SHAPES:
            for operation in ("Affine.forward", "Affine.backward"):
                quick = shape == THREAD_SHAPES[1] and dtype == "float32"
                yield Row("threads", operation, shape, dtype, names, quick)


def _layers() -> Iterator[Row]:
    for dtype in DTYPES:
        for operation, shape in LAYERS:
            yield Row("layers", operation, shape, dtype, ("fastbp", "NumPy", "PyTorch"), True)
    for dtype in DTYPES:
        for shape in LAYER_GRID:
            quick = shape in (LAYER_GRID[0], LAYER_GRID[-1])
            yield Row("layer grid", "Affine", shape, dtype, ("fastbp", "NumPy"), quick)
    for dtype in DTYPES:
        names = ("fastbp", "NumPy", "PyTorch")
        yield Row("loss kernels", "softmax_loss", LOSS_SHAPE, dtype, names, dtype == "float32")


def _memory() -> Iterator[Row]:
    for dtype in DTYPES:
        for shape in MEMORY_SHAPES:
            for operation in MEMORY_KERNELS:
                quick = shape == MEMORY_SHAPES[-1] and dtype == "float32"
                yield Row("memory", operation, shape, dtype, ("fastbp", "copy"), quick)
    yield Row("compressing", "compress", IMAGES, "float32", ("fastbp", "copy"), True)


def _mixed() -> Iterator[Row]:
    for shape in MIXED_SHAPES:
        yield Row("mixed", "Affine", shape, "float64", ("float32 x", "float64 x"), shape == BOOK)
