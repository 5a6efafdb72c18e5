"""MNIST from a public mirror into fastbp's cache. Nothing gets there before it has proved to be MNIST."""

import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from fastbp.datasets.idx import BadFile
from fastbp.datasets.mnist_files import NAMES, NPZ_NAME, WHERE_TO_PUT, Arrays, FileSet, verified_arrays
from fastbp.kernels.build.folder import NO_HOME, is_nowhere, new_folder_mode
from fastbp.kernels.build.trusted import trusted_folder

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

# An npz file, or a folder of the four gzipped files.
MIRRORS = (
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
TIMEOUT = (10.0, 30.0)  # seconds: to connect, and between two pieces of the answer
LARGEST = 64 << 20  # bytes; MNIST unpacked is 55 million


def download(folder: Path) -> Arrays:
    """Return MNIST's arrays from the first mirror that has them, and keep its files in `folder`.

    Warns when they cannot be kept. Raises ConnectionError when every mirror fails.
    """
    own = os.environ.get("FASTBP_MNIST_URL")
    failures = []
    with _workspace(folder) as name:
        for mirror in (own, *MIRRORS) if own else MIRRORS:
            try:
                files = _fetch(mirror, Path(name))
                arrays = verified_arrays(files)
            except (OSError, ValueError) as error:
                failures.append(f"\n  {mirror}: {_cause(error)}")
            else:
                _keep(files, folder)
                return arrays
    raise ConnectionError(
        f"MNIST could not be downloaded:{';'.join(failures)}.\n"
        f"Without a connection: {WHERE_TO_PUT}. load_digits() needs no download."
    )


def _workspace(folder: Path) -> tempfile.TemporaryDirectory[str]:
    """Make the folder that a download fills: beside its goal, so that moving a file there is atomic."""
    try:
        trusted_folder(folder, make=new_folder_mode("mnist"))
        return tempfile.TemporaryDirectory(prefix=".download-", dir=folder, ignore_cleanup_errors=True)
    except OSError:
        return tempfile.TemporaryDirectory(prefix="fastbp-", ignore_cleanup_errors=True)


def _fetch(mirror: str, folder: Path) -> FileSet:
    import pooch

    if mirror.endswith(".npz"):
        urls = {NPZ_NAME: mirror}
    else:
        urls = {f"{name}.gz": f"{mirror.rstrip('/')}/{name}.gz" for name in NAMES}
    for name, url in urls.items():
        with (folder / name).open("wb") as file, _progress(name) as bar:
            get = pooch.HTTPDownloader(
                progressbar=bar,
                chunk_size=1 << 16,
                timeout=TIMEOUT,
                # Or else a server may unpack the file on its way, and its length is no longer the header's.
                headers={"Accept-Encoding": "identity"},
            )
            get(url, _Capped(file), None)
    return tuple(folder / name for name in urls)


def _keep(files: FileSet, folder: Path) -> None:
    try:
        trusted_folder(folder, make=new_folder_mode("mnist"))
        for file in files:
            os.replace(file, folder / file.name)
    except OSError as error:
        where = f"({NO_HOME})" if is_nowhere(folder) else f"in {folder} ({error.strerror})"
        warnings.warn(
            f"MNIST could not be kept {where}, so the next call downloads it again; "
            "FASTBP_CACHE_DIR can name a folder that can be written",
            stacklevel=5,  # the caller of load_mnist
        )


def _cause(error: Exception) -> str:
    """Say in a few words why a mirror failed: requests wraps the reason in three layers of its own words."""
    if isinstance(error, BadFile):
        return f"{error.path.name}: {error.reason}"
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP {response.status_code} {response.reason}"
    root: BaseException = error
    while (inner := root.__cause__ or root.__context__) is not None:
        root = inner
    return str(root) or type(root).__name__


class _Capped:
    """The file that a download writes to, closed to a server that never stops."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, data: bytes) -> None:
        if self._file.tell() + len(data) > LARGEST:
            raise ValueError(f"it sent more than {LARGEST >> 20} MiB")
        self._file.write(data)

    def flush(self) -> None:
        self._file.flush()


class _Bar:
    """What pooch expects of a progress bar."""

    total = 0

    def __init__(self, progress: "Progress", task: "TaskID") -> None:
        self._progress = progress
        self._task = task

    def update(self, size: int) -> None:
        self._progress.update(self._task, advance=size, total=self.total or None)

    def reset(self) -> None:
        self._progress.update(self._task, completed=0)

    def close(self) -> None:
        self._progress.refresh()


@contextmanager
def _progress(name: str) -> Iterator[_Bar | None]:
    if sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield _Bar(progress, progress.add_task(name, total=None))
