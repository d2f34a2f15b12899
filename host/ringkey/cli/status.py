"""`ringkey status`."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from ringkey.cli import Options, administering
from ringkey.cli.administering import when
from ringkey.errors import UserError
from ringkey.site import files, runtime
from ringkey.site.config import Config, Site

# Days before a certificate's end from which on it is marked: time to plan a renewal.
SOON = 90


@click.command(
    epilog="""\b
Examples:
  ringkey status
  ringkey --site /srv/ringkey status --json
"""
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(options: Options, as_json: bool) -> None:
    """Show what runs here: ports, check value, certificates, extensions, registrations."""
    config = options.config()
    found = collect(options.site, config)
    try:
        overview: dict[str, Any] | None = administering.ask(options, "overview")
    except UserError as error:
        # What is damaged shall not hide what runs.
        overview, trouble = None, error.what
    if as_json:
        click.echo(json.dumps({**found, "overview": overview}, indent=2))
        return
    click.echo(f"site        {options.site.root.absolute()}")
    for name in ("keyserver", "gatekeeper", "console"):
        click.echo(f"{name:<11} {_service_line(found[name])}")
    for path, end in found["certificates"].items():
        days = (datetime.fromisoformat(end) - datetime.now(UTC)).days
        note = "" if days > SOON else ("  ENDED" if days < 0 else f"  ends in {days} days")
        click.echo(f"certificate {path:<28} valid until {end[:10]}{note}")
    if overview is None:
        click.echo(f"the rest       cannot be told: {trouble}")
    else:
        _show(overview)
    if not found["keyserver"]["running"] and not found["gatekeeper"]["running"]:
        click.echo(f"\nNext:\n  {options.command('serve')}")


def _show(overview: dict[str, Any]) -> None:
    phones = overview["phones"]
    if phones["extensions"]:
        states = ", ".join(
            f"{phones[name]} {name}" for name in ("registered", "failing", "absent", "disabled")
        )
        click.echo(f"phones      {states}")
    for one in overview["reasons"]:
        click.echo(f"failing     {one['phones']} at {one['step']}: {one['words']}")
    for server in overview["servers"]:
        for problem in server["problems"] if server["running"] else ():
            click.echo(f"problem     {server['name']}: {problem['what']} (try: {problem['next']})")
    if overview["rotation"] is not None:
        click.echo(f"rotation    the generation before answers until {when(overview['rotation']['until'])}")
    if overview["disk"]["level"] != "ok":
        click.echo(f"disk        {overview['disk']['free'] >> 20} MiB free")


def collect(site: Site, config: Config) -> dict[str, Any]:
    """Return {"keyserver", "gatekeeper", "console": {"configured", "running", …}, "certificates": {…}}."""
    found: dict[str, Any] = {"site": str(site.root.absolute())}
    # The console needs no table of its own to run.
    sections = (("keyserver", config.keyserver), ("gatekeeper", config.gatekeeper), ("console", config))
    for name, section in sections:
        said = runtime.ask(site.run, name)
        found[name] = {"configured": section is not None, "running": said is not None}
        if said is not None:
            found[name].update({key: said.get(key) for key in ("pid", "ports")})
            found[name].update(said.get("status") or {})
    paths = [site.root_certificate]
    paths += [section.certificate for section in (config.keyserver, config.gatekeeper) if section is not None]
    found["certificates"] = {
        _relative(path, site.root): end for path in paths if (end := _end(path)) is not None
    }
    return found


def _service_line(service: dict[str, Any]) -> str:
    if not service["configured"]:
        return "not at this site"
    if not service["running"]:
        return "not running"
    ports = ", ".join(f"{name} {port}" for name, port in (service.get("ports") or {}).items())
    rest = {k: v for k, v in service.items() if k not in ("configured", "running", "pid", "ports")}
    said = "; ".join(f"{name} {value}" for name, value in rest.items())
    return f"running, pid {service.get('pid')}; {ports}" + (f"; {said}" if said else "")


def _end(path: Path) -> str | None:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(files.read(path, "certificate")).not_valid_after_utc.isoformat()
    except (UserError, ValueError):
        return None


def _relative(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
