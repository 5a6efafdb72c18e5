"""Parts that make a batch: rows of a data set by their indices, converted and scaled on the way."""

from llvmlite import ir
from numba import types

from fastbp.kernels.build.flags import inlined, part
from fastbp.kernels.loop.compress import BYTES, NARROW
from fastbp.kernels.tiles import (
    address_as,
    address_as_bytes,
    address_as_float32,
    address_as_float64,
    address_as_int32,
    address_as_int64,
    address_as_uint16,
    lanes_of,
    load_row,
    load_row_masked,
    prefetch_line,
    splat,
    store,
    store_row_masked,
    width_of,
    zeros,
)
from fastbp.kernels.tiles import codegen as cg
from fastbp.kernels.tiles.operation import operation
from fastbp.kernels.tiles.target import CACHE_LINE, TARGET

VECTORS = 4  # a step
AT_ONCE = TARGET.vector_bytes // 4  # columns
LINE_VECTORS = CACHE_LINE // TARGET.vector_bytes


@inlined
def gather_rows(lo, hi, rows, D, x, scale, out):
    """out[i] = scale · x[rows[i]] for i in [lo, hi)."""
    step = zeros(1, VECTORS, out)
    for i in range(lo, hi):
        start = rows[i] * D
        if scale == 1.0:
            for k in range(0, D, width_of(step)):
                store_row_masked(load_row_masked(step, x, start + k, D - k), out, i * D + k, D - k)
        else:
            for k in range(0, D, width_of(step)):
                store_row_masked(load_row_masked(step, x, start + k, D - k) * scale, out, i * D + k, D - k)


@part
def uint8_samples(lo, hi, left, right, op, step):
    samples, out = step.samples, step.batch.x
    x = address_as_bytes(samples.address)
    gather_rows(lo, hi, step.rows, samples.features, x, step.settings.scale, out)


@part
def float32_samples(lo, hi, left, right, op, step):
    samples, out = step.samples, step.batch.x
    x = address_as_float32(samples.address)
    gather_rows(lo, hi, step.rows, samples.features, x, step.settings.scale, out)


@part
def float64_samples(lo, hi, left, right, op, step):
    samples, out = step.samples, step.batch.x
    x = address_as_float64(samples.address)
    gather_rows(lo, hi, step.rows, samples.features, x, step.settings.scale, out)


def _copy_as_python(source, at, out, to, count):
    for n in range(count):
        out[to + n] = source[at + n]


@operation(interpreted=_copy_as_python, prefer_literal=True)
def _copy_integers(typingctx, source, at, out, to, count):
    """out[to : to + count] = source[at : at + count], no longer ones; count is a constant."""
    numbers = cg.literal_value(count, "count")

    def codegen(context, builder, signature, arguments):
        source_data, at, out_data, to, _ = arguments
        loaded, stored = (ir.VectorType(context.get_data_type(pointer.dtype), numbers) for pointer in (source, out))
        place = cg.element_pointer(context, builder, source, source_data, at, loaded)
        vector = builder.load(place, align=cg.size_of(loaded.element))
        vector = vector if loaded == stored else builder.zext(vector, stored)
        place = cg.element_pointer(context, builder, out, out_data, to, stored)
        builder.store(vector, place, align=cg.size_of(stored.element))
        return context.get_dummy_value()

    return types.void(source, types.int64, out, types.int64, count), codegen


@inlined
def _copy_compressed(lo, hi, columns, values, scale, step):
    """Rows [lo, hi) of the batch, side by side. What follows them, less than OVERRUN, is read and written too.

    All are asked for first: 5 µs a batch of 100 of MNIST's images, instead of 13 (EPYC of Zen 5). Asked for bit by bit
    during the update before, they made that longer than this shorter.
    """
    rows, starts, begins = step.rows, step.samples.starts, step.batch.begins
    batch_columns, batch_values = step.batch.columns, step.batch.values
    tile, at = zeros(1, 1, batch_values), 0
    for i in range(lo, hi):
        for e in range(starts[rows[i]], starts[rows[i] + 1], lanes_of(columns) * LINE_VECTORS):
            prefetch_line(columns, e)
        for e in range(starts[rows[i]], starts[rows[i] + 1], lanes_of(values) * LINE_VECTORS):
            prefetch_line(values, e)
    for i in range(lo, hi):
        begins[i] = at
        first, count = starts[rows[i]], starts[rows[i] + 1] - starts[rows[i]]
        for e in range(0, count, AT_ONCE):
            _copy_integers(columns, first + e, batch_columns, at + e, AT_ONCE)
        for e in range(0, count, width_of(tile)):
            store(load_row(tile, values, first + e) * scale, batch_values, at + e, 0)
        at += count
    begins[hi] = at


@inlined
def _copy_any(lo, hi, step):
    """The same for each of COMPRESSED."""
    samples, scale = step.samples, step.settings.scale
    if samples.form == BYTES:
        columns, values = address_as_uint16(samples.columns), address_as_bytes(samples.address)
        _copy_compressed(lo, hi, columns, values, scale, step)
    elif samples.form == NARROW:
        columns, values = address_as_uint16(samples.columns), address_as(samples.address, step.batch.values)
        _copy_compressed(lo, hi, columns, values, scale, step)
    else:
        columns, values = address_as_int32(samples.columns), address_as(samples.address, step.batch.values)
        _copy_compressed(lo, hi, columns, values, scale, step)


@part
def compressed_samples(lo, hi, left, right, op, step):
    """Where something is learned all rows of the batch: each thread makes its own copy, as its update reads them all.

    To read another core's copies costs more than to make them.
    """
    if op.update != 0:
        lo, hi = 0, step.N
    _copy_any(lo, hi, step)


@part
def spread_samples(lo, hi, left, right, op, step):
    """Compressed samples, with their zeros."""
    D, batch = step.samples.features, step.batch
    out, columns, values, begins = batch.x, batch.columns, batch.values, batch.begins
    _copy_any(lo, hi, step)
    tile = zeros(1, VECTORS, out)
    for i in range(lo, hi):
        for k in range(0, D, width_of(tile)):
            store_row_masked(splat(tile, 0.0), out, i * D + k, D - k)
        for e in range(begins[i], begins[i + 1]):
            out[i * D + columns[e]] += values[e]


@part
def labels_as_indices(lo, hi, left, right, op, step):
    t, out, rows = address_as_int64(step.samples.labels), address_as_int64(step.batch.labels), step.rows
    for i in range(lo, hi):
        out[i] = t[rows[i]]


@part
def labels_as_probabilities(lo, hi, left, right, op, step):
    t, out = address_as(step.samples.labels, op.x), address_as(step.batch.labels, op.x)
    gather_rows(lo, hi, step.rows, step.samples.classes, t, 1.0, out)
