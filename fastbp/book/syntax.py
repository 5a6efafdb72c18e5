"""Normal forms of Python definitions: what is equal in them does the same, whatever its comments and layout."""

import ast
import hashlib
from collections.abc import Iterable, Iterator


def digest(node: ast.AST) -> str:
    """16 hexadecimal digits of a definition's normal form.

    Left out are comments, docstrings, annotations, parentheses and layout; `not a is b` is `a is not b`, and
    `class A(object)` is `class A`. The same in every release of Python.
    """
    return hashlib.sha256(_text(node).encode()).hexdigest()[:16]


def digests(text: str) -> dict[str, str]:
    """The digest of each function, class and assignment at the top level of a module's text, by name."""
    found = {}
    for statement in ast.parse(text).body:
        match statement:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.Assign(targets=[ast.Name(id=name)]):
                found[name] = digest(statement)
    return found


def names_in(node: ast.AST) -> set[str]:
    """The names that a definition takes from its module or from Python, when it is made or when it runs."""
    loaded: set[str] = set()
    own: set[str] = set()
    for each in ast.walk(node):
        if isinstance(each, ast.Name):
            (loaded if isinstance(each.ctx, ast.Load) else own).add(each.id)
        elif isinstance(each, ast.arg):
            own.add(each.arg)
    return loaded - own


def _text(node: object) -> str:
    if isinstance(node, ast.AST):
        node = _simpler(node)
        fields = ((name, value) for name, value in _fields(node) if value is not None and value != [])
        return f"{type(node).__name__}({','.join(f'{name}={_text(value)}' for name, value in fields)})"
    if isinstance(node, list):
        return f"[{','.join(map(_text, node))}]"
    return f"{type(node).__name__}:{node!r}"


def _simpler(node: ast.AST) -> ast.AST:
    """The node, or another that means the same."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not) and isinstance(node.operand, ast.Compare):
        compare = node.operand
        if len(compare.ops) == 1 and isinstance(compare.ops[0], ast.Is | ast.In):
            negated = ast.IsNot() if isinstance(compare.ops[0], ast.Is) else ast.NotIn()
            return ast.Compare(compare.left, [negated], compare.comparators)
    if isinstance(node, ast.ClassDef) and [ast.unparse(base) for base in node.bases] == ["object"]:
        return ast.ClassDef(node.name, [], node.keywords, node.body, node.decorator_list)
    if isinstance(node, ast.AnnAssign) and node.value is not None:
        return ast.Assign([node.target], node.value)
    return node


def _fields(node: ast.AST) -> Iterator[tuple[str, object]]:
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "type_comment", "kind", "type_params", "ctx"):
            continue
        if name == "body" and isinstance(node, ast.FunctionDef | ast.ClassDef):
            value = list(_without_docstring(node.body))
        yield name, value


def _without_docstring(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    for index, statement in enumerate(body):
        if index == 0 and isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue
        yield statement
