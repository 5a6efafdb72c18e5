"""Where fastbp keeps what it can get again."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return the folder of FASTBP_CACHE_DIR, or else the system's cache folder for fastbp; it need not exist."""
    named = os.environ.get("FASTBP_CACHE_DIR")
    if named:
        return Path(os.path.expanduser(named))
    import pooch

    return Path(pooch.os_cache("fastbp"))
