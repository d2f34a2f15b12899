"""Asks a running key server over real TLS, with nothing of the project's own but its files on disk."""

import hashlib
import hmac
import json
import ssl
from http.client import HTTPSConnection

from sites import seed_of


def trusting(root, client=None):
    """A TLS client that trusts `root` alone; client: (certificate, key)."""
    context = ssl.create_default_context(cafile=root)
    if client is not None:
        context.load_cert_chain(*client)
    return context


def request(port, path, context, method="GET", host="localhost"):
    """Return (status, headers, body) over a connection of its own."""
    connection = HTTPSConnection(host, port, context=context, timeout=10)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode()
    finally:
        connection.close()


def fields(text):
    return dict(line.split(" ", 1) for line in text.splitlines())


def km_of(site):
    return hashlib.sha256(seed_of(site)).digest()


def kg_of(site, g):
    return hmac.new(km_of(site), bytes.fromhex(g), "sha256").hexdigest()


def cvm_of(site):
    return hashlib.sha256(km_of(site)).digest()[-3:].hex()


class Client:
    """Asks one running key server, as a phone and as the site's gatekeeper."""

    def __init__(self, service):
        self.site = service.site
        self.ports = service.ports
        self.phone = trusting(self.site / "ca" / "root.crt")
        pair = (self.site / "gatekeeper" / "gatekeeper.crt", self.site / "gatekeeper" / "gatekeeper.key")
        self.gatekeeper = trusting(self.site / "ca" / "root.crt", pair)

    def files(self, query, method="GET", path="/keys/kkg.txt"):
        return request(self.ports["files"], path + query, self.phone, method)

    def files_whole(self, query):
        """Return (status, headers, body)."""
        return request(self.ports["files"], "/keys/kkg.txt" + query, self.phone)

    def fetch(self, ext="100"):
        status, _, body = self.files(f"?ext={ext}")
        assert status == 200, body
        return fields(body)

    def advanced(self, path, method="GET"):
        status, headers, body = request(self.ports["advanced"], path, self.gatekeeper, method)
        assert headers["Content-Type"].startswith("application/json")
        assert headers["Cache-Control"] == "no-store"
        return status, json.loads(body)

    def look_up(self, g, ext):
        return self.advanced(f"/keys/kkg.json?g={g}&ext={ext}")
