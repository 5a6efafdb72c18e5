"""A network's parameters in an npz file."""

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.system.files import atomic_write


def save_params(path: str | os.PathLike[str], network: Any) -> None:
    """Writes `network.params` as an npz file at exactly this path, whole or not at all.

    OSError when the folder can't be written, ValueError for a parameter that isn't an array of numbers.
    """
    # np.savez can't be told not to pickle before NumPy 2.1: it takes allow_pickle=False for one more array.
    with atomic_write(path) as stream, zipfile.ZipFile(stream, "w") as archive:
        for name, parameter in network.params.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(parameter), allow_pickle=False)


def load_params(path: str | os.PathLike[str], network: Any = None) -> dict[str, NDArray[Any]]:
    """The parameters of an npz file by name; with a network, also copied into its own arrays.

    Nothing of the network is changed when this raises: ValueError naming the file when it is no such file or doesn't
    fit (a finite number too large for the network's dtype doesn't), OSError when it can't be read.
    """
    content = Path(path).read_bytes()
    try:
        loaded = _read_npz(content)
    except MemoryError:
        raise
    except Exception as error:  # for damaged bytes zipfile, zlib and NumPy have a dozen between them
        why = _way_out(path) if _is_pickle(content) else error
        raise ValueError(f"{path} is no npz file of parameters, or is damaged: {why}") from error
    if network is not None:
        for name, values in _fitting(path, loaded, network.params).items():
            network.params[name][...] = values
    return loaded


def _way_out(path: str | os.PathLike[str]) -> str:
    target = Path(path).with_suffix(".npz")
    command = f"fastbp convert {path} {target if target != Path(path) else 'params.npz'}"
    return f"it is a pickle, which could run code of anybody's. `{command}` makes an npz file of it and runs nothing"


def _is_pickle(content: bytes) -> bool:
    """Whether bytes begin as a pickle does: of protocol 2 or later, or a dict in an earlier one; and end as one."""
    return content.startswith((b"\x80", b"(dp", b"(d", b"}", b"ccollections")) and content.rstrip().endswith(b".")


def _read_npz(content: bytes) -> dict[str, NDArray[Any]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name.removesuffix(".npy"): io.BytesIO(archive.read(name)) for name in archive.namelist()}
    return {name: np.lib.format.read_array(member, allow_pickle=False) for name, member in members.items()}


def _fitting(
    path: str | os.PathLike[str], loaded: dict[str, NDArray[Any]], params: dict[str, Any]
) -> dict[str, NDArray[Any]]:
    """The loaded arrays in the dtypes of params. ValueError naming the file and the parameter that doesn't fit."""
    if set(loaded) != set(params):
        raise ValueError(f"{path} holds {sorted(loaded)}, but the network has {sorted(params)}")
    fitting = {}
    for name, parameter in params.items():
        values = loaded[name]
        if not (isinstance(parameter, np.ndarray) and parameter.flags.writeable):
            raise ValueError(f"{path} can't be loaded: the network's {name} is no array, or a read-only one")
        if values.shape != parameter.shape:
            raise ValueError(f"{path} has {name} of shape {values.shape}, but the network's has {parameter.shape}")
        if values.dtype.kind != "f":
            raise ValueError(f"{path} has {name} of dtype {values.dtype}, expected floating point")
        with np.errstate(over="ignore"):
            fitting[name] = values.astype(parameter.dtype)
        if np.any(np.isinf(fitting[name]) & np.isfinite(values)):
            raise ValueError(f"{path} has a number in {name} that is too large for the network's {parameter.dtype}")
    return fitting
