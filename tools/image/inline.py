"""Puts a module's constants where other modules use them, for the sake of the phone's heap.

mpy-cross does so within a module: what is `NAME = const(7)` there is a 7 in its bytecode.  What
another module imports stays a name, in three tables of the heap.  Here the import goes, and
each use becomes the number.  The lines stay as they are.
"""

import ast
from collections.abc import Iterator, Mapping

# (row, column, end row, end column) -> what stands there instead
Edits = dict[tuple[int, int, int, int], str]

_CONST = "ras.compat.const"


def inline_all(sources: Mapping[str, str]) -> dict[str, str]:
    """Return modules (dotted name -> source) with each other's constants in place."""
    modules = {name: ast.parse(source, name) for name, source in sources.items()}
    constants = {name: dict(_constants(module)) for name, module in modules.items()}
    return {name: _edited(source, _edits(modules[name], constants)) for name, source in sources.items()}


def _constants(module: ast.Module) -> "Iterator[tuple[str, int]]":
    """Yield the whole numbers that a module declares by const()."""
    known: dict[str, int] = {}
    for node in module.body:
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
            continue
        call = node.value
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "const":
            code = compile(ast.Expression(call.args[0]), "const", "eval")
            try:
                value = eval(code, {"__builtins__": {}}, dict(known))  # noqa: S307  (our own source)
            except (NameError, TypeError):
                continue
            if isinstance(value, int):
                known[node.targets[0].id] = value
                yield node.targets[0].id, value


def _edits(module: ast.Module, constants: "Mapping[str, Mapping[str, int]]") -> Edits:
    stored = {
        node.id for node in ast.walk(module) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    stored |= {node.arg for node in ast.walk(module) if isinstance(node, ast.arg)}
    edits: Edits = {}
    values: dict[str, int] = {}
    modules: dict[str, str] = {}
    for node in ast.walk(module):
        if not isinstance(node, ast.ImportFrom) or node.module is None:
            continue
        kept = []
        for alias in node.names:
            if f"{node.module}.{alias.name}" in constants:
                modules[alias.asname or alias.name] = f"{node.module}.{alias.name}"
            value = constants.get(node.module, {}).get(alias.name)
            if f"{node.module}.{alias.name}" == _CONST:
                pass  # the compiler knows it by its name, and folds it away
            elif value is None or alias.asname or alias.name in stored:
                kept.append(alias.name + (f" as {alias.asname}" if alias.asname else ""))
            else:
                values[alias.name] = value
        if len(kept) < len(node.names):
            statement = f"from {node.module} import {', '.join(kept)}" if kept else "pass"
            rows = node.end_lineno - node.lineno if node.end_lineno else 0
            edits[_place(node)] = statement + "\n" * rows
    for node in ast.walk(module):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in values:
            edits[_place(node)] = _literal(values[node.id])
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            origin = modules.get(node.value.id) if node.value.id not in stored else None
            value = constants.get(origin or "", {}).get(node.attr)
            if value is not None:
                edits[_place(node)] = _literal(value)
    return edits


def _literal(value: int) -> str:
    return str(value) if value >= 0 else f"({value})"


def _place(node: "ast.stmt | ast.expr") -> tuple[int, int, int, int]:
    return node.lineno, node.col_offset, node.end_lineno or node.lineno, node.end_col_offset or 0


def _edited(source: str, edits: Edits) -> str:
    lines = source.splitlines(keepends=True)
    for (row, column, end_row, end_column), new in sorted(edits.items(), reverse=True):
        # The parser counts octets, this counts characters.
        if not all(line.isascii() for line in lines[row - 1 : end_row]):
            raise ValueError(f"not in ASCII: {lines[row - 1]!r}")
        last = lines[end_row - 1][end_column:]
        text = lines[row - 1][:column] + new + last
        lines[row - 1 : end_row] = text.splitlines(keepends=True)
    return "".join(lines)
