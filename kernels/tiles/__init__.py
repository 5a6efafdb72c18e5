"""The tile language: small matrices that live in the processor's vector registers, for kernels that Numba compiles.

A tile is `rows` x `vecs` vectors of `lanes` numbers each. To Numba it is one value, whose shape and dtype are part of
its type; to LLVM an array of vectors; to the processor so many registers. Nothing of it lies in memory, unless a tile
has more vectors than the target has registers: then it spills, and the kernel is slower by a factor of two or more.

An example: `max(0, x @ W + b)`, a tile of the result at a time.

    @kernel
    def affine_relu(x, W, b, out):
        (N, D), M = x.shape, b.size
        tile = zeros(4, 2, out)
        for i in range(0, N, rows_of(tile)):
            for j in range(0, M, width_of(tile)):
                rows, width = N - i, M - j
                acc = splat(tile, load_row_masked(tile, b, j, width))
                for k in range(D):
                    acc = fma_step(acc, x, i * D + k, D, rows, load_row_masked(tile, W, k * M + j, width))
                store_masked(maximum(0.0, acc), out, i * M + j, M, rows, width)

Line by line:
  - `zeros(4, 2, out)` makes 4 rows of 2 vectors in the dtype of `out`: on AVX-512 4 x 32 float32, 8 registers. Its
    value is never used: a parameter named `like` is a tile (or, in `zeros`, an array or a number) that gives shape and
    dtype.
  - `rows_of` and `width_of` are constants, known when the kernel is compiled. How wide a vector is depends on the
    target Numba compiles for, not on the processor underneath: see `target.TARGET`.
  - Memory is an array, or the `pointer` of one, and an offset in elements from its first one; between rows lies a
    `stride`. `j` in b is `b[j]`, `i * D + k` with stride `D` in x is the column `x[i:, k]`. Compiled, nothing is
    checked, and negative offsets don't wrap around. Elements are converted on the way: a float64 tile loads from
    uint8, bool, float32 and float64 arrays alike, and is stored as what the array holds.
  - What ends in `_masked` touches only the first `rows` rows and `width` columns, whose numbers may be larger than the
    tile: outside nothing is read, and the tile is 0 there; nothing is written. So edges need no loop of their own.
  - `splat` fills a tile with a number, or with a row that is repeated.
  - `fma_step` is the step of a product: `acc[r, :] += x[i + r, k] * W[k, j : j + width]`, rounded once.
  - `maximum(0.0, acc)` is arithmetic element by element. It takes tiles of one shape; a tile of one row is repeated
    over the rows, a number over all. `+ - * / < <= > >= == != & | ~` are operations too (`dout * (1.0 - y) * y`).
    Comparisons give tiles of bools, for `select` and for stores into bool or uint8 arrays.

Every operation is an intrinsic, whose code generation is unrolled in Python: a kernel stays a few lines of ordinary
Numba that are cached on disk. Called from Python instead, `affine_relu.py_func(...)`, the same lines run on NumPy, and
an access outside of an array is an error. To find one:

    tile         the type; `zeros`; its shape as constants; which elements lie inside an edge
    memory       loads, stores, `fma_step`, prefetches
    strided      loads of every second element of a row, or every n-th
    pointers     of arrays, at addresses, of another dtype
    arithmetic   element by element: numbers, comparisons, `select`, `convert`
    operators    the same as Python's operators
    exponential  `exp` and `log`, within 2 ULP
    rows         one row, sums and largest elements of rows, transposition
    elementwise  a function of tiles, applied to all elements of arrays
    denormals    taken for 0 for a while
    target       the vectors of the processor that is compiled for
    interpreter  what an operation is where Python calls it: NumPy
    codegen      the LLVM code that intrinsics are made of: also for those outside of this folder
"""

from fastbp.kernels.tiles import operators  # noqa: F401  kernels understand them from here on
from fastbp.kernels.tiles.arithmetic import (
    absolute,
    add,
    convert,
    div,
    equal,
    fma,
    greater,
    greater_equal,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
    maximum,
    minimum,
    mul,
    neg,
    not_equal,
    rint,
    select,
    splat,
    sqrt,
    sub,
)
from fastbp.kernels.tiles.denormals import flush_denormals, restore
from fastbp.kernels.tiles.memory import (
    fma_step,
    load,
    load_clamped,
    load_masked,
    load_row,
    load_row_masked,
    load_transposed,
    prefetch,
    prefetch_line,
    store,
    store_masked,
    store_row_masked,
)
from fastbp.kernels.tiles.pointers import (
    address_as,
    address_as_bytes,
    address_as_float32,
    address_as_float64,
    address_as_int32,
    address_as_int64,
    address_as_uint16,
    aligned,
    moved,
    pointer,
    pointer_if,
    reinterpret,
    same_dtype,
)
from fastbp.kernels.tiles.rows import (
    add_row_sums,
    first_element,
    max_of_rows,
    row,
    row_max,
    row_sum,
    sum_of_rows,
    total,
    transpose,
)
from fastbp.kernels.tiles.tile import columns, lanes_of, rows_of, vecs_of, width_of, within, zeros

__all__ = [
    "absolute",
    "add",
    "add_row_sums",
    "address_as",
    "address_as_bytes",
    "address_as_float32",
    "address_as_float64",
    "address_as_int32",
    "address_as_int64",
    "address_as_uint16",
    "aligned",
    "columns",
    "convert",
    "div",
    "equal",
    "first_element",
    "flush_denormals",
    "fma",
    "fma_step",
    "greater",
    "greater_equal",
    "lanes_of",
    "less",
    "less_equal",
    "load",
    "load_clamped",
    "load_masked",
    "load_row",
    "load_row_masked",
    "load_transposed",
    "logical_and",
    "logical_not",
    "logical_or",
    "max_of_rows",
    "maximum",
    "minimum",
    "moved",
    "mul",
    "neg",
    "not_equal",
    "pointer",
    "pointer_if",
    "prefetch",
    "prefetch_line",
    "reinterpret",
    "restore",
    "rint",
    "row",
    "row_max",
    "row_sum",
    "rows_of",
    "same_dtype",
    "select",
    "splat",
    "sqrt",
    "store",
    "store_masked",
    "store_row_masked",
    "sub",
    "sum_of_rows",
    "total",
    "transpose",
    "vecs_of",
    "width_of",
    "within",
    "zeros",
]
