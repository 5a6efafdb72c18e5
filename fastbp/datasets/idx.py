"""Arrays out of IDX files (MNIST's own format) and npz archives, from files that nobody has checked.

Nothing is allocated on a header's word: memory grows with the bytes that were really there, up to the promised size.
Nothing is unpickled: an array's bytes are taken as numbers or not at all.
"""

import gzip
import hashlib
import io
import math
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

_STEP = 1 << 20
_UNSIGNED_BYTE = 0x08  # the third byte of the magic number; the fourth is the number of dimensions
_DAMAGE = (EOFError, OverflowError, RuntimeError, ValueError, gzip.BadGzipFile, struct.error, zlib.error)


class BadFile(ValueError):
    """A file that does not hold what it should: `path` is the file, `reason` what is wrong with it."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


def read_idx(path: Path, ndim: int) -> Bytes:
    """Read the uint8 array with `ndim` axes of an IDX file, gzipped or not (its first bytes tell, not its name).

    Raises BadFile for any other content, OSError when the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            packed = file.peek(2)[:2] == b"\x1f\x8b"
            stream: IO[bytes] = gzip.GzipFile(fileobj=file) if packed else file  # type: ignore[assignment]  # it reads as one
            shape = _idx_shape(stream.read(4 + 4 * ndim), ndim, path)
            data = _take(stream, math.prod(shape), path)
    except BadFile:
        raise
    except _DAMAGE as error:
        raise BadFile(path, f"damaged gzip data ({error})") from error
    return np.frombuffer(data, np.uint8).reshape(shape)


def read_npz(path: Path, keys: Sequence[str]) -> list[NDArray[Any]]:
    """Read the integer arrays named `keys` of an npz archive.

    Raises BadFile for any other content, OSError when the file cannot be read.
    """
    # In memory, a damaged archive cannot send zipfile to places of which the system says OSError.
    content = io.BytesIO(path.read_bytes())
    try:
        with zipfile.ZipFile(content) as archive:
            return [_read_member(archive, key, path) for key in keys]
    except BadFile:
        raise
    except (zipfile.BadZipFile, *_DAMAGE) as error:
        raise BadFile(path, f"not a readable npz archive ({error})") from error


def idx_sha256(array: Bytes) -> str:
    """Return the SHA-256, in hexadecimal, of the array as an unpacked IDX file."""
    digest = hashlib.sha256(struct.pack(f">{1 + array.ndim}I", _magic(array.ndim), *array.shape))
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _magic(ndim: int) -> int:
    return _UNSIGNED_BYTE << 8 | ndim


def _idx_shape(header: bytes, ndim: int, path: Path) -> tuple[int, ...]:
    if header[:4] != _magic(ndim).to_bytes(4, "big"):
        found = f"0x{header[:4].hex()}" if header else "missing"
        raise BadFile(path, f"its magic number is {found}, expected 0x{_magic(ndim):08x} (IDX, {ndim}-D bytes)")
    if len(header) < 4 + 4 * ndim:
        raise BadFile(path, "it ends inside its header")
    return struct.unpack(f">{ndim}I", header[4:])


def _read_member(archive: zipfile.ZipFile, key: str, path: Path) -> NDArray[Any]:
    name = f"{key}.npy"
    if name not in archive.namelist():
        found = [repr(each.removesuffix(".npy")[:40]) for each in archive.namelist()]
        raise BadFile(
            path, f"it holds no array {key!r}, but {', '.join(found[:6]) or 'nothing'}{', …' * (len(found) > 6)}"
        )
    info = archive.getinfo(name)
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise BadFile(path, f"{key!r} is compressed by a method that NumPy does not write")
    with archive.open(info) as stream:
        shape, fortran, dtype = _npy_header(stream, key, path)
        data = _take(stream, math.prod(shape) * dtype.itemsize, path)
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def _npy_header(stream: IO[bytes], key: str, path: Path) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    # Later versions hold headers of more than 64 kB, which a plain array has no use for.
    if np.lib.format.read_magic(stream) != (1, 0):
        raise BadFile(path, f"{key!r} is not in version 1.0 of NumPy's format")
    try:
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    except Exception as error:  # NumPy lets through whatever its tokenizer makes of a damaged text
        raise BadFile(path, f"{key!r} has a damaged header ({type(error).__name__})") from error
    if dtype.hasobject:
        raise BadFile(path, f"{key!r} is an array of Python objects; unpickling could run code, so it is refused")
    if dtype.kind not in "iu" or min(shape, default=0) < 0:
        raise BadFile(path, f"{key!r} has dtype {dtype} and shape {shape}, expected integers")
    return shape, fortran, dtype


def _take(stream: IO[bytes], size: int, path: Path) -> bytearray:
    """Read the rest of a stream, which must be `size` bytes: not one is unpacked beyond size + 1."""
    data = bytearray()
    while len(data) < size:
        chunk = stream.read(min(size - len(data), _STEP))
        if not chunk:
            raise BadFile(path, f"its header promises {size} bytes, but only {len(data)} follow")
        data += chunk
    # The read at the very end is also what makes gzip and zip compare their checksums.
    if stream.read(1):
        raise BadFile(path, f"it goes on after the {size} bytes that its header promises")
    return data
