"""Word of kernels that are compiled: a first run takes seconds that no later one does."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from fastbp.kernels.build import cache

COMPILING = "compiling the kernels: once, for up to a minute, then they are kept"


@contextmanager
def says_it_compiles(say: Callable[[str], object]) -> Iterator[None]:
    """A block in which the first kernel that is compiled is announced: a first training step takes some seconds."""
    with ExitStack() as watch:

        def tell(kernel: str) -> None:
            watch.close()  # once is enough
            say(COMPILING)

        watch.enter_context(cache.watching(tell))
        yield
