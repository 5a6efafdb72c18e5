"""How kernels become machine code: decorators, Numba's front end, LLVM, the disk cache, several processes."""
