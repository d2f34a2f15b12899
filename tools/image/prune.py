"""Leaves out of a phone's modules what nothing on a phone uses, for the sake of its heap.

The core has one copy for both sides: some functions and tables of a module that a phone has are the
gatekeeper's alone.  Only what a module defines at its outermost level goes, and only where no
module of the phone mentions its name in any way.  With it go the methods `__repr__`, which are for
tests and logs: a phone prints no object, and what MicroPython shows instead has no member of it.
The lines stay as they are.
"""

import ast
from collections.abc import Iterator, Mapping

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
# What a table may consist of: making it has no effect but the table.
_INERT = (
    *(ast.Constant, ast.Tuple, ast.List, ast.Dict, ast.Name, ast.BinOp, ast.UnaryOp),
    *(ast.Load, ast.operator, ast.unaryop),
)


def prune_all(sources: Mapping[str, str], main: str) -> dict[str, str]:
    """Return the modules (dotted name -> source) that start from `main`, without what none of them uses."""
    found = dict(sources)
    while True:
        modules = {name: ast.parse(source, name) for name, source in found.items()}
        elsewhere = {name: mentions(module) for name, module in (*modules.items(), ("", ast.parse(main)))}
        pruned = {}
        for name, module in modules.items():
            others = set().union(*(words for other, words in elsewhere.items() if other != name))
            pruned[name] = _without(found[name], [*_unused(module, others), *_reprs(module)])
        if pruned == found:
            return found
        found = pruned


def mentions(module: ast.AST) -> set[str]:
    """Return the names by which a module may reach into another: imported, of attributes, in texts."""
    found: set[str] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                found.update(alias.name.split("."))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
    return found


def _unused(module: ast.Module, elsewhere: set[str]) -> "Iterator[ast.stmt]":
    attributes = {node.attr for node in ast.walk(module) if isinstance(node, ast.Attribute)}
    texts = {node.value for node in ast.walk(module) if isinstance(node, ast.Constant)}
    for statement in module.body:
        name = _defines(statement)
        if name is None or name in elsewhere or name in attributes or name in texts:
            continue
        rest = (node for other in module.body if other is not statement for node in ast.walk(other))
        if not any(isinstance(node, ast.Name) and node.id == name for node in rest):
            yield statement


def _reprs(module: ast.Module) -> "Iterator[ast.stmt]":
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef) and len(node.body) > 1:
            for statement in node.body:
                if isinstance(statement, ast.FunctionDef) and statement.name == "__repr__":
                    yield statement


def _defines(statement: ast.stmt) -> "str | None":
    """Return the one name that a statement defines, if it does nothing else."""
    if isinstance(statement, _DEFINITIONS):
        return None if statement.decorator_list else statement.name
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target, value = statement.targets[0], statement.value
        if isinstance(target, ast.Name) and all(isinstance(node, _INERT) for node in ast.walk(value)):
            return target.id
    return None


def _without(source: str, statements: "list[ast.stmt]") -> str:
    lines = source.splitlines(keepends=True)
    for statement in statements:
        for row in range(statement.lineno - 1, statement.end_lineno or statement.lineno):
            lines[row] = "\n"
    return "".join(lines)
