"""Commands of other packages: found by entry point, imported only when they run."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points

import click

from linewise.errors import LinewiseError
from linewise.installation import install_extra


def joined_names(group: str) -> tuple[str, ...]:
    """Names of the commands that join by the entry-point group `group`."""
    return tuple(entry.name for entry in entry_points(group=group))


def joined_command(group: str, name: str, help_text: str | None) -> click.Command:
    """A command that hands all its arguments, `--help` too, to the one that joined `group` as `name`."""

    @click.command(
        name,
        help=help_text or f"Command of another package ({name}).",
        context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
        add_help_option=False,
    )
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    @click.pass_context
    def run(ctx: click.Context, arguments: tuple[str, ...]) -> object:
        command = _load(group, name, ctx.command_path)
        return command.main(list(arguments), prog_name=ctx.command_path, standalone_mode=False)

    return run


def _load(group: str, name: str, path: str) -> click.Command:
    found: Sequence[EntryPoint] = tuple(entry_points(group=group, name=name))
    if not found:
        raise LinewiseError(
            f"the command {name!r} is not installed; install it with: {install_extra('training')}"
        )
    try:
        command = found[0].load()
    except ImportError as error:
        raise LinewiseError(
            f"`{path}` needs {error.name or error}, which is not installed; "
            f"install it with: {install_extra('training')}"
        ) from error
    if not isinstance(command, click.Command):
        raise LinewiseError(f"the entry point {found[0].value} is not a command; reinstall its package")
    return command
