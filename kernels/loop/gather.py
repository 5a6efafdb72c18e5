"""Parts that make a batch: rows of a data set by their indices, converted and scaled on the way."""

from fastbp.kernels.build.flags import inlined, part
from fastbp.kernels.tiles import (
    address_as,
    address_as_bytes,
    address_as_float32,
    address_as_float64,
    address_as_int64,
    lanes_of,
    load_row_masked,
    prefetch_line,
    splat,
    store_row_masked,
    width_of,
    zeros,
)

VECTORS = 4  # a step


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


@part
def spread_samples(lo, hi, left, right, op, step):
    """Compressed samples, with their zeros."""
    rows, D, starts, columns = step.rows, step.samples.features, step.samples.starts, step.samples.columns
    out = step.batch.x
    values, tile = address_as(step.samples.address, out), zeros(1, VECTORS, out)
    for i in range(lo, hi):
        for k in range(0, D, width_of(tile)):
            store_row_masked(splat(tile, 0.0), out, i * D + k, D - k)
        for e in range(starts[rows[i]], starts[rows[i] + 1]):
            out[i * D + columns[e]] += values[e]


@part
def compressed_samples(lo, hi, left, right, op, step):
    """All rows of the batch, side by side: each thread makes its own, as its update reads them all.

    To read another core's copies costs more than to make them. All are asked for first: 21 µs instead of 27 for a batch
    of MNIST. Asked for bit by bit during the update before, they take 6 µs here, and the update takes 17 longer.
    """
    rows, starts, columns = step.rows, step.samples.starts, step.samples.columns
    begins, batch_columns, batch_values = step.batch.begins, step.batch.columns, step.batch.values
    values, at = address_as(step.samples.address, batch_values), 0
    for i in range(step.N):
        for e in range(starts[rows[i]], starts[rows[i] + 1], lanes_of(values)):
            prefetch_line(columns, e)
            prefetch_line(values, e)
    for i in range(step.N):
        begins[i] = at
        first, count = starts[rows[i]], starts[rows[i] + 1] - starts[rows[i]]
        for e in range(count):
            batch_columns[at + e] = columns[first + e]
        for e in range(count):
            batch_values[at + e] = values[first + e]
        at += count
    begins[step.N] = at


@part
def compressed_in_place(lo, hi, left, right, op, step):
    """Compressed samples that lie side by side are read where they are; this asks for them."""
    begins, columns, values = step.batch.begins, step.batch.columns, step.batch.values
    for e in range(begins[lo], begins[hi], lanes_of(values)):
        prefetch_line(columns, e)
        prefetch_line(values, e)


@part
def labels_as_indices(lo, hi, left, right, op, step):
    t, out, rows = address_as_int64(step.samples.labels), address_as_int64(step.batch.labels), step.rows
    for i in range(lo, hi):
        out[i] = t[rows[i]]


@part
def labels_as_probabilities(lo, hi, left, right, op, step):
    t, out = address_as(step.samples.labels, op.x), address_as(step.batch.labels, op.x)
    gather_rows(lo, hi, step.rows, step.samples.classes, t, 1.0, out)
