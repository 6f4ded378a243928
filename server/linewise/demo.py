"""The demonstration (`make demo`): the embedded model writes real files, edit by checked edit.

It writes into a fresh folder below `demo/` of the current folder, shows every hunk as it lands, checks that
the results compile, and says how to connect an editor.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from linewise.assistant import WriteOptions
from linewise.commands.model import loaded_model
from linewise.commands.rendering import ColourRendering
from linewise.commands.text_file import TextFile
from linewise.commands.write import INTERRUPTED, cancel_on_interrupt, write_file
from linewise.errors import LinewiseError

TASKS = (
    ("main.py", "Write a function to find the sum of a list of numbers."),
    ("fibonacci.py", "Write a function that returns the nth Fibonacci number."),
    ("primes.py", "Write a function to check if a number is prime."),
)
SEED = 1
EXTENSION = Path(__file__).resolve().parents[2] / "extension"


def main() -> None:
    """Run the demonstration; exit status 1 if no file was written that compiles."""
    try:
        sys.exit(_run(_fresh_folder(Path.cwd() / "demo")))
    except LinewiseError as error:
        click.echo(f"linewise: {error}", err=True)
        sys.exit(1)


def _run(folder: Path) -> int:
    written = 0
    with loaded_model(None) as (engine, form), cancel_on_interrupt() as cancel:
        info = engine.info
        click.echo(
            f"The model: {info.name}, {info.parameters / 1e6:.1f} million parameters, "
            f"{info.size_bytes / 2**20:.1f} MiB, running on this machine only.\n"
            "It is thousands of times smaller than the models behind hosted assistants: it writes plausible "
            "Python, and\nis often wrong about what the code should do. What is checked: no edit lands that "
            "brings a new static error.\n"
        )
        for name, instruction in TASKS:
            file = TextFile(folder / name)
            click.secho(
                f"$ linewise write {instruction!r} --file {file.path.relative_to(Path.cwd())}", bold=True
            )
            options = WriteOptions(seed=SEED, max_edits=24, max_tokens=1024)
            rendering = ColourRendering(name)
            reason = write_file(file, instruction, engine, form, "pylint", options, rendering, cancel)
            if reason == "cancelled":
                return INTERRUPTED
            if _show(file.path):
                written += 1
    _show_editors()
    return 0 if written else 1


def _show(path: Path) -> bool:
    """Print the written file and whether it compiles."""
    if not path.exists():
        click.secho(f"{path.name} was not written: the model found no clean edit.\n", fg="red")
        return False
    source = path.read_text(encoding="utf-8")
    click.echo(f"\n{path}:\n")
    click.echo(source)
    try:
        compile(source, str(path), "exec", dont_inherit=True)
    except SyntaxError as error:
        click.secho(f"{path.name} does not compile: {error}\n", fg="red")
        return False
    click.secho(f"{path.name} compiles.\n", fg="green")
    return True


def _show_editors() -> None:
    """How to connect an editor to this installation."""
    command = Path(sys.executable).with_name("linewise")
    click.secho("In Neovim (0.10 or newer), add to init.lua:", bold=True)
    click.echo(
        f'\n  vim.opt.runtimepath:prepend("{EXTENSION / "neovim"}")\n'
        f'  require("linewise").setup({{ cmd = {{ "{command}", "lsp" }} }})\n\n'
        "then, in a Python file: type, pause, and accept with Tab; or\n\n"
        "  :LinewiseWrite a function that returns the nth Fibonacci number\n"
    )
    click.secho("In VS Code:", bold=True)
    click.echo(
        "\n  any generic language-server client can start it; the command is\n\n"
        f"  {command} lsp\n\n"
        "  which offers textDocument/inlineCompletion (LSP 3.18) and the command linewise.write."
    )


def _fresh_folder(parent: Path) -> Path:
    """A new folder, numbered one above the last."""
    numbers = [int(path.name) for path in parent.glob("*") if path.name.isdecimal()]
    folder = parent / str(max(numbers, default=0) + 1)
    folder.mkdir(parents=True)
    return folder


if __name__ == "__main__":
    main()
