"""``tq completion``."""

import click

from tq.commands.base import command

SHELLS = ("bash", "zsh", "fish")


@command(
    "completion",
    node=False,
    examples=(
        'eval "$(tq completion bash)"                              # in ~/.bashrc',
        'eval "$(tq completion zsh)"                               # in ~/.zshrc',
        "tq completion fish > ~/.config/fish/completions/tq.fish",
    ),
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a shell's completion script.

    It completes commands, options, their values, and the names of the node's queues.
    """
    from click.shell_completion import get_completion_class

    from tq.main import COMPLETE_VARIABLE

    made_by = get_completion_class(shell)
    assert made_by is not None  # noqa: S101 - click knows all of SHELLS
    click.echo(made_by(ctx.find_root().command, {}, "tq", COMPLETE_VARIABLE).source())
