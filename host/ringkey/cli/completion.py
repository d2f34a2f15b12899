"""`ringkey completion …`: what a shell needs to complete commands with the tab key."""

import click
from click import shell_completion

_WHERE = {
    "bash": "ringkey completion bash > ~/.local/share/bash-completion/completions/ringkey",
    "zsh": 'ringkey completion zsh > "${fpath[1]}/_ringkey"',
    "fish": "ringkey completion fish > ~/.config/fish/completions/ringkey.fish",
}


@click.command(
    epilog="\b\nExamples:\n" + "".join(f"  {line}\n" for line in _WHERE.values()),
)
@click.argument("shell", type=click.Choice(list(_WHERE)))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the completion script for SHELL; put it where the shell looks for it."""
    made = shell_completion.get_completion_class(shell)
    if made is None:
        raise click.UsageError(f"this click knows no completion for {shell}")
    root = ctx.find_root()
    # source_vars and the template are click's own; its `source` of bash asks the bash of this machine for its
    # version, which says nothing about the one that the script is for.
    completion = made(root.command, {}, "ringkey", "_RINGKEY_COMPLETE")
    click.echo(completion.source_template % completion.source_vars())
