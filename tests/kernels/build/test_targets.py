"""Kernels for other processors than the one below: those of the same family it can run."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from numba import config

if config.DISABLE_JIT:
    pytest.skip("nothing is compiled", allow_module_level=True)

# Without feature strings Numba adds the features of the machine below to a name.
TARGETS = {
    "haswell": ({"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": ""}, (32, 16, True, False, True)),
    "skylake-avx512": ({"NUMBA_CPU_NAME": "skylake-avx512", "NUMBA_CPU_FEATURES": ""}, (64, 32, True, False, True)),
    "znver4": ({"NUMBA_CPU_NAME": "znver4", "NUMBA_CPU_FEATURES": ""}, (64, 32, True, True, True)),
    "x86-64": ({"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": ""}, (16, 16, False, False, False)),
    "bdver2": ({"NUMBA_CPU_NAME": "bdver2", "NUMBA_CPU_FEATURES": ""}, (32, 16, True, False, False)),  # no AVX2
    "generic": ({"NUMBA_CPU_NAME": "generic"}, (16, 16, False, False, False)),
}
LAYERS_RUN = ("haswell", "x86-64")
x86_only = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names of x86 processors")

LAYERS = """
import numpy as np
from fastbp import layers, reference
from fastbp.kernels.tiles.target import TARGET

def passes(namespace, name, x, *weights):
    layer = getattr(namespace, name)(*weights)
    out = layer.forward(x, np.arange(len(x)) % x.shape[1]) if "Loss" in name else layer.forward(x)
    results = [out, layer.backward(1 if "Loss" in name else -out)]
    return results + ([layer.dW, layer.db] if weights else [])

rng = np.random.default_rng(0)
for n, d, m in ((1, 7, 3), (3, 70, 18), (13, 65, 31), (40, 33, 100)):
    x, W, b = (rng.standard_normal(shape).astype("float32") for shape in ((n, d), (d, m), m))
    for name, *weights in (("Affine", W, b), ("Relu",), ("Sigmoid",), ("SoftmaxWithLoss",)):
        for ours, oracle in zip(passes(layers, name, x, *weights), passes(reference, name, x, *weights)):
            np.testing.assert_allclose(ours, oracle, rtol=0, atol=2e-5 * max(1, np.abs(oracle).max()))
print(tuple(TARGET))
"""

# Machine code of what finds and packs numbers that aren't zero, which is not run: the processor need not be here.
SKIPPING = """
from numba import types
from fastbp.kernels.affine_skipping import forward_rows_skipping
from fastbp.kernels.loop import compress
from fastbp.kernels.packing import PACKS

long, x, columns = types.int64, *map(types.CPointer, (types.float32, types.int32))
functions = [
    *compress.functions("float32", "int32", "float32"),
    *compress.functions("float64", "uint16", "float64"),
    *compress.functions("uint8", "uint16", "uint8"),
    forward_rows_skipping.of(*[long] * 4, x, x, x, long, x, x, columns, types.CPointer(long)),
]
for function in functions:
    calls, code = function.compiled()
    assert len(code) > 500, function.symbol
    functions += [called for called in calls if "add_products" in called.symbol]
assert "add_products" in functions[-1].symbol
print(PACKS)
"""


def python(*arguments: str, cache: Path, **settings: str) -> str:
    """What a process prints that compiles for another processor, into a cache of its own."""
    paths = {"PYTHONPATH": os.pathsep.join(sys.path), "FASTBP_CACHE_DIR": str(cache)}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, env=os.environ | paths | settings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    return done.stdout


@x86_only
@pytest.mark.command
@pytest.mark.parametrize("name", [name for name in TARGETS if name not in LAYERS_RUN])
def test_target(name: str, tmp_path: Path) -> None:
    settings, expected = TARGETS[name]
    code = "from fastbp.kernels.tiles.target import TARGET; print(tuple(TARGET))"
    assert python("-c", code, cache=tmp_path, **settings).strip() == str(expected)


@x86_only
@pytest.mark.command
def test_code_that_skips_zeros_without_avx2(tmp_path: Path) -> None:
    """A processor may have FMA and not the permutations that pack numbers: LLVM ended the process."""
    settings, _ = TARGETS["bdver2"]
    assert python("-c", SKIPPING, cache=tmp_path, **settings) == "False\n"


@x86_only
@pytest.mark.command
@pytest.mark.parametrize("name", LAYERS_RUN)
def test_layers_on_target(name: str, tmp_path: Path) -> None:
    settings, expected = TARGETS[name]
    assert python("-c", LAYERS, cache=tmp_path, **settings).strip() == str(expected)


@x86_only
@pytest.mark.full
@pytest.mark.command
@pytest.mark.skipif("NUMBA_CPU_NAME" in os.environ, reason="this is the suite on another target")
@pytest.mark.parametrize("name", ["haswell", "x86-64"])
def test_suite_on_target(name: str, tmp_path: Path) -> None:
    """The tests of all kernels."""
    parts = (
        "kernels/tiles/test_tiles",
        "kernels/tiles/test_tiles_memory",
        "kernels/tiles/test_exponential",
        "kernels/matmul/test_gemm",
        "layers/test_affine",
        "layers/test_batch_normalization",
        "layers/test_convolution",
        "layers/test_convolution_tiles",
        "layers/test_pooling",
        "layers/test_relu",
        "layers/test_sigmoid",
        "layers/test_softmax_loss",
        "engine/test_engine_sparse",
    )
    settings, _ = TARGETS[name]
    tests = Path(__file__).parents[2]
    options = ("-q", "-p", "no:cacheprovider", f"--rootdir={tests.parent}")
    python("-m", "pytest", *options, *(str(tests / f"{part}.py") for part in parts), cache=tmp_path, **settings)
