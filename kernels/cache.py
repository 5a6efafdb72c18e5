"""Where compiled kernels are kept, under the name by which scripts of before the rooms import it."""

from fastbp.kernels.build.cache import cache_folder

__all__ = ["cache_folder"]
