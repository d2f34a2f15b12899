"""Takes modules out of the heap that are needed for a while only (docs/memory.md).

A module read from the file system lives in the heap.  Whoever lets one go imports it in a
function, keeps no class and no function of it, and calls this when it is done; the next
collection takes it, and the next import reads it again.
"""

import sys


def unload(names: str) -> None:
    """Forget the modules `names`, dotted, a space between two; those that are not loaded are passed over."""
    for name in names.split(" "):
        if sys.modules.pop(name, None) is not None:
            dot = name.rfind(".")
            # A package refers to its modules, too.
            package = sys.modules.get(name[:dot])
            if package is not None and hasattr(package, name[dot + 1 :]):
                delattr(package, name[dot + 1 :])
