"""Makes a phone's modules smaller without changing what they do: the three steps of it, in order."""

from collections.abc import Mapping

from image import inline, prune, shorten


def slim_all(sources: Mapping[str, bytes], main: bytes) -> dict[str, bytes]:
    """Return modules, path -> source, all that come together on a phone, as they go into its image.

    main: the program that starts them, which stays as it is.  The same sources give the same octets.
    """
    tree = _tree(sources, main)
    return {path: tree.shorten(_dotted(path)).encode() for path in sources}


def names(sources: Mapping[str, bytes], main: bytes) -> dict[str, dict[str, str]]:
    """Return what slim_all() calls things: dotted name of a module -> name -> short name."""
    tree = _tree(sources, main)
    return {_dotted(path): tree.names(_dotted(path)) for path in sources}


def _tree(sources: Mapping[str, bytes], main: bytes) -> shorten.Tree:
    texts = {_dotted(path): source.decode() for path, source in sources.items()}
    return shorten.Tree(prune.prune_all(inline.inline_all(texts), main.decode()), main.decode())


def _dotted(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
