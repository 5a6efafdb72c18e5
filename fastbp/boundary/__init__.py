"""The boundary between callers and kernels: arrays and other arguments are checked here, once."""
