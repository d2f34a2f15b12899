"""Which modules are compiled: those that each registration goes through.  None of them is another source."""

CORE = (
    "attempts",
    "codec",
    "generator",
    "held",
    "kept",
    "keys",
    "lookups",
    "mac",
    "noise",
    "policy",
    "registrar",
    "registrations",
    "replay",
    "server_nonce",
    "throttle",
)
GATEKEEPER = (
    "addresses",
    "at_once",
    "codec",
    "digests",
    "direct",
    "events",
    "flow",
    "generations",
    "key_cache",
    "latencies",
    "many",
    "news",
    "observed",
    "phone_records",
    "pins",
    "randomness",
    "record",
    "shapes",
    "steering",
    "timeline",
    "witnesses",
    "state/collector",
    "state/journal",
    "state/noticed",
    "state/rows",
    "state/sweep",
    "state/waiting",
    "workers/codec",
    "workers/shared",
)


def sources() -> list[str]:
    """Return their paths in the repository."""
    return [
        *(f"firmware/ras/{name}.py" for name in CORE),
        *(f"host/ringkey/gatekeeper/{name}.py" for name in GATEKEEPER),
    ]
