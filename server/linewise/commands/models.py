"""`linewise models`: the models on this machine; which one is served. Converting and measuring join it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from linewise.commands.joining import joined_command, joined_names
from linewise.errors import ModelError

if TYPE_CHECKING:
    from linewise.models.index import ModelEntry
    from linewise.models.registry import Progress, Registry

ENTRY_POINTS = "linewise.commands.models"
JOINED: Mapping[str, str] = {
    "bench": "Compare models by size, memory, speed and quality.",
    "convert": "Make a GGUF file or a CTranslate2 folder from a Hugging Face folder.",
}
"""Help of the known commands that join by entry point: asking the command itself would import it."""


class ModelsGroup(click.Group):
    """Our own commands and those that joined."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names."""
        return sorted({*super().list_commands(ctx), *JOINED, *joined_names(ENTRY_POINTS)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One of ours, or a stand-in for one that joined."""
        own = super().get_command(ctx, cmd_name)
        if own is not None or cmd_name not in self.list_commands(ctx):
            return own
        return joined_command(ENTRY_POINTS, cmd_name, JOINED.get(cmd_name))


@click.group("models", cls=ModelsGroup)
def models_command() -> None:
    """The models on this machine: add, choose, look at, convert, measure."""


@models_command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def list_command(as_json: bool) -> None:
    """List the models; * marks the one in use."""
    registry = _registry()
    index = registry.index()
    rows = [_row(entry, in_use=entry.name == index.default) for entry in index.models.values()]
    rows.insert(0, _embedded_row(in_use=index.default is None))
    if as_json:
        click.echo(json.dumps({"folder": str(registry.folder), "models": rows}, indent=2))
        return
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        mark = "*" if row["in_use"] else " "
        size = f"{row['size_bytes'] / 2**20:,.1f} MiB"
        state = "" if row["state"] == "intact" else f"  {row['state']}!"
        click.echo(
            f"{mark} {row['name']:{width}}  {size:>12}  {row['format'] or 'no format':11}  "
            f"{row['licence'] or 'no licence named'}{'  linked' if row['linked'] else ''}{state}"
        )


@models_command.command("add")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", metavar="NAME", help="Name of the model (default: the file's).")
@click.option("--link", is_flag=True, help="Leave the file where it is instead of copying it.")
@click.option("--use", "use_it", is_flag=True, help="Serve it from now on.")
def add_command(file: Path, name: str | None, link: bool, use_it: bool) -> None:
    """Add a GGUF file: Linewise's own, or one with fill-in-the-middle tokens.

    The file is checked and loaded once before it is added.
    """
    from linewise.models.description import describe  # noqa: PLC0415
    from linewise.models.registry import name_of  # noqa: PLC0415

    size = describe(file.expanduser()).size_bytes
    form, reason = _format(file.expanduser())
    if use_it and form is None:
        raise ModelError(f"{file} was not added, since it cannot be used: {reason}")
    registry = _registry()
    with _progress(size, "Reading" if link else "Copying") as progress:
        entry = registry.add(file, name or name_of(file), form=form, link=link, progress=progress)
    click.echo(
        f"Added {entry.name}: {entry.size_bytes / 2**20:,.1f} MiB, format {form or 'unknown'}, "
        f"licence {entry.licence or 'not named in the file'}."
    )
    if reason:
        click.echo(f"It cannot be served in an editor: {reason}.")
    elif use_it:
        registry.use(entry.name)
        click.echo(f"{entry.name} is served from now on.")
    else:
        click.echo(f"`linewise models use {entry.name}` serves it; `--model {entry.name}` does once.")


@models_command.command("use")
@click.argument("name")
def use_command(name: str) -> None:
    """Serve NAME when no model is named; `embedded` is the one that comes with Linewise."""
    _registry().use(name)
    click.echo(f"{name} is served from now on, also by editors that are open.")


@models_command.command("remove")
@click.argument("name")
@click.option("--force", is_flag=True, help="Also the one in use; the embedded one is served then.")
def remove_command(name: str, force: bool) -> None:
    """Forget NAME, and delete its file unless it was linked."""
    entry = _registry().remove(name, force=force)
    left = f"; its file stays at {entry.path}" if entry.linked else " and deleted its file"
    click.echo(f"Removed {name}{left}.")


@models_command.command("info")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON.")
def info_command(name: str | None, as_json: bool) -> None:
    """Tell about a model (default: the one in use) and check its file. Exit status 1 if that is damaged."""
    from linewise.models.description import describe  # noqa: PLC0415
    from linewise.models.registry import EMBEDDED, file_sha256, full_state  # noqa: PLC0415

    registry = _registry()
    index = registry.index()
    name = name or index.default or EMBEDDED
    if name == EMBEDDED:
        facts = _embedded_row(in_use=index.default is None)
        facts["sha256"] = file_sha256(Path(facts["path"]))
    else:
        entry = registry.entry(name)
        facts = _row(entry, in_use=name == index.default) | {"state": full_state(entry)}
    metadata: Mapping[str, object] = {}
    try:
        description = describe(Path(facts["path"]))
    except ModelError as error:
        facts["problem"] = str(error)
    else:
        metadata = description.metadata
        told = ("title", "architecture", "parameters", "context_length")
        facts |= {key: getattr(description, key) for key in told}
    if as_json:
        click.echo(json.dumps(facts | {"metadata": dict(metadata)}, indent=2))
    else:
        for key, value in facts.items():
            click.echo(f"{key:15} {f'{value:,}' if type(value) is int else value}")
        click.echo("metadata")
        for key, value in sorted(metadata.items()):
            click.echo(f"  {key} = {_shortened(value)}")
    if facts["state"] != "intact" or "problem" in facts:
        raise ModelError(
            f"The model {name!r} is {facts['state']}: get it again, then "
            f"`linewise models remove --force {name}` and `linewise models add FILE`."
        )


def _registry() -> Registry:
    from linewise.models import registry_folder  # noqa: PLC0415
    from linewise.models.registry import Registry  # noqa: PLC0415

    return Registry(registry_folder())


def _row(entry: ModelEntry, *, in_use: bool) -> dict[str, Any]:
    from linewise.models.registry import quick_state  # noqa: PLC0415

    row = asdict(entry) | {"path": str(entry.path), "in_use": in_use, "state": quick_state(entry)}
    del row["modified_ns"]
    return row


def _embedded_row(*, in_use: bool) -> dict[str, Any]:
    from linewise.models import embedded_model_path  # noqa: PLC0415
    from linewise.models.description import describe  # noqa: PLC0415
    from linewise.models.registry import EMBEDDED  # noqa: PLC0415

    path = embedded_model_path()
    description = describe(path)
    return {
        "name": EMBEDDED,
        "path": str(path),
        "linked": False,
        "size_bytes": description.size_bytes,
        "format": description.metadata.get("linewise.format"),
        "licence": description.licence,
        "in_use": in_use,
        "state": "intact",
    }


def _format(path: Path) -> tuple[str | None, str]:
    """Name of the Format that the model at `path` is served with, or None and why it cannot be.

    Raises ModelError when llama.cpp cannot load it.
    """
    from linewise.commands.model import loaded_model  # noqa: PLC0415
    from linewise.engines import load_engine  # noqa: PLC0415

    try:
        with loaded_model(path) as (_, form):
            return form.name, ""
    except ModelError as error:
        load_engine(path).close()  # raises what is wrong with the file; else it was the format
        return None, str(error)


@contextmanager
def _progress(size: int, label: str) -> Iterator[Progress]:
    """A bar on standard error where that is a terminal."""
    from linewise.models.registry import no_progress  # noqa: PLC0415

    if not sys.stderr.isatty():
        yield no_progress
        return
    with click.progressbar(length=size, label=label, file=sys.stderr) as bar:
        yield bar.update


def _shortened(value: object) -> str:
    text = str(value).replace("\n", "\\n")
    return text if len(text) <= 100 else f"{text[:97]}..."
