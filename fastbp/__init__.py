"""The layers of "Deep Learning from Scratch" on Numba kernels. Every public name is loaded at its first use."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# In a checkout kernels/ stands beside this folder, not inside it.
if not (Path(__file__).parent / "kernels").is_dir():
    __path__.append(str(Path(__file__).parent.parent))

if TYPE_CHECKING:
    from fastbp._warmup import warmup
    from fastbp.engine import NotCompilable, fit_many, predict
    from fastbp.engine import compile as compile
    from fastbp.gradient import check_gradients, gradient_descent, numerical_diff, numerical_gradient
    from fastbp.layers import AddLayer, Affine, MulLayer, Relu, Sigmoid, SoftmaxWithLoss
    from fastbp.networks import TwoLayerNet, load_params, save_params
    from fastbp.optimizers import SGD, AdaGrad, Adam, Momentum, Nesterov, RMSprop
    from fastbp.threads import get_num_threads, set_num_threads, threads
    from fastbp.trainer import Trainer

_MODULES = (
    "datasets",
    "engine",
    "functions",
    "gradient",
    "graph",
    "layers",
    "networks",
    "optimizers",
    "reference",
    "threads",
    "trainer",
)

# The module of each name; tests hold it equal to the imports above.
_HOMES = {
    "AdaGrad": "optimizers",
    "Adam": "optimizers",
    "AddLayer": "layers",
    "Affine": "layers",
    "Momentum": "optimizers",
    "MulLayer": "layers",
    "Nesterov": "optimizers",
    "NotCompilable": "engine",
    "RMSprop": "optimizers",
    "Relu": "layers",
    "SGD": "optimizers",
    "Sigmoid": "layers",
    "SoftmaxWithLoss": "layers",
    "Trainer": "trainer",
    "TwoLayerNet": "networks",
    "check_gradients": "gradient",
    "compile": "engine",
    "fit_many": "engine",
    "get_num_threads": "threads",
    "gradient_descent": "gradient",
    "load_params": "networks",
    "numerical_diff": "gradient",
    "numerical_gradient": "gradient",
    "predict": "engine",
    "save_params": "networks",
    "set_num_threads": "threads",
    "warmup": "_warmup",
}

# Without compile: `from fastbp import *` would replace Python's own.
__all__ = [
    "SGD",
    "AdaGrad",
    "Adam",
    "AddLayer",
    "Affine",
    "Momentum",
    "MulLayer",
    "Nesterov",
    "NotCompilable",
    "RMSprop",
    "Relu",
    "Sigmoid",
    "SoftmaxWithLoss",
    "Trainer",
    "TwoLayerNet",
    "__version__",
    "check_gradients",
    "fit_many",
    "get_num_threads",
    "gradient_descent",
    "load_params",
    "numerical_diff",
    "numerical_gradient",
    "predict",
    "save_params",
    "set_num_threads",
    "threads",
    "warmup",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"fastbp.{name}")
    if name in _HOMES:
        value = getattr(import_module(f"fastbp.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'fastbp' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_HOMES, *_MODULES})
