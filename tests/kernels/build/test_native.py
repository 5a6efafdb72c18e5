"""C functions: what their objects ask of others, their signatures, and that they are found again in another process."""

import pickle
import re
import shutil
import subprocess
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import DTYPES
from numba import config
from processes import python

if config.DISABLE_JIT:
    pytest.skip("nothing is compiled", allow_module_level=True)

from numba import types
from numba.core.typing import Context

from fastbp.engine.all_functions import all_functions
from fastbp.kernels import relu
from fastbp.kernels.build import cache, objects, workshop
from fastbp.kernels.build.frontend import Part
from fastbp.kernels.build.native import CFunction
from fastbp.kernels.build.signatures import declared
from fastbp.kernels.build.tables import TableType
from fastbp.kernels.loop import plan, training

# Beside the mathematics and the memory of the C library: how the threads of the loop wait for each other.
LIBRARY = {"memcpy", "memset", "memmove", "log", "exp", "sched_yield", "usleep"}


def all_of(dtype: str) -> list[CFunction]:
    """All C functions of a dtype, with those that they call."""
    found: dict[str, CFunction] = {}

    def add(function: CFunction) -> None:
        if function.symbol not in found:
            found[function.symbol] = function
            for called in kept(function)[0]:
                add(called)

    functions = all_functions(dtype)
    objects.load(functions)
    for function in functions:
        add(function)
    return list(found.values())


def kept(function: CFunction) -> tuple[list[CFunction], bytes]:
    """(What it calls, its object file)."""
    calls, content = pickle.loads(cache.load(function.symbol, function.symbol))
    return calls, content


@pytest.mark.skipif(shutil.which("nm") is None, reason="no nm")
@pytest.mark.parametrize("dtype", DTYPES)
def test_objects_ask_for_nothing_but_the_c_library_and_each_other(dtype: str, tmp_path: Path) -> None:
    """No reference counts, no exceptions, no Python: they could be linked into any program."""
    file, functions = tmp_path / "one.o", all_of(dtype)
    assert len(functions) > 40
    for function in functions:
        calls, content = kept(function)
        file.write_bytes(content)
        listed = subprocess.run(["nm", file], capture_output=True, text=True, check=True).stdout
        asked = set(re.findall(r" U (\w+)", listed))
        assert asked <= LIBRARY | {called.symbol for called in calls}, function.symbol
        assert re.findall(r" T (\w+)", listed) == [function.symbol]


@pytest.mark.parametrize("dtype", DTYPES)
def test_parts_have_one_signature_of_pointers_and_int64(dtype: str) -> None:
    for function in all_functions(dtype):
        for type_ in function.types:
            assert type_ == types.int64 or isinstance(type_, types.CPointer | TableType), function.symbol
        if isinstance(function.types[-1], TableType):  # a part, which the loop calls
            assert function.types[:4] == (types.int64,) * 4
            assert len(function.types) == 6
            assert function.native.returns == types.int64


def test_a_table_in_python_and_in_a_kernel() -> None:
    """A part called by its address, with a row that NumPy laid out and one of ctypes."""
    real = types.float64
    function = relu.forward.of(*plan.part_types(real)).function()
    x, out, mask = np.array([-1.0, 2.0, np.nan, -0.0]), np.zeros(4), np.full(4, 7, np.uint8)
    rows = np.zeros(3, plan.Operation.dtype)
    rows["M"], rows["x"], rows["out"], rows["mask"] = 2, x.ctypes.data, out.ctypes.data, mask.ctypes.data
    assert function(0, 1, 0, 2, rows[2:].ctypes.data, 0) == 0
    np.testing.assert_array_equal(out, [0, 2, 0, 0])
    assert mask.tolist() == [1, 0, 7, 7]
    row = plan.Operation.row(M=2, x=x.ctypes.data, out=out.ctypes.data, mask=mask.ctypes.data)
    assert bytes(row) == bytes(rows[2:])
    assert len(bytes(row)) == 8 * len(plan.Operation.fields)


def test_a_function_travels_to_other_processes() -> None:
    function = training.train.of(*training.run_types(types.float32))
    copied: Any = pickle.loads(pickle.dumps(function))
    assert copied is function
    code = f"""
    import pickle
    from fastbp.kernels.build import objects
    function = pickle.loads({pickle.dumps(function)!r})
    print(function.symbol, function.address() != 0)
    """
    assert python(code).split() == [function.symbol, "True"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_a_kernel_calls_is_compiled_with_it(dtype: str) -> None:
    """And not when its caller's code is made, one function after the other on one core."""
    kernels = [(kernel, types_) for kernel, types_ in declared(dtype) if kernel.needs]
    assert len(kernels) > 8
    for kernel, types_ in kernels:
        kernel.compile(types_)
        calls, _ = pickle.loads(cache.load(kernel._cache._name, types_))
        assert calls
        assert set(calls) <= set(kernel.needs(*types_)), kernel.__name__


@pytest.mark.parametrize(("processes", "expected"), [(1, workshop.MOST_HELPERS), (2, 2), (4, 0), (6, 0)])
def test_processes_that_share_the_cores_start_fewer_helpers(
    processes: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Function:
        def compiled(self) -> tuple[list[Any], bytes]:
            return [], b""

    class Helper:
        def __init__(self, work: Any) -> None:
            started.append(self)

        def end(self) -> None:
            ended.append(self)

    started: list[Helper] = []
    ended: list[Helper] = []
    kept: list[Any] = []
    monkeypatch.setattr(workshop, "_Helper", Helper)
    monkeypatch.setattr(workshop, "_cores", lambda: 6)
    with workshop.sharing(processes):
        workshop.make(deque(Function() for _ in range(9)), lambda *each: kept.append(each))
    assert started == ended
    assert (len(started), len(kept)) == (expected, 9)


def test_where_nothing_can_be_kept(tmp_path: Path) -> None:
    """Each process compiles, with help, and warns once."""
    (tmp_path / "file").write_text("")
    code = """
    import warnings
    import numpy as np
    from fastbp.kernels import optimizers
    from fastbp.kernels.loop import parts
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        functions = optimizers.sgd.part, optimizers.momentum.part, optimizers.adam.part
        addresses = parts.addresses([parts.of_parameter(each, "float32") for each in functions])
    print(len(set(addresses)), len(caught), "can't be kept" in str(caught[0].message))
    """
    assert python(code, FASTBP_CACHE_DIR=str(tmp_path / "file")).split() == ["3", "1", "True"]


def test_a_warning_that_is_an_error_ends_the_compilation(tmp_path: Path) -> None:
    """Wherever it arises: nobody waits for a helper then."""
    (tmp_path / "file").write_text("")
    code = """
    import warnings
    import numpy as np
    from fastbp.kernels import optimizers
    from fastbp.kernels.loop import parts
    warnings.simplefilter("error")
    try:
        functions = optimizers.sgd.part, optimizers.momentum.part, optimizers.adam.part
        parts.addresses([parts.of_parameter(each, "float32") for each in functions])
    except RuntimeWarning as error:
        print("can't be kept" in str(error))
    """
    assert python(code, FASTBP_CACHE_DIR=str(tmp_path / "file")) == "True\n"


def test_how_an_operator_is_typed_is_found_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numba's own context isn't asked again by a second function with the same operators, but by other types."""
    asked, find = [], Context.resolve_function_type

    def counted(self: Context, function: Any, *arguments: Any) -> Any:
        asked.append(function)
        return find(self, function, *arguments)

    def compiled(*arguments: types.Type) -> tuple[types.Type, int]:
        part, before = Part(lambda x, y: x - y - y, {}), len(asked)
        part.compile(arguments)
        return part.overloads[arguments].signature.return_type, len(asked) - before

    monkeypatch.setattr(Context, "resolve_function_type", counted)
    result, calls = compiled(types.int16, types.float32)
    assert result == types.float32
    assert calls > 0
    assert compiled(types.int16, types.float32) == (types.float32, 0)
    result, calls = compiled(types.int16, types.float64)
    assert result == types.float64
    assert calls > 0
