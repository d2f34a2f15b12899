"""Secrets from a person at the terminal, or from standard input; never from the command line.

What stands on a command line or in the environment is seen by other processes.
"""

import sys

import click

from ringkey.errors import UserError

# Characters of a line: 33 words of a SLIP-39 share have under 300.
MAX_LINE = 2048


def line(prompt: str, *, confirm: bool = False, command: str = "seed") -> str:
    """Return a line that is not shown as it is typed; without a terminal, a line of standard input.

    confirm: let a person type it twice; command: whose help says more, where there is neither.
    """
    if sys.stdin.isatty():
        again: bool | str = f"{prompt} again" if confirm else False
        answer: str = click.prompt(prompt, hide_input=True, confirmation_prompt=again)
        return answer.strip()
    found = sys.stdin.readline(MAX_LINE).strip()
    if not found:
        raise UserError(
            f"{prompt}: nothing on standard input, and there is no terminal to ask at",
            f"ringkey {command} --help",
        )
    return found


def text(prompt: str) -> str:
    """Return a line that is not shown as it is typed; without a terminal, all of standard input."""
    if sys.stdin.isatty():
        return line(prompt)
    found = sys.stdin.read(MAX_LINE).strip()
    if not found:
        raise UserError(
            f"{prompt}: nothing on standard input, and there is no terminal to ask at", "ringkey seed --help"
        )
    return found


def passphrase() -> str:
    """Return the passphrase that the seed is sealed under."""
    return line("Passphrase of the seed")
