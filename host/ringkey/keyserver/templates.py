"""Dynamic files: a template, filled for one extension, model or group.

The variables come from one TOML file, the more particular ones in front:

    [all]                   for everybody
    [model.T40]             for that model
    [group.reception]       for that group
    [extension.1001]        for that extension; its "model" and "group" say where it belongs

Templates are Jinja2's, in its sandbox: an administrator writes them, yet what stands in one should
not reach this process.  A variable that is not there is an error, never an empty line in a file.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import BaseLoader, Environment, StrictUndefined, TemplateError, TemplateNotFound
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ringkey.keyserver.content import ContentError
from ringkey.keyserver.tree import NotThereError, Tree

# Octets.  The settings of a phone are some hundred lines.
MAX_TEMPLATE = 1 << 16
MAX_RENDERED = 1 << 18
# Octets of the variables: 10,000 extensions with five lines each.
MAX_VARIABLES = 4 << 20


class Variables:
    """The variables' file, read again whenever it has changed.  path: None for no variables."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._seen: tuple[int, ...] = ()
        self._content: Mapping[str, Any] = {}

    def of(self, ext: str | None, model: str | None, group: str | None) -> dict[str, Any]:
        """Return what a template is filled with: the variables, and ext, model and group themselves.

        Raises ContentError for a file that is wrong.
        """
        content = self._load()
        own: Mapping[str, Any] = {}
        if ext is not None:
            own = self._table(content, "extension", ext)
            model = own.get("model", model)
            group = own.get("group", group)
        found: dict[str, Any] = dict(self._table(content, "all"))
        if model is not None:
            found.update(self._table(content, "model", model))
        if group is not None:
            found.update(self._table(content, "group", group))
        found.update(own)
        found.update(ext=ext, model=model, group=group)
        return found

    def _table(self, content: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
        for name in names:
            found = content.get(name, {})
            if not isinstance(found, dict):
                raise ContentError(f"{self._path}: {'.'.join(names)} is not a table")
            content = found
        return content

    def _load(self) -> Mapping[str, Any]:
        if self._path is None:
            return {}
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return {}
        except OSError as e:
            raise ContentError(f"{self._path}: {e.strerror}") from None
        seen = (found.st_mtime_ns, found.st_size, found.st_ino)
        if seen != self._seen:
            try:
                with self._path.open("rb") as file:
                    data = file.read(MAX_VARIABLES + 1)
                if len(data) > MAX_VARIABLES:
                    raise ContentError(f"{self._path} has over {MAX_VARIABLES} octets")
                self._content = tomllib.loads(data.decode())
            except (OSError, ValueError) as e:
                # The text of a TOML error names a line and no value.
                raise ContentError(f"{self._path}: {e}") from None
            self._seen = seen
        return self._content


class Templates:
    """The templates of a site; `render` blocks for as long as a template takes."""

    def __init__(self, directory: Path, variables: Path | None) -> None:
        self._variables = Variables(variables)
        self._environment: Environment = ImmutableSandboxedEnvironment(
            loader=_Loader(Tree(directory)),
            undefined=StrictUndefined,
            autoescape=False,  # settings for phones, not pages for browsers
            keep_trailing_newline=True,
        )

    def render(
        self, name: str, *, ext: str | None, model: str | None, group: str | None, site: Mapping[str, Any]
    ) -> bytes:
        """Return the file made of template `name`.

        site: more variables, under the name "site".  Raises NotThereError, ContentError.
        """
        values = self._variables.of(ext, model, group)
        try:
            template = self._environment.get_template(name)
        except TemplateNotFound as e:
            if e.name == name:
                raise NotThereError from None
            raise ContentError(f"template {name}: no template {e.name}") from None
        except TemplateError as e:
            raise ContentError(f"template {name}: {e}") from None
        out: list[str] = []
        size = 0
        try:
            for piece in template.generate({**values, "site": site}):
                size += len(piece)
                if size > MAX_RENDERED:
                    raise ContentError(f"template {name}: it fills over {MAX_RENDERED} characters")
                out.append(piece)
        except ContentError:
            raise
        except Exception as e:
            # Whatever a template does wrong, from a missing variable to a division by zero.  The
            # text names what is missing; a value can be in the text of other errors only.
            text = str(e) if isinstance(e, TemplateError) else type(e).__name__
            raise ContentError(f"template {name}: {text}") from None
        return "".join(out).encode()


def check(text: str) -> str | None:
    """Return why a text is no template, None where it is one; what it needs to be filled shows when it is."""
    if len(text) > MAX_TEMPLATE:
        return f"over {MAX_TEMPLATE} characters"
    try:
        ImmutableSandboxedEnvironment(autoescape=False).parse(text)
    except TemplateError as e:
        line = getattr(e, "lineno", None)
        return str(e) if line is None else f"line {line}: {e}"
    return None


class _Loader(BaseLoader):
    """Templates from a Tree: what cannot be a file for phones cannot be included either."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def get_source(self, environment: Environment, template: str) -> tuple[str, None, Any]:
        """Return (text, None, whether it is still the same)."""
        try:
            file = self._tree.open(template)
            try:
                version = file.version
            finally:
                file.close()
            text = self._tree.read(template, MAX_TEMPLATE).decode()
        except NotThereError:
            raise TemplateNotFound(template) from None
        except UnicodeDecodeError:
            raise ContentError(f"template {template} is not UTF-8") from None

        def same() -> bool:
            try:
                now = self._tree.open(template)
            except (NotThereError, ContentError):
                return False
            try:
                return now.version == version
            finally:
                now.close()

        return text, None, same
