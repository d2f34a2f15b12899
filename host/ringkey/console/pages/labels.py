"""A sheet of labels to print: for each phone its extension, its label, and a QR code of what it must be told.

What must be told is where the key server is and by which root certificate to know it: settings, which
everybody at the site may read.  No PIN and no key is on a label.
"""

from urllib.parse import quote, urlencode

from aiohttp import web

from ringkey.console.pages import filters
from ringkey.console.pages.common import ask, offset, pages
from ringkey.console.views import render

# Labels of one page: a sheet of A4, three times eight.
_LABELS = 24


async def show(request: web.Request) -> web.Response:
    """Show the labels of a search."""
    q = request.query.get("q", "").strip()[:100]
    found = await ask(request, "labels", search=q, limit=_LABELS, offset=offset(request))
    servers = found["key_servers"]
    return render(
        request,
        "labels.html",
        q=q,
        labels=[
            {
                **one,
                "server": servers[0].removeprefix("https://") if servers else "",
                "code": filters.qr(settings(one["ext"], servers, found["root"])),
            }
            for one in found["labels"]
        ],
        # Of disabled extensions there is no label, and they count all the same.
        pages=pages(request, found["total"], max(0, min(_LABELS, found["total"] - offset(request))), _LABELS),
    )


def settings(ext: str, servers: list[str], root: str) -> str:
    """Return what a code says: ringkey:EXT?server=URL&root=SHA-256 of the root certificate, in hex."""
    return f"ringkey:{quote(ext)}?" + urlencode(
        [*(("server", one) for one in servers), ("root", root)], safe=":/[]"
    )
