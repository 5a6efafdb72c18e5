"""exp and log of tiles, within 2 ULP.

Each in two steps: bits of the exponent as intrinsics, and the polynomial as ordinary Numba on tiles. The coefficients
are the Taylor series: for these short ranges one term more than a fitted polynomial, and nothing to take on trust.
"""

import math
from typing import NamedTuple

from llvmlite import ir
from numba import types

from fastbp.kernels.build.flags import inlined
from fastbp.kernels.tiles import codegen as cg
from fastbp.kernels.tiles import interpreter
from fastbp.kernels.tiles.arithmetic import (
    add,
    div,
    equal,
    fma,
    greater,
    less,
    maximum,
    minimum,
    mul,
    rint,
    select,
    sub,
)
from fastbp.kernels.tiles.interpreter import Tile
from fastbp.kernels.tiles.operation import operation


class Format(NamedTuple):
    """The bits of a float type, and how many terms of the series of exp and of log reach its precision."""

    mantissa: int
    bias: int
    exp_terms: int
    log_terms: int
    exp_range: tuple
    ln2_high: float


FORMAT = {
    types.float32: Format(23, 127, 7, 5, (-104.5, 89.5), 0.693359375),
    types.float64: Format(52, 1023, 13, 11, (-746.0, 711.0), float.fromhex("0x1.62e42fee00000p-1")),
}
LN2_LOW = {
    types.float32: -2.1219444005469057e-4,
    types.float64: float.fromhex("0x1.a39ef35793c76p-33"),
}


def _bits(name, doc, emit, compute):
    """An operation: emit(builder, x, integer vector type, format) on each vector of a tile, or compute(x, format)."""

    @operation(name=name, doc=doc, interpreted=lambda tile: Tile(compute(tile.values, FORMAT[tile.elem]), tile.lanes))
    def of_bits(typingctx, tile):
        def codegen(context, builder, sig, args):
            vectors = cg.unpack(builder, tile, args[0])
            return cg.pack(
                builder, tile, [emit(builder, v, cg.integer_type(v.type), FORMAT[tile.elem]) for v in vectors]
            )

        return tile(tile), codegen

    return of_bits


def _emit_power_of_two(builder, n, integers, form):
    # Adding 1.5 * 2**mantissa leaves the whole number n in the low bits, without fptosi, which is undefined for NaN.
    bits = builder.bitcast(builder.fadd(n, cg.constant_vector(n.type, 1.5 * 2.0**form.mantissa)), integers)
    bits = builder.add(bits, cg.constant_vector(integers, form.bias))
    return builder.bitcast(builder.shl(bits, cg.constant_vector(integers, form.mantissa)), n.type)


def _emit_exponent(builder, x, integers, form):
    bits = builder.lshr(builder.bitcast(x, integers), cg.constant_vector(integers, form.mantissa))
    return builder.sitofp(builder.sub(bits, cg.constant_vector(integers, form.bias)), x.type)


def _emit_mantissa(builder, x, integers, form):
    bits = builder.and_(builder.bitcast(x, integers), cg.constant_vector(integers, (1 << form.mantissa) - 1))
    return builder.bitcast(builder.or_(bits, cg.constant_vector(integers, form.bias << form.mantissa)), x.type)


def _compute_power_of_two(n, form):
    bits = (n + n.dtype.type(1.5 * 2.0**form.mantissa)).view(f"i{n.itemsize}")
    return (bits + form.bias << form.mantissa).view(n.dtype)


def _compute_exponent(x, form):
    return ((x.view(f"u{x.itemsize}") >> form.mantissa).astype(int) - form.bias).astype(x.dtype)


def _compute_mantissa(x, form):
    bits = x.view(f"i{x.itemsize}") & ((1 << form.mantissa) - 1)
    return (bits | (form.bias << form.mantissa)).view(x.dtype)


_power_of_two = _bits(
    "_power_of_two",
    "(n): 2**n for whole n in the range of normal numbers.",
    _emit_power_of_two,
    _compute_power_of_two,
)
_exponent = _bits(
    "_exponent", "(x): the e of x = m * 2**e, 1 <= m < 2, for normal x > 0.", _emit_exponent, _compute_exponent
)
_mantissa = _bits(
    "_mantissa", "(x): the m of x = m * 2**e, 1 <= m < 2, for normal x > 0.", _emit_mantissa, _compute_mantissa
)


def _constant(values):
    """An operation: the number for the elements of a tile, a constant."""

    @operation(name="constant", interpreted=lambda tile: values[tile.elem])
    def constant(typingctx, tile):
        def codegen(context, builder, sig, args):
            return ir.Constant(ir.DoubleType(), values[tile.elem])

        return types.float64(tile), codegen

    return constant


def _series(coefficients):
    """An operation, a Horner scheme, unrolled: c[0] + c[1]*x + ... with c = coefficients(format of the elements)."""
    coefficients = {elem: tuple(coefficients(form)) for elem, form in FORMAT.items()}

    def interpreted(x):
        *rest, total = coefficients[x.elem]
        total = interpreter.splat(x, total)
        for c in reversed(rest):
            total = interpreter.fma(total, x, c)
        return total

    @operation(name="horner", interpreted=interpreted)
    def horner(typingctx, x):
        def codegen(context, builder, sig, args):
            results = []
            for v in cg.unpack(builder, x, args[0]):
                *rest, total = [cg.constant_vector(v.type, c) for c in coefficients[x.elem]]
                for c in reversed(rest):
                    total = cg.multiply_add(builder, total, v, c)
                results.append(total)
            return cg.pack(builder, x, results)

        return x(x), codegen

    return horner


def _of_format(value):
    return _constant({elem: float(value(form)) for elem, form in FORMAT.items()})


_ln2_high, _ln2_low = _of_format(lambda form: form.ln2_high), _constant(LN2_LOW)
_lowest, _highest = _of_format(lambda form: form.exp_range[0]), _of_format(lambda form: form.exp_range[1])
_smallest, _up = _of_format(lambda form: 2.0 ** (1 - form.bias)), _of_format(lambda form: 2.0**form.mantissa)
_steps = _of_format(lambda form: form.mantissa)
LOG2_E, ROOT2 = 1 / math.log(2), math.sqrt(2)

# e**r - 1 = r + r**2 * tail(r), |r| <= ln(2) / 2
_exp_tail = _series(lambda form: [1 / math.factorial(n) for n in range(2, form.exp_terms + 1)])
# log(1 + f) = f - f**2/2 + s * (f**2/2 + series), s = f / (2 + f), as in fdlibm: only small terms are rounded
_log_series = _series(lambda form: [2 / (2 * n + 3) for n in range(form.log_terms)])


@inlined
def exp(x):
    """e**x of a tile, within 2 ULP; exp(0) = 1, exp(-inf) = 0, exp(inf) = inf, NaN stays; denormals round once."""
    x = minimum(_highest(x), maximum(_lowest(x), x))  # in this order of operands NaN passes
    n = rint(mul(x, LOG2_E))
    r = fma(n, -_ln2_low(x), fma(n, -_ln2_high(x), x))
    p = add(fma(mul(r, r), _exp_tail(r), r), 1.0)
    half = rint(mul(n, 0.5))  # 2**n in two factors: n reaches beyond the exponents of normal numbers
    return mul(mul(p, _power_of_two(half)), _power_of_two(sub(n, half)))


@inlined
def log(x):
    """The natural logarithm of a tile, within 2 ULP; log(0) = -inf, of negative numbers NaN; denormal x included."""
    denormal = less(x, _smallest(x))
    normal = select(denormal, mul(x, _up(x)), x)
    m, e = _mantissa(normal), _exponent(normal)
    e = select(denormal, sub(e, _steps(e)), e)
    large = greater(m, ROOT2)
    f = sub(select(large, mul(m, 0.5), m), 1.0)
    e = select(large, add(e, 1.0), e)
    s = div(f, add(f, 2.0))
    square, half_square = mul(s, s), mul(mul(f, f), 0.5)
    rest = mul(s, fma(square, _log_series(square), half_square))
    result = fma(e, _ln2_high(x), sub(f, sub(half_square, fma(e, _ln2_low(x), rest))))
    result = select(less(x, math.inf), result, x)  # inf and NaN
    return select(greater(x, 0.0), result, select(equal(x, 0.0), -math.inf, select(less(x, 0.0), math.nan, x)))
