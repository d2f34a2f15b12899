"""`ringkey user …`: who may log in to the console.

A password is never an argument: arguments show in `ps` and stay in the shell's history.
"""

import click

from ringkey.cli import Options, account, administering

_HEADINGS = ("NAME", "ROLE", "LOG-IN", "SESSIONS", "INVITED UNTIL")


@click.group()
def command() -> None:
    """Users of the console, and what they may do.

    A viewer sees, an operator changes extensions and phones, an administrator everything.  A console that
    runs sees a change at once.
    """


@command.command(
    epilog="""\b
Examples:
  ringkey user add ann --role operator
  pass show ringkey/ann | ringkey user add ann --role operator --password-stdin
"""
)
@click.argument("name")
@click.option("--role", type=account.ROLES, required=True, help="What the user may do.")
@account.password_stdin
@administering.as_json
@click.pass_obj
def add(options: Options, name: str, role: str, password_stdin: bool, as_json: bool) -> None:
    """Add user NAME with a password; without one, by a link: `ringkey user invite`."""
    found = administering.do(
        options, "user.add", name=name, role=role, password=account.password(password_stdin)
    )
    if as_json:
        administering.show_json(found)
    else:
        click.echo(f"user {name} added, {role}")


@command.command(
    epilog="""\b
Examples:
  ringkey user invite ann --role operator
  ringkey user invite ann                    # who has lost the password, or the second factor
"""
)
@click.argument("name")
@click.option("--role", type=account.ROLES, help="What a new user may do.")
@administering.as_json
@click.pass_obj
def invite(options: Options, name: str, role: str | None, as_json: bool) -> None:
    """Print a link that lets NAME set a password, once, for a day.

    Give it to nobody else.  The user is added where there is none of this name.
    """
    found = administering.do(options, "user.invite", name=name, role=role)
    if as_json:
        administering.show_json(found)
        return
    click.echo(f"A link for {name}, {found['role']}, until {administering.when(found['expires'])}:\n")
    click.echo(f"  {found['url']}")


@command.command(epilog="\b\nExample:\n  ringkey user role ann viewer\n")
@click.argument("name")
@click.argument("role", type=account.ROLES)
@administering.as_json
@click.pass_obj
def role(options: Options, name: str, role: str, as_json: bool) -> None:
    """Let NAME be ROLE from now on, which ends the user's sessions."""
    found = administering.do(options, "user.role", name=name, role=role)
    if as_json:
        administering.show_json(found)
    else:
        click.echo(f"user {name} is {role}")


@command.command(epilog="\b\nExample:\n  ringkey user password ann\n")
@click.argument("name")
@account.password_stdin
@administering.as_json
@click.pass_obj
def password(options: Options, name: str, password_stdin: bool, as_json: bool) -> None:
    """Replace the password of NAME, which ends the user's sessions."""
    found = administering.do(options, "user.password", name=name, password=account.password(password_stdin))
    if as_json:
        administering.show_json(found)
    else:
        click.echo(f"user {name} has another password")


@command.command(epilog="\b\nExample:\n  ringkey user remove ann\n")
@click.argument("name")
@administering.as_json
@click.pass_obj
def remove(options: Options, name: str, as_json: bool) -> None:
    """Remove NAME, which ends the user's sessions; the last administrator stays."""
    found = administering.do(options, "user.remove", name=name)
    if as_json:
        administering.show_json(found)
    else:
        click.echo(f"user {name} removed")


@command.command(
    epilog="""\b
Examples:
  ringkey user code ann
  ringkey user code ann --remove             # the phone with it is lost
"""
)
@click.argument("name")
@click.option("--remove", "without", is_flag=True, help="Want no code any more.")
@administering.as_json
@click.pass_obj
def code(options: Options, name: str, without: bool, as_json: bool) -> None:
    """Want a code of an authenticator app with the password of NAME: a second factor.

    The app gets the secret that is printed; a code from it then puts the factor in force.
    """
    if without:
        found = administering.do(options, "user.totp", name=name, step="remove")
    else:
        begun = administering.do(options, "user.totp", name=name, step="begin")
        click.echo(f"{begun['uri']}\n\nSecret: {begun['secret']}", err=as_json)
        typed = click.prompt("Code", err=True)
        found = administering.do(options, "user.totp", name=name, step="confirm", code=str(typed).strip())
    if as_json:
        administering.show_json({"name": name, "totp": found["totp"]})
    else:
        click.echo(f"a code is wanted of {name}" if found["totp"] else f"no code is wanted of {name}")


@command.command(epilog="\b\nExample:\n  ringkey user logout ann\n")
@click.argument("name")
@administering.as_json
@click.pass_obj
def logout(options: Options, name: str, as_json: bool) -> None:
    """End all sessions of NAME, who may log in again."""
    found = administering.do(options, "user.logout", name=name)
    if as_json:
        administering.show_json(found)
    else:
        click.echo(f"{found['ended']} session{'' if found['ended'] == 1 else 's'} of {name} ended")


@command.command("list", epilog="\b\nExamples:\n  ringkey user list\n  ringkey user list --json\n")
@administering.as_json
@click.pass_obj
def list_(options: Options, as_json: bool) -> None:
    """List the users: what they may do, whether they have a password and a second factor."""
    found = administering.ask(options, "users")
    if as_json:
        administering.show_json(found)
        return
    rows = []
    for one in found["users"]:
        log_in = ("password and code" if one["totp"] else "password") if one["password"] else "-"
        rows.append(
            (one["name"], one["role"], log_in, str(one["sessions"]), administering.when(one["invited"]))
        )
    administering.show_table(_HEADINGS, rows)
