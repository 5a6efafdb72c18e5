"""Where the sources of the package and its kernels lie, and the kernels that are defined there."""

import ast
from pathlib import Path

import fastbp

PACKAGE = Path(fastbp.__file__).parent
KERNELS = Path(__import__("fastbp.kernels", fromlist=["x"]).__file__).parent


def is_kernel(node: ast.AST) -> bool:
    kinds = {"kernel", "optimizer_step"}
    return isinstance(node, ast.FunctionDef) and any(ast.unparse(d).split("(")[0] in kinds for d in node.decorator_list)


def kernel_functions() -> list[tuple[str, ast.FunctionDef]]:
    files = sorted(KERNELS.rglob("*.py"))
    return [(file.name, node) for file in files for node in ast.parse(file.read_text()).body if is_kernel(node)]
