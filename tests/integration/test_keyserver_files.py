"""Static, dynamic and sealed files as a phone gets them; and everything that must not get one."""

import contextlib
import hashlib
import os
import socket
import ssl
import threading
import time
from email.utils import formatdate
from http.client import HTTPException, HTTPSConnection

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keyserver_client import Client, kg_of, request
from ras import keys, sealedfile
from sites import seed_of

SERVE = ("keyserver", "serve")
SECRET = b"NOBODY-MAY-READ-THIS"
IMAGE = b"".join(hashlib.sha256(i.to_bytes(4, "big")).digest() for i in range(4096 * 5))  # 640 KiB


def fill(site):
    """Put files, traps and templates into a site."""
    files, templates = site / "files", site / "templates"
    (files / "firmware").mkdir()
    (files / "firmware" / "one.bin").write_bytes(IMAGE)
    (files / "hello.txt").write_text("hello\n")
    (files / "empty").write_bytes(b"")
    (site / "secret.txt").write_bytes(SECRET)
    (files / ".hidden").write_bytes(SECRET)
    (files / "out").symlink_to(site)
    (files / "out.txt").symlink_to(site / "secret.txt")
    (files / "firmware" / "up").symlink_to("../..")
    (files / "loop").symlink_to("loop")
    os.mkfifo(files / "fifo")
    (templates / "phone.cfg").write_text(
        "name={{ name }}\nntp={{ ntp }}\next={{ ext }} {{ model }} {{ group }}\n"
        "{% for g in site.gatekeepers %}gk={{ g }}\n{% endfor %}"
    )
    (templates / "wifi.cfg").write_text("{% include 'part.inc' %}key={{ wifi }}\n")
    (templates / "part.inc").write_text("# for {{ ext }}\n")
    (templates / "out.cfg").symlink_to(site / "secret.txt")
    (templates / "bad.cfg").write_text("{% include '../secret.txt' %}")
    (templates / "escape.cfg").write_text("{{ ''.__class__.__mro__[1].__subclasses__() }}")
    (templates / "huge.cfg").write_text(
        "{% for i in range(99999) %}{% for j in range(9) %}xxxxxxxx{% endfor %}{% endfor %}"
    )
    (site / "variables.toml").write_text(
        '[all]\nntp = "192.0.2.1"\nname = "nobody"\n[model.T40]\nname = "a T40"\n'
        '[group.desk]\nntp = "192.0.2.2"\n'
        '[extension.100]\nmodel = "T40"\ngroup = "desk"\nname = "Front desk"\nwifi = "hunter2"\n'
    )


@pytest.fixture
def client(site, run_service, configure):
    fill(site)
    configure(site, ("sealed = []", 'sealed = ["settings/wifi*"]'))
    return Client(run_service(site, *SERVE))


def get(client, path, method="GET", **fields):
    """Return (status, headers, octets)."""
    connection = HTTPSConnection("localhost", client.ports["files"], context=client.phone, timeout=10)
    try:
        connection.request(method, path, headers={k.replace("_", "-"): v for k, v in fields.items()})
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


# ---- static files, conditions, ranges


def test_a_static_file_and_its_conditions(client):
    status, headers, body = get(client, "/files/firmware/one.bin")
    assert (status, body) == (200, IMAGE)
    assert headers["Accept-Ranges"] == "bytes"
    assert headers["Cache-Control"] == "private, no-cache"
    tag, date = headers["ETag"], headers["Last-Modified"]
    status, headers, body = get(client, "/files/firmware/one.bin", "HEAD")
    assert (status, int(headers["Content-Length"]), body) == (200, len(IMAGE), b"")
    long_ago = formatdate(0, usegmt=True)
    for fields, wanted in (
        ({"If_None_Match": tag}, 304),
        ({"If_None_Match": f'"x", W/{tag}'}, 304),
        ({"If_None_Match": "*"}, 304),
        ({"If_None_Match": '"x"'}, 200),
        ({"If_None_Match": '"x"', "If_Modified_Since": date}, 200),  # the tag is in front
        ({"If_Modified_Since": date}, 304),
        ({"If_Modified_Since": long_ago}, 200),
        ({"If_Modified_Since": "yesterday"}, 200),
        ({"If_Match": tag}, 200),
        ({"If_Match": '"x"'}, 412),
        ({"If_Unmodified_Since": long_ago}, 412),
    ):
        status, headers, body = get(client, "/files/firmware/one.bin", **fields)
        assert status == wanted, fields
        assert body == (IMAGE if wanted == 200 else b"")
        assert headers["ETag"] == tag
    assert get(client, "/files/empty")[::2] == (200, b"")
    assert get(client, "/files/empty", Range="bytes=0-")[0] == 416


RANGES = [
    ("bytes=0-", (0, len(IMAGE))),
    ("bytes=5-9", (5, 10)),
    ("bytes=100000-", (100000, len(IMAGE))),
    ("bytes=-7", (len(IMAGE) - 7, len(IMAGE))),
    ("bytes=-99999999999999999", (0, len(IMAGE))),
    (f"bytes=10-{'9' * 18}", (10, len(IMAGE))),
    (f"bytes={len(IMAGE)}-", 416),
    (f"bytes={'9' * 18}-", 416),
    ("bytes=-0", 416),
    (f"bytes={'9' * 500}-", None),
    ("bytes=9-5", None),
    ("bytes=0-1,3-4", None),
    ("bytes=-", None),
    ("bytes=--5", None),
    ("bytes=0x0-", None),
    ("octets=0-5", None),
    ("", None),
]


def test_ranges(client):
    for range_, wanted in RANGES:
        status, headers, body = get(client, "/files/firmware/one.bin", Range=range_)
        if wanted == 416:
            assert (status, headers["Content-Range"]) == (416, f"bytes */{len(IMAGE)}"), range_
        elif wanted is None:
            assert (status, body) == (200, IMAGE), range_
        else:
            start, end = wanted
            assert (status, body) == (206, IMAGE[start:end]), range_
            assert headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(IMAGE)}"


def test_a_phone_that_resumes_never_gets_the_rest_of_another_file(client):
    file = client.site / "files" / "firmware" / "one.bin"
    _, headers, first = get(client, "/files/firmware/one.bin", Range="bytes=0-299999")
    tag, date = headers["ETag"], headers["Last-Modified"]
    for condition in (tag, date):
        status, _, rest = get(client, "/files/firmware/one.bin", Range="bytes=300000-", If_Range=condition)
        assert status == 206
        assert first + rest == IMAGE
    other = bytes(reversed(IMAGE))
    file.write_bytes(other)
    os.utime(file, (1_700_000_000, 1_700_000_000))
    for condition in (tag, date, 'W/"x"', "nonsense"):
        answer = get(client, "/files/firmware/one.bin", Range="bytes=300000-", If_Range=condition)
        assert answer[::2] == (200, other)


def test_a_file_that_is_written_to_while_it_is_sent_is_cut_off(client):
    file = client.site / "files" / "growing.bin"
    file.write_bytes(bytes(8 << 20))
    connection = HTTPSConnection("localhost", client.ports["files"], context=client.phone, timeout=10)
    connection.request("GET", "/files/growing.bin")
    response = connection.getresponse()
    got = response.read(1 << 16)
    file.write_bytes(b"x" * (8 << 20))
    with contextlib.suppress(OSError, HTTPException):
        while more := response.read(1 << 20):
            got += more
    connection.close()
    assert len(got) < 8 << 20
    assert b"x" not in got


def test_methods(client):
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        for path in ("/files/hello.txt", "/settings/phone.cfg", "/sealed/files/hello.txt"):
            status, headers, _ = get(client, path, method)
            assert (status, headers["Allow"]) == (405, "GET,HEAD")
    assert (client.site / "files" / "hello.txt").read_text() == "hello\n"


def test_a_file_that_cannot_be_read_and_comes_back(client, monkeypatch):
    file = client.site / "variables.toml"
    good = file.read_text()
    file.write_text("[all\n")
    status, headers, body = get(client, "/settings/phone.cfg?ext=100")
    assert (status, headers["Retry-After"], body) == (503, "5", b"it cannot be read just now\n")
    file.write_text(good + "\n")
    assert get(client, "/settings/phone.cfg?ext=100")[0] == 200


# ---- dynamic and sealed files


def test_settings_for_an_extension_a_model_and_a_group(client):
    def lines(query):
        status, headers, body = get(client, "/settings/phone.cfg" + query)
        assert (status, headers["Content-Type"]) == (200, "text/plain")
        return body.decode().splitlines()[:3]

    assert lines("?ext=100") == ["name=Front desk", "ntp=192.0.2.2", "ext=100 T40 desk"]
    assert lines("?ext=101") == ["name=nobody", "ntp=192.0.2.1", "ext=101 None None"]
    assert lines("?model=T40") == ["name=a T40", "ntp=192.0.2.1", "ext=None T40 None"]
    assert lines("?group=desk") == ["name=nobody", "ntp=192.0.2.2", "ext=None None desk"]
    assert lines("?ext=100&model=X") == ["name=Front desk", "ntp=192.0.2.2", "ext=100 T40 desk"]
    _, headers, body = get(client, "/settings/phone.cfg?ext=100")
    assert get(client, "/settings/phone.cfg?ext=100", If_None_Match=headers["ETag"])[0] == 304
    assert get(client, "/settings/phone.cfg?ext=100", Range="bytes=5-9")[::2] == (206, body[5:10])


def test_templates_that_are_wrong_or_would_break_out(client):
    for name in ("bad.cfg", "escape.cfg", "huge.cfg"):
        status, _, body = get(client, f"/settings/{name}?ext=100")
        assert (status, body) == (503, b"it cannot be read just now\n")
    for name in ("out.cfg", "none.cfg", "../secret.txt", "%2e%2e/secret.txt"):
        assert get(client, f"/settings/{name}?ext=100")[0] == 404
    for query in ("?ext=x", "?model=a/b", "?group=" + "x" * 65, "?model=a&model=b"):
        assert get(client, "/settings/phone.cfg" + query)[0] == 400


def test_what_is_for_one_device_goes_out_sealed_only(client):
    g = client.fetch("100")["G"]
    assert get(client, "/settings/wifi.cfg?ext=100")[::2] == (
        403,
        b"that file is given out sealed only (/sealed/)\n",
    )
    path = f"/sealed/settings/wifi.cfg?g={g}&ext=100"
    status, headers, body = get(client, path)
    assert status == 200
    assert b"hunter2" not in body
    kg = bytes.fromhex(kg_of(client.site, g))
    kf = keys.file_key(keys.SHA256, kg, "settings/wifi.cfg")
    assert sealedfile.unseal(keys.SHA256, kf, body) == b"# for 100\nkey=hunter2\n"
    assert get(client, path)[2] == body  # the same octets: a phone can resume
    assert get(client, path, If_None_Match=headers["ETag"])[0] == 304
    for query, status in (
        ("", 400),
        (f"?g={g}", 400),
        ("?ext=100", 400),
        (f"?g={g}&ext=101", 409),
        (f"?g={g[:-2]}ff&ext=100", 404),
        (f"?g=020000000099{g[12:]}&ext=100", 403),
    ):
        assert get(client, "/sealed/settings/wifi.cfg" + query)[0] == status, query
    for name in (
        "wifi.cfg",
        "keys/kkg.txt",
        "files/",
        "files/../secret.txt",
        "files/out.txt",
        "sealed/files/x",
    ):
        assert get(client, f"/sealed/{name}?g={g}&ext=100")[0] == 404


def test_a_file_is_sealed_under_the_generation_that_the_phone_names(client):
    """Of a g that another key server of the site has issued, only the phone knows which Km it came from."""
    content = client.fetch("100")
    path = f"/sealed/settings/wifi.cfg?g={content['G']}&ext=100"
    assert get(client, f"{path}&cvm={content['CVM']}")[2] == get(client, path)[2]
    other = bytes(b ^ 1 for b in bytes.fromhex(content["CVM"])).hex()
    assert get(client, f"{path}&cvm={other}")[0] == 404
    assert get(client, f"{path}&cvm=zz")[0] == 400


def test_firmware_sealed_in_ranges(client):
    g = client.fetch("100")["G"]
    path = f"/sealed/files/firmware/one.bin?g={g}&ext=100"
    _, headers, whole = get(client, path)
    kf = keys.file_key(keys.SHA256, bytes.fromhex(kg_of(client.site, g)), "files/firmware/one.bin")
    assert sealedfile.unseal(keys.SHA256, kf, whole) == IMAGE
    parts = b""
    while len(parts) < len(whole):
        end = len(parts) + 100_003
        status, _, more = get(client, path, Range=f"bytes={len(parts)}-{end}", If_Range=headers["ETag"])
        assert status == 206
        parts += more
    assert parts == whole
    other = client.fetch("100")["G"]
    assert get(client, f"/sealed/files/firmware/one.bin?g={other}&ext=100")[1]["ETag"] != headers["ETag"]


# ---- nothing outside, whatever is asked for


PIECES = [
    *("..", ".", "", "/", "//", "\\", "%2e%2e", "%2E%2e", "%252e%252e", "..%2f", "%2f", "%5c", "%00", "\x00"),
    *(
        "..;",
        "...",
        "....//",
        "%c0%ae%c0%ae",
        "%uff0e",
        "\uff0e\uff0e",
        "~",
        "~root",
        "file:",
        "proc",
        "self",
    ),
    *(
        "files",
        "firmware",
        "one.bin",
        "hello.txt",
        "out",
        "out.txt",
        "up",
        "loop",
        "fifo",
        ".hidden",
        "secret.txt",
    ),
    *("keyserver", "seed", "etc", "passwd", "?", "#", "%", "%2", "%zz", "@", "from", "sealed", "settings"),
]
PATHS = st.lists(st.sampled_from(PIECES) | st.text(max_size=6), min_size=1, max_size=9).map(
    "/".join
) | st.lists(st.sampled_from(PIECES), min_size=1, max_size=9).map("".join)


def raw(client, line, fields=()):
    """Send a request line octet by octet as it is; return all that comes back."""
    plain = socket.create_connection(("127.0.0.1", client.ports["files"]), timeout=5)
    with client.phone.wrap_socket(plain, server_hostname="localhost") as secure:
        secure.sendall(line + b"\r\nHost: localhost\r\nConnection: close\r\n" + b"".join(fields) + b"\r\n")
        found = b""
        try:
            while more := secure.recv(1 << 16):
                found += more
        except OSError:
            pass  # cut off, which is an answer too
        return found


def test_no_path_leads_out(client):
    seed = (client.site / "keyserver" / "seed").read_text().strip().encode()
    clear = seed_of(client.site)
    seen = set()

    @settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
    @given(PATHS, st.sampled_from(["/files/", "/settings/", "/sealed/files/", "/files/from/", "/", ""]))
    def fuzz(path, room):
        target = (room + path).encode("utf-8", "surrogatepass")
        target = target.replace(b"\r", b"").replace(b"\n", b"").replace(b" ", b"%20")
        answer = raw(client, b"GET " + target + b" HTTP/1.1")
        status = answer.split(b" ", 2)[1:2]
        seen.update(status)
        assert SECRET not in answer
        assert seed not in answer
        assert clear not in answer
        assert clear.hex().encode() not in answer
        assert b"root:" not in answer
        if status == [b"200"]:
            body = answer.partition(b"\r\n\r\n")[2]
            assert body in (b"hello\n", IMAGE), target

    fuzz()
    assert {b"404"} <= seen <= {b"200", b"400", b"403", b"404", b"405", b"414", b"503"}, seen
    assert get(client, "/files/hello.txt")[::2] == (200, b"hello\n")


def test_ranges_fuzzed(client):
    numbers = st.integers(0, 2 * len(IMAGE)) | st.integers(0, 10**40)
    texts = st.builds("bytes={}-{}".format, numbers | st.just(""), numbers | st.just(""))
    noise = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40)

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(texts | noise | st.lists(texts, max_size=20).map(", ".join))
    def fuzz(range_):
        answer = raw(
            client, b"GET /files/firmware/one.bin HTTP/1.1", (b"Range: " + range_.encode() + b"\r\n",)
        )
        head, _, body = answer.partition(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        assert status in (200, 206, 400, 416)
        if status == 200:
            assert body == IMAGE
        elif status == 206:
            place = head.split(b"Content-Range: bytes ")[1].split(b"\r\n")[0].split(b"/")[0]
            start, last = map(int, place.split(b"-"))
            assert body == IMAGE[start : last + 1]
            assert range_.lower().startswith("bytes=")

    fuzz()


# ---- slow ones


def rss(pid):
    """Octets of memory that a process has."""
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmRSS"))


def test_slow_readers_and_writers_take_no_memory_and_hold_up_nobody(site, run_service):
    fill(site)
    (site / "files" / "large.bin").write_bytes(bytes(32 << 20))
    service = run_service(site, *SERVE)
    client = Client(service)
    get(client, "/files/large.bin", Range="bytes=0-65535")
    before = rss(service.process.pid)
    context = ssl.create_default_context(cafile=site / "ca" / "root.crt")
    held = []
    refused = 0
    for i in range(120):  # from eight addresses: each may have 16 transfers, all of them 100
        plain = socket.create_connection(
            ("127.0.0.1", client.ports["files"]), timeout=5, source_address=(f"127.0.0.{2 + i % 8}", 0)
        )
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        secure = context.wrap_socket(plain, server_hostname="localhost")
        if i % 12 == 11:
            secure.sendall(b"GET /files/large.bin HTTP/1.1\r\nHost: loc")  # and no more
        else:
            secure.sendall(b"GET /files/large.bin HTTP/1.1\r\nHost: localhost\r\n\r\n")
            refused += b"503" in secure.recv(40)
        held.append(secure)
    assert 5 <= refused <= 20  # 110 transfers asked for
    times = []
    for _ in range(10):
        start = time.monotonic()
        assert get(client, "/files/hello.txt")[::2] == (200, b"hello\n")
        assert client.fetch("100")
        times.append(time.monotonic() - start)
    grown = rss(service.process.pid) - before
    assert grown < 120 << 20, f"{grown >> 20} MiB for {len(held)} slow clients"
    assert sorted(times)[5] < 0.5, times
    for secure in held:
        secure.close()


def test_a_reader_that_stalls_is_cut_off(site, monkeypatch):
    """In this process, so that it need not take half a minute."""
    import asyncio

    from aiohttp import web
    from ringkey.keyserver import delivery, serving
    from ringkey.keyserver.content import Octets
    from ringkey.site.config import Site, load

    monkeypatch.setattr(delivery, "STALL", 0.5)
    config = load(Site(site)).need_keyserver()
    deliveries = delivery.Deliveries()
    ended = asyncio.Event()

    async def large(request):
        response = await deliveries.deliver(request, Octets(bytes(16 << 20)))
        ended.set()
        return response

    async def main():
        app = web.Application()
        app.router.add_get("/", large)
        context = serving.server_context(str(config.certificate), str(config.private_key))
        listener = serving.Listener(app, context, idle=30)
        port = await listener.start("127.0.0.1", 0)
        client = ssl.create_default_context(cafile=config.client_ca)
        stop = threading.Event()

        def slow():
            with socket.create_connection(("127.0.0.1", port)) as plain:
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                with client.wrap_socket(plain, server_hostname="localhost") as secure:
                    secure.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    stop.wait(5)

        task = asyncio.create_task(asyncio.to_thread(slow))
        async with asyncio.timeout(3):
            await ended.wait()
        stop.set()
        await task
        assert deliveries.under_way == 0
        await listener.stop()

    asyncio.run(main())


def test_an_old_site_without_the_tables_has_no_files(site, run_service):
    file = site / "ringkey.toml"
    text = file.read_text()
    for name in ("enrolment", "files", "admin"):
        before, _, after = text.partition(f"[keyserver.{name}]")
        text = before + after.partition("\n\n")[2]
    file.write_text(text)
    fill(site)
    client = Client(run_service(site, *SERVE))
    assert client.fetch("100")
    g = client.fetch("100")["G"]
    for path in ("/files/hello.txt", "/settings/phone.cfg?ext=1", f"/sealed/files/hello.txt?g={g}&ext=100"):
        assert request(client.ports["files"], path, client.phone)[0] == 404
