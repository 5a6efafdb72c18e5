"""Loops over C-contiguous arrays into the caller's outputs. Imported as `fastbp.kernels`, under no other name."""

if __name__ != "fastbp.kernels":
    # A second copy under another name would be compiled and cached a second time.
    raise ImportError("this package is fastbp.kernels: write `import fastbp.kernels`, not `import kernels`")
