"""What a person sees: one module a page, each a handler and the data of its view (docs/console.md)."""

from ringkey.administration.roles import Role
from ringkey.console.pages import (
    audit,
    extensions,
    files,
    importing,
    keys,
    labels,
    overview,
    phone,
    phones,
    settings,
    users,
)
from ringkey.console.routes import Route

# Octets of a CSV with every extension of the largest site that one import takes.
_MOST_CSV = 8 << 20
# Octets of a file for phones: a maker's firmware.
_MOST_FILE = 33 << 20

ROUTES: tuple[Route, ...] = (
    Route("GET", "/", Role.VIEWER, overview.show),
    Route("GET", "/phones", Role.VIEWER, phones.show),
    Route("GET", "/phones/{ext}", Role.VIEWER, phone.show),
    Route("POST", "/phones/{ext}", Role.OPERATOR, phone.act),
    Route("GET", "/extensions", Role.VIEWER, extensions.show),
    Route("POST", "/extensions", Role.OPERATOR, extensions.act),
    Route("GET", "/extensions/import", Role.OPERATOR, importing.show),
    Route("POST", "/extensions/import", Role.OPERATOR, importing.act, most=_MOST_CSV),
    Route("GET", "/extensions/export", Role.OPERATOR, extensions.export),
    Route("GET", "/labels", Role.OPERATOR, labels.show),
    Route("GET", "/keys", Role.VIEWER, keys.show),
    Route("POST", "/keys", Role.OPERATOR, keys.act),
    Route("GET", "/files", Role.VIEWER, files.show),
    Route("POST", "/files", Role.ADMINISTRATOR, files.act, most=_MOST_FILE),
    Route("GET", "/audit", Role.VIEWER, audit.show),
    Route("GET", "/users", Role.ADMINISTRATOR, users.show),
    Route("POST", "/users", Role.ADMINISTRATOR, users.act),
    Route("GET", "/settings", Role.VIEWER, settings.show),
    Route("POST", "/settings", Role.ADMINISTRATOR, settings.act),
)
