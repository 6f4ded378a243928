"""`linewise`: one command line for everything; see `linewise.commands` for each command.

Commands of other packages join by the entry-point group `linewise.commands`; they are imported only when
they run, as is everything heavy in our own, so that `linewise --help` is quick.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence

import click

from linewise import __version__
from linewise.commands.joining import joined_command, joined_names
from linewise.errors import LinewiseError, told

ENTRY_POINTS = "linewise.commands"
INTERRUPTED = 130
OWN: Mapping[str, str] = {
    "complete": "linewise.commands.complete:complete_command",
    "config": "linewise.commands.config:config_command",
    "doctor": "linewise.commands.doctor:doctor_command",
    "lsp": "linewise.commands.lsp:lsp_command",
    "models": "linewise.commands.models:models_command",
    "serve": "linewise.commands.serve:serve_command",
    "write": "linewise.commands.write:write_command",
}
JOINED: Mapping[str, str] = {
    "eval": "Measure a model: pass@k on benchmarks, completion and editing, comparisons.",
    "run-tests": "Run programs with their tests in a sandbox.",
    "train": "Make a model: corpus, LintSeq, tokenizer, training, export.",
}
"""Help of the known commands that join by entry point: asking the command itself would import it."""


class CommandGroup(click.Group):
    """Finds commands by name, and imports only the one that runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's signature
        """Our own commands and those that joined."""
        return sorted({*OWN, *JOINED, *joined_names(ENTRY_POINTS)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported; for one that joined, a stand-in that imports it when it runs."""
        if cmd_name in OWN:
            module, _, name = OWN[cmd_name].partition(":")
            command = getattr(importlib.import_module(module), name)
            return command if isinstance(command, click.Command) else None
        if cmd_name not in self.list_commands(ctx):
            return None
        return joined_command(ENTRY_POINTS, cmd_name, JOINED.get(cmd_name))


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="linewise")
def cli() -> None:
    """A local, offline code assistant that writes code as a stream of linter-checked edits."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 an error of ours, 2 wrong usage, 130 interrupted."""
    try:
        status = cli.main(arguments, prog_name="linewise", standalone_mode=False)
        code = status if isinstance(status, int) else 0
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except LinewiseError as error:
        click.echo(f"linewise: {' '.join(str(error).split())}", err=True)
        code = 1
    except (click.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except OSError as error:
        # Most often standard output is gone or full; Python would complain once more when it flushes at exit.
        if not isinstance(error, BrokenPipeError):
            click.echo(f"linewise: {told(error)}", err=True)
        sys.stdout = None
        code = 1
    sys.exit(code)


if __name__ == "__main__":
    main()
