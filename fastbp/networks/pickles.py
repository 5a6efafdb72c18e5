"""Pickles of parameters as npz files: what the book's scripts save, read without running any of it."""

import io
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.networks.files import save_params


def convert_params(source: str | os.PathLike[str], target: str | os.PathLike[str], *, force: bool = False) -> list[str]:
    """Writes the parameters of a pickle, a dict of arrays or numbers by name, as an npz file; their names.

    The pickle may be of any protocol, of Python 2 too. ValueError naming the file when it holds anything but dicts,
    lists, tuples, strings, numbers and NumPy arrays, or no dict of names; FileExistsError when the target is there,
    unless `force`; OSError when a file can't be read or written.
    """
    params = read_params(source)
    if not force and os.path.lexists(target):
        raise FileExistsError(f"{target} exists: --force overwrites it")
    save_params(target, SimpleNamespace(params=params))
    return list(params)


def read_params(source: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """The parameters of a pickle by name. Errors as above."""
    content = Path(source).read_bytes()
    if content.startswith(b"PK"):
        raise ValueError(f"{source} is an npz file, not a pickle: load_params reads it as it is")
    try:
        loaded = _Unpickler(io.BytesIO(content)).load()
    except MemoryError:
        raise
    except Exception as error:  # damaged bytes raise a dozen of them
        raise ValueError(f"{source} is no pickle of parameters: {error}") from error
    if not isinstance(loaded, Mapping) or not loaded:
        raise ValueError(f"{source} holds a {type(loaded).__name__}, expected a dict of arrays by name")
    return {_name(source, key): _array(source, key, value) for key, value in loaded.items()}


class _Unpickler(pickle.Unpickler):
    """Knows what NumPy arrays are made of, and nothing else that could be called."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream, encoding="latin1")  # as NumPy's own arrays of Python 2 need it

    def find_class(self, module: str, name: str) -> Any:
        found = _KNOWN.get((module.replace("numpy._core.", "numpy.core."), name))
        if found is None:
            raise ValueError(f"it holds a {module}.{name}; only dicts, strings, numbers and NumPy arrays are read")
        return found


def _reconstruct(cls: type, shape: Any, kind: Any) -> NDArray[Any]:
    if cls is not np.ndarray:
        raise ValueError("it holds an array of a class of its own")
    return np.ndarray.__new__(np.ndarray, (0,), np.int8)


def _scalar(dtype: Any, content: Any = None) -> Any:
    """A NumPy number of its bytes."""
    if not isinstance(dtype, np.dtype) or dtype.hasobject:
        raise ValueError("it holds a NumPy number that is none")
    raw = content.encode("latin1") if isinstance(content, str) else content
    return np.frombuffer(raw, dtype, count=1)[0]


def _dtype(spelling: Any, align: Any = False, copy: Any = False) -> np.dtype[Any]:
    made: np.dtype[Any] = np.dtype(spelling)
    if made.hasobject:
        raise ValueError("it holds an array of objects")
    return made


def _from_buffer(buffer: Any, dtype: Any, shape: Any, order: Any) -> NDArray[Any]:
    if not isinstance(dtype, np.dtype) or dtype.hasobject:
        raise ValueError("it holds an array of objects")
    return np.frombuffer(buffer, dtype).reshape(shape, order=order)


def _encoded(text: str, encoding: str = "latin1") -> bytes:
    """What protocols 0 to 2 write of bytes."""
    if encoding not in ("latin1", "latin-1"):
        raise ValueError(f"it holds bytes in {encoding}")
    return text.encode("latin1")


_KNOWN: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encoded,
    ("collections", "OrderedDict"): OrderedDict,
}


def _name(source: str | os.PathLike[str], key: Any) -> str:
    if not isinstance(key, str):
        raise ValueError(f"{source} has the key {key!r}, expected names")
    return key


def _array(source: str | os.PathLike[str], key: str, value: Any) -> NDArray[Any]:
    array = np.asarray(value) if isinstance(value, np.ndarray | np.generic | int | float) else None
    if array is None or array.dtype.kind not in "fiub":
        raise ValueError(f"{source} has a {type(value).__name__} under {key!r}, expected an array of numbers")
    return array
