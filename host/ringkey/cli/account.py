"""What `ringkey user` and `ringkey token` share: roles, and how a password is typed."""

import sys

import click

from ringkey.errors import UserError

ROLES = click.Choice(["viewer", "operator", "administrator"])
# Characters of a line with a password on standard input; one has up to 200.
_MAX_LINE = 1000

password_stdin = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")


def password(stdin: bool) -> str:
    """Return the password: read, or asked for twice; raises UserError."""
    if stdin:
        return sys.stdin.readline(_MAX_LINE).rstrip("\r\n")
    if not sys.stdin.isatty():
        raise UserError(
            "there is no terminal to ask for the password at; use --password-stdin",
            "ringkey user --help",
            usage=True,
        )
    answer: str = click.prompt("Password", hide_input=True, confirmation_prompt="Password again")
    return answer
