"""What the QR codes of labels say, read off the sheet by a decoder that is not ours (zxing-cpp).

docs/console.md: `ringkey:EXT?server=URL&root=SHA-256`, settings that everybody at the site may read.
"""

import hashlib
import io
import socket
import ssl
from urllib.parse import parse_qs, urlsplit

import pytest
from loadgen import keys as keysets

FIRST, COUNT = 5100, 30
# Of one page (console/pages/labels.py); of the site's, one extension is disabled and has no label.
ON_A_SHEET = 24
DISABLED = str(FIRST + 3)
# PINs of the most digits there may be: shorter ones could stand in a SHA-256 by chance.
PINS = {str(FIRST + i): f"73519460825317{i:02}" for i in range(COUNT)}
# A4 within the margins of the style sheet (8 mm), in pixels of CSS; and a printer of 300 points an inch.
PAPER = (round((210 - 16) / 25.4 * 96), round((297 - 16) / 25.4 * 96))
PRINTER = 300 / 96


@pytest.fixture(scope="module")
def issued(world):
    """Extensions with labels that try to get into the code, and the keys that their phones have."""
    rows = [f'{ext},{pin},"&pin={pin}#{ext} ÄÖ"' for ext, pin in PINS.items()]
    world.ringkey("extension", "import", "-", typed="\n".join(rows))
    world.ringkey("extension", "disable", DISABLED)
    named = {ext: pin for ext, pin in PINS.items() if ext != DISABLED}
    keys = keysets.fetch(world.bench.keyserver.ports["files"], world.site / "ca" / "root.crt", named)
    return {one.ext: one for one in keys}


@pytest.mark.parametrize(
    "sheet",
    [
        ("print", {"size": PAPER, "pixels": PRINTER}),
        ("screen", {"size": (1280, 860), "scheme": "light"}),
        ("screen", {"size": (360, 740), "scheme": "dark", "pixels": 2}),
    ],
    ids=["paper", "screen", "telephone-dark"],
)
def test_a_code_says_its_settings_and_no_secret(visit, world, administrator, issued, sheet):
    """Each label of the sheet has one code, of its own extension, with these settings and nothing else."""
    media, window = sheet
    page = visit(**window).log_in(administrator).page
    page.emulate_media(media=media)
    found = {}
    for path in (f"/labels?q={FIRST // 100}", f"/labels?q={FIRST // 100}&from={ON_A_SHEET}"):
        page.goto(path)
        page.evaluate("document.fonts.ready")
        labels = page.locator("#sheet li").all()
        assert labels
        for label in labels:
            ext = label.locator(".ext").inner_text()
            assert ext not in found
            found[ext] = decoded(label.screenshot(scale="device"))
    assert sorted(found) == sorted(issued)
    servers, root = promised(world)
    said = "&".join(f"server={one}" for one in servers)
    for ext, text in found.items():
        url = urlsplit(text)
        assert (url.scheme, url.netloc, url.path, url.fragment) == ("ringkey", "", ext, "")
        settings = parse_qs(url.query, keep_blank_values=True, strict_parsing=True)
        assert settings == {"server": servers, "root": [root]}
        assert text == f"ringkey:{ext}?{said}&root={root}"  # in this order, with nothing between
        assert PINS[ext] not in text
        for secret in (issued[ext].ka, issued[ext].kg):
            assert secret.hex() not in text.lower()


def promised(world):
    """Return (URLs of the key server by each of its names, the root certificate's SHA-256), from the site.

    Each of them is where that root certificate is the right one: what a code says leads to the key server.
    """
    root = world.site / "ca" / "root.crt"
    tls = ssl.create_default_context(cafile=str(root))
    port = world.bench.keyserver.ports["files"]
    names = ("127.0.0.1", "localhost")  # sites.make
    for name in names:
        with (
            socket.create_connection((name, port), timeout=10) as plain,
            tls.wrap_socket(plain, server_hostname=name) as channel,
        ):
            assert channel.version() is not None
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(root.read_text())).hexdigest()
    return [f"https://{name}:{port}" for name in names], digest


def decoded(png):
    """Return what the only code of a picture says; as a reader would, dark on light and upright."""
    image = pytest.importorskip("PIL.Image", reason="no Pillow: pip install '.[browser]'")
    zxing = pytest.importorskip("zxingcpp", reason="no zxing-cpp: pip install '.[browser]'")
    with image.open(io.BytesIO(png)) as picture:
        found = zxing.read_barcodes(picture.convert("L"), try_rotate=False, try_invert=False)
    assert [one.format for one in found] == [zxing.BarcodeFormat.QRCode], "not one QR code"
    return found[0].text
