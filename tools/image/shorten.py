"""Gives a phone's modules short names inside, for the sake of its heap (docs/memory.md).

MicroPython keeps every name that is not a local variable in the heap for good: of a method, an
attribute, a global, a parameter.  The longer half of them nobody outside of a module can see.
Here those get names of one or two letters, which modules share:

- names that begin with one underscore and are defined in the module;
- a module's own names without one that nothing outside of the module mentions: a constant of
  which that is true vanishes altogether;
- parameters that no call in the whole tree names.

The lines stay as they are.  The same sources have the same short names; `tools/names.py` prints
them, for whoever reads a traceback of a phone.
"""

import ast
import io
import itertools
import string
import tokenize
from collections.abc import Iterator, Mapping

from image import prune

_LETTERS = string.ascii_letters
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_Function = ast.FunctionDef | ast.AsyncFunctionDef


class Tree:
    """The modules that come together on a phone.  sources: dotted name -> source; main: see above."""

    def __init__(self, sources: Mapping[str, str], main: str = "") -> None:
        self._modules = {name: ast.parse(source, name) for name, source in sources.items()}
        self._sources = sources
        self._keywords = {
            word.arg
            for module in self._modules.values()
            for node in ast.walk(module)
            if isinstance(node, ast.Call)
            for word in node.keywords
            if word.arg is not None
        }
        self._families = self._find_families()
        self._mentioned = {
            name: prune.mentions(module) for name, module in (*self._modules.items(), ("", ast.parse(main)))
        }
        self._check()

    def names(self, name: str) -> dict[str, str]:
        """Return the private names of a module: as they are -> as they are shortened."""
        family = [self._modules[one] for one in self._families[name]]
        private = set().union(*(_private(module) for module in family))
        hidden = _globals(self._modules[name]) - set().union(*self._mentioned.values())
        taken = set().union(*(_identifiers(module) for module in family))
        free = (short for short in _shorts("_") if short not in taken)
        # Sorted, so that it does not depend on the order in which a set comes; private names first,
        # which all of a family have in common.
        return {long: next(free) for long in (*sorted(private), *sorted(hidden)) if len(long) > 2}

    def shorten(self, name: str) -> str:
        """Return a module's source with its names shortened."""
        module = self._modules[name]
        names = self.names(name)
        renamed: dict[tuple[int, int], str] = {}
        for function in ast.walk(module):
            if isinstance(function, _FUNCTIONS) and not _nests(function):
                renamed.update(self._parameters(function))
        lines = self._sources[name].splitlines(keepends=True)
        tokens = list(tokenize.generate_tokens(io.StringIO(self._sources[name]).readline))
        for token in reversed(tokens):
            if token.type != tokenize.NAME:
                continue
            row, column = token.start
            new = renamed.get((row, column)) or names.get(token.string)
            if new is not None:
                line = lines[row - 1]
                lines[row - 1] = line[:column] + new + line[token.end[1] :]
        return "".join(lines)

    def _parameters(
        self, function: "ast.FunctionDef | ast.AsyncFunctionDef"
    ) -> "Iterator[tuple[tuple[int, int], str]]":
        """Yield ((row, column), new name) for each place where a parameter's name stands."""
        arguments = function.args
        parameters = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        parameters += [one for one in (arguments.vararg, arguments.kwarg) if one is not None]
        taken = _identifiers(function)
        free = (short for short in _shorts("") if short not in taken)
        new = {
            one.arg: next(free)
            for one in parameters
            if len(one.arg) > 2 and one.arg != "self" and one.arg not in self._keywords
        }
        for one in parameters:
            if one.arg in new:
                yield (one.lineno, one.col_offset), new[one.arg]
        for node in ast.walk(function):
            if isinstance(node, ast.Name) and node.id in new:
                yield (node.lineno, node.col_offset), new[node.id]

    def _find_families(self) -> dict[str, list[str]]:
        """Return the modules whose classes derive from each other's: their attributes share an object."""
        family = {name: {name} for name in self._modules}
        for name, module in self._modules.items():
            origin = {
                alias.asname or alias.name: node.module
                for node in ast.walk(module)
                if isinstance(node, ast.ImportFrom)
                for alias in node.names
            }
            for node in ast.walk(module):
                if isinstance(node, ast.ClassDef):
                    for base in node.bases:
                        other = origin.get(base.id) if isinstance(base, ast.Name) else None
                        if other in family and family[other] is not family[name]:
                            family[name] |= family[other]
                            for one in family[name]:
                                family[one] = family[name]
        return {name: sorted(members) for name, members in family.items()}

    def _check(self) -> None:
        """See to it that no module uses what is private to another; raises ValueError."""
        own = {name: _private(module) for name, module in self._modules.items()}
        functions = {
            node.name
            for module in self._modules.values()
            for node in ast.walk(module)
            if isinstance(node, (*_FUNCTIONS, ast.ClassDef))
        }
        for name, module in self._modules.items():
            related = set().union(*(own[one] for one in self._families[name]))
            elsewhere = set().union(*own.values()) - related
            for node in ast.walk(module):
                used = node.attr if isinstance(node, ast.Attribute) else None
                if used in elsewhere:
                    raise ValueError(f"{name} uses {used}, which is private to another module")
                if isinstance(node, ast.Call) and any(word.arg is None for word in node.keywords):
                    called = getattr(node.func, "id", getattr(node.func, "attr", None))
                    if called is None or called in functions:
                        raise ValueError(f"{name} calls {called} with **: nobody can tell with which names")


def _globals(module: ast.Module) -> set[str]:
    """Return the names that a module's own statements, functions and classes give to the outside."""
    found: set[str] = set()
    for node in module.body:
        if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                found.update(one.id for one in ast.walk(target) if isinstance(one, ast.Name))
    return {name for name in found if not name.startswith("_")}


def _shorts(start: str) -> Iterator[str]:
    for length in (1, 2):
        for letters in itertools.product(_LETTERS, repeat=length):
            yield start + "".join(letters)


def _private(module: ast.AST) -> set[str]:
    """Return the private names that a module defines, and that no text in it may stand for."""
    found: set[str] = set()
    texts: set[str] = set()
    imported: set[str] = set()
    for node in ast.walk(module):
        if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
        elif isinstance(node, ast.alias):
            imported.update(node.name.split("."))  # such as _thread, which is MicroPython's
            if node.asname:
                found.add(node.asname)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("_"):
            texts.add(node.value)
    return {
        name
        for name in found - imported
        if name.startswith("_") and not name.startswith("__") and not any(name.startswith(t) for t in texts)
    }


def _identifiers(tree: ast.AST) -> set[str]:
    """Return every name that stands anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(tree):
        for field in ("id", "attr", "arg", "name", "asname", "module"):
            value = getattr(node, field, None)
            if isinstance(value, str):
                found.update(value.split("."))
    return found


def _nests(function: ast.AST) -> bool:
    """Tell whether a function has another, a class or a lambda in it: then its names are let be."""
    inner = (*_FUNCTIONS, ast.ClassDef, ast.Lambda, ast.Global, ast.Nonlocal)
    return any(isinstance(node, inner) for node in ast.walk(function) if node is not function)
