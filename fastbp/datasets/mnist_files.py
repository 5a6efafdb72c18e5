"""MNIST's four arrays out of files on disk.

"Arrays" are always (train images, train labels, test images, test labels): uint8 of shape (N, H, W) and (N,).
A "set" is the files that hold them: the four IDX files in the same order, or one npz archive.
"""

import contextlib
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.datasets.idx import BadFile, Bytes, idx_sha256, read_idx, read_npz
from fastbp.kernels.build.trusted import trusted_folder

Arrays = tuple[Bytes, Bytes, Bytes, Bytes]
FileSet = tuple[Path, ...]

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
NPZ_NAME = "mnist.npz"
NPZ_KEYS = ("x_train", "y_train", "x_test", "y_test")

# Of the unpacked IDX files, so that it does not matter who packed them and how.
SHA256 = (
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
)

WHERE_TO_PUT = (
    f"put {', '.join(f'{name}.gz' for name in NAMES)} (gzipped or not), or Keras' {NPZ_NAME}, into a folder, "
    "and name it by path=, by --data on the command line, or by the environment variable FASTBP_DATA"
)


def named_arrays(named: str | os.PathLike[str], origin: str) -> Arrays:
    """Return the arrays of a folder or an npz file of the user's; any data set of MNIST's structure will do.

    Raises FileNotFoundError when something is missing, ValueError when it is damaged; both name the file.
    """
    path = Path(os.path.expanduser(named))
    if os.path.isfile(path) and path.name.removesuffix(".gz").replace(".idx", "-idx") in NAMES:
        raise ValueError(f"{origin}: {path} is one of four files: name the folder that holds them")
    if os.path.isfile(path):
        files: FileSet = (path,)
    elif not os.path.isdir(path):
        raise FileNotFoundError(f"{origin}: there is no file or folder {path}. Please {WHERE_TO_PUT}.")
    elif sets := _complete_sets(path):
        files = sets[0]
    else:
        missing = ", ".join(name for name in NAMES if _idx_file(path, name) is None)
        raise FileNotFoundError(f"{origin}: {path} lacks {missing}. Please {WHERE_TO_PUT}.")
    try:
        return _read_set(files)
    except BadFile as error:
        raise ValueError(f"{error}. Please get this file again, or {WHERE_TO_PUT}.") from None


def cached_arrays(folder: Path) -> Arrays | None:
    """Return MNIST's arrays if the cache holds them; a set that is not MNIST is deleted."""
    for files in _complete_sets(folder):
        try:
            return verified_arrays(files)
        except BadFile:
            for file in files:
                with contextlib.suppress(OSError):  # a read-only cache, or another user's, is passed over each time
                    trusted_folder(folder)
                    file.unlink()
        except OSError:
            continue  # unreadable, or another process is just replacing it
    return None


def verified_arrays(files: FileSet) -> Arrays:
    """Return the arrays of a set that must be MNIST itself, byte for byte, or else raise BadFile."""
    arrays = _read_set(files)
    for i, (array, expected) in enumerate(zip(arrays, SHA256, strict=True)):
        found = idx_sha256(array)
        if found != expected:
            reason = f"{NAMES[i]} is not MNIST's (SHA-256 {found[:8]}…, expected {expected[:8]}…)"
            raise BadFile(files[i % len(files)], reason)
    return arrays


def _complete_sets(folder: Path) -> list[FileSet]:
    idx = tuple(file for name in NAMES if (file := _idx_file(folder, name)) is not None)
    npz = folder / NPZ_NAME
    sets: list[FileSet] = [idx] if len(idx) == len(NAMES) else []
    return [*sets, (npz,)] if os.path.isfile(npz) else sets


def _idx_file(folder: Path, name: str) -> Path | None:
    stems = (name, name.replace("-idx", ".idx"))
    candidates = (folder / f"{stem}{suffix}" for stem in stems for suffix in ("", ".gz"))
    return next((file for file in candidates if os.path.isfile(file)), None)


def _read_set(files: FileSet) -> Arrays:
    if len(files) == 1:
        found = read_npz(files[0], NPZ_KEYS)
        files = files * 4
    else:
        found = [read_idx(file, ndim) for file, ndim in zip(files, (3, 1, 3, 1), strict=True)]
    x_train, x_test = (_as_images(found[i], files[i]) for i in (0, 2))
    t_train, t_test = (_as_labels(found[i], files[i]) for i in (1, 3))
    for x, t, at in ((x_train, t_train, 0), (x_test, t_test, 2)):
        if len(x) != len(t):
            raise BadFile(files[at + 1], f"{len(t)} labels for the {len(x)} images of {files[at].name}")
    if x_train.shape[1:] != x_test.shape[1:]:
        sizes = f"test images are {x_test.shape[1:]}, training images {x_train.shape[1:]}"
        raise BadFile(files[2], sizes)
    return x_train, t_train, x_test, t_test


def _as_images(array: NDArray[Any], file: Path) -> Bytes:
    if array.dtype != np.uint8 or array.ndim != 3 or array.size == 0:
        raise BadFile(file, f"images of shape {array.shape} and dtype {array.dtype}, expected (N, H, W) and uint8")
    return np.ascontiguousarray(array)


def _as_labels(array: NDArray[Any], file: Path) -> Bytes:
    if array.ndim != 1 or array.size == 0:
        raise BadFile(file, f"labels of shape {array.shape}, expected (N,)")
    if array.min() < 0 or array.max() > 255:
        raise BadFile(file, f"labels from {array.min()} to {array.max()}, expected 0 to 255")
    return array.astype(np.uint8, copy=False)
