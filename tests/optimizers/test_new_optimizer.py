"""An optimizer is its function of tiles, its class and its name: one with three states, in a copy of the package."""

from pathlib import Path

import pytest
from numba import config
from processes import copy_package, python_from

TILES = '''

@optimizer_step(states=3)
def amsgrad(W, dW, m, v, peak, lr, beta1, beta2):
    """m, v as in Adam without correction; peak = max(peak, v); W −= lr·m / (√peak + 1e-7)."""
    m = m + (dW - m) * (1 - beta1)
    v = v + (dW * dW - v) * (1 - beta2)
    peak = select(peak < v, v, peak)
    return W - m * lr / (sqrt(peak) + TINY), m, v, peak
'''

CLASS = """
from fastbp.kernels import optimizers as kernels
from fastbp.optimizers.optimizer import Optimizer
from fastbp.originals import original

@original
class AMSGrad(Optimizer, step=kernels.amsgrad):
    def __init__(self, lr=0.01, beta1=0.9, beta2=0.999):
        self.lr, self.beta1, self.beta2 = lr, beta1, beta2
        self.m = self.v = self.peak = None

    def scalars(self, step=1):
        return self.rate(step), self.beta1, self.beta2
"""

NAME = "from fastbp.optimizers.amsgrad import AMSGrad as AMSGrad\n"

USE = """
import numpy as np
import fastbp
from fastbp.engine.all_functions import all_functions
from fastbp.kernels.build.signatures import declared

def by_numpy(p, gradient, state, lr=0.01, beta1=0.9, beta2=0.999):
    m, v, peak = state
    m += (1 - beta1) * (gradient - m)
    v += (1 - beta2) * (gradient**2 - v)
    peak[...] = np.maximum(peak, v)
    p -= lr * m / (np.sqrt(peak) + 1e-7)

rng = np.random.default_rng(0)
x, t = rng.standard_normal((40, 6)), rng.integers(0, 3, 40)
networks = [fastbp.TwoLayerNet(6, 5, 3, rng=np.random.default_rng(1))]
networks += [fastbp.TwoLayerNet(6, 5, 3, rng=np.random.default_rng(1), layers=fastbp.reference) for _ in range(2)]
rows = np.arange(40).reshape(8, 5)

# In the compiled loop, by its own update, and by NumPy.
step = fastbp.compile(networks[0], fastbp.AMSGrad(), strict=True)
step.run(x, t, rows)
assert step.compiled
own = fastbp.AMSGrad()
states = {key: np.zeros((3, *p.shape)) for key, p in networks[2].params.items()}
for some in rows:
    own.update(networks[1].params, networks[1].gradient(x[some], t[some]))
    for key, gradient in networks[2].gradient(x[some], t[some]).items():
        by_numpy(networks[2].params[key], gradient, states[key])
for key in networks[0].params:
    for each in networks[:2]:
        np.testing.assert_allclose(each.params[key], networks[2].params[key], rtol=1e-9, atol=1e-12)

# What no kernel reads, by name in a trainer, and ahead of time.
odd = np.ones(7, np.longdouble)
fastbp.AMSGrad().update({"p": odd}, {"p": np.ones(7)})
plain = np.ones(7)
by_numpy(plain, np.ones(7), np.zeros((3, 7)))
np.testing.assert_allclose(odd.astype(float), plain, rtol=1e-12)
loop = fastbp.Trainer(networks[0], x, t, x, t, 1, 5, "amsgrad", verbose=False)
loop.train()
assert type(loop.optimizer) is fastbp.AMSGrad
assert any(f.native.name == "amsgrad" for f in all_functions("float32"))
assert any(kernel.__name__ == "amsgrad" for kernel, _ in declared("float32"))
print("done")
"""


@pytest.mark.command
@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="nothing is compiled")
def test_a_function_of_tiles_a_class_and_a_name(tmp_path: Path) -> None:
    kernels = copy_package(tmp_path)
    optimizers = kernels.parent / "optimizers"
    (optimizers / "amsgrad.py").write_text(CLASS)
    for file, more in ((kernels / "optimizers.py", TILES), (optimizers / "__init__.pyi", NAME)):
        file.write_text(file.read_text(encoding="utf-8") + more, encoding="utf-8")
    assert python_from(tmp_path, USE, FASTBP_CACHE_DIR=str(tmp_path / "cache")) == "done\n"
