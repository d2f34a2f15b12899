"""The API against its own description: schemathesis, over TLS, with the real servers behind it."""

import json
import os
import shutil

import pytest
import requests
import schemathesis
from harness import sites
from harness.service import Service
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from ringkey.console import openapi
from ringkey.site import runtime
from schemathesis.config import SchemathesisConfig

# Requests made up for each operation, besides those that cover each keyword of its schema.
EXAMPLES = int(os.environ.get("RINGKEY_API_EXAMPLES", "10"))

# What the description means by them: all that Python's str.isprintable() does, and ends of lines.
for name, more in ((openapi.PRINTABLE, " "), (openapi.LINES, " \n\r\t")):
    schemathesis.openapi.format(
        name, st.text(st.characters(exclude_categories=("C", "Z"), include_characters=more))
    )
SCHEMA = schemathesis.openapi.from_dict(
    openapi.description(),
    config=SchemathesisConfig.from_dict({"generation": {"database": "none"}}),
)


@pytest.fixture(scope="module")
def served(site_template, environment, tmp_path_factory):
    """Servers and console of a site as processes: (URL, a session with an administrator's token)."""
    path = tmp_path_factory.mktemp("api") / "site"
    shutil.copytree(site_template, path)
    sites.free_ports(path)
    sites.ringkey("extension", "add", "1001", "--generate", site=path, environment=environment)
    add = ("token", "add", "schemathesis", "--role", "administrator", "--json")
    made = sites.ringkey(*add, site=path, environment=environment)
    running = [Service(path, *what, environment=environment) for what in (("serve",), ("console", "serve"))]
    try:
        for service in running:
            service.expect("ready")
        session = requests.Session()
        session.trust_env = False  # else a certificate bundle that a machine names goes before `verify`
        session.verify = str(path / "ca" / "root.crt")
        session.headers["Authorization"] = f"Bearer {json.loads(made)['token']}"
        yield f"https://127.0.0.1:{runtime.ports(path / 'run', 'console')['console']}", session
        session.close()
    finally:
        for service in running:
            service.stop()
    output = running[1].output
    assert "request_failed" not in output  # what no handler expected, whatever was answered
    assert json.loads(made)["token"] not in output


def test_the_description_is_served_and_is_openapi(served):
    url, session = served
    answer = session.get(f"{url}/api/openapi.json", timeout=30)
    assert answer.json() == json.loads(json.dumps(openapi.description()))
    SCHEMA.validate()


@SCHEMA.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_no_answer_is_outside_the_description(case, served):
    url, session = served
    case.call_and_validate(base_url=url, session=session, verify=session.verify, timeout=60)
