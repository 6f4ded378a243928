"""`linewise serve`: the model server, and what can be asked of those that run."""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from linewise.commands.configured import command_settings
from linewise.commands.model import model_option
from linewise.errors import ServerError

if TYPE_CHECKING:
    from linewise.serving.connection import Address
    from linewise.serving.place import Place, Record

STOP_SECONDS = 40.0


def _finite(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """`value`, which click lets be no number at all."""
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is no number of minutes", context, parameter)
    return value


@click.group("serve", invoke_without_command=True)
@model_option
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="Listen on this port of 127.0.0.1 (0: a free one), with a bearer token, instead of a Unix socket.",
)
@click.option(
    "--idle",
    "idle_minutes",
    type=click.FloatRange(min=0),
    callback=_finite,
    help="End when nobody has been connected for so many minutes; 0: never. Default: as set, or 30.",
)
@click.option("--key", hidden=True, help="Name of the place to serve at, as who starts this knows it.")
@click.pass_context
def serve_command(
    context: click.Context,
    model_path: Path | None,
    port: int | None,
    idle_minutes: float | None,
    key: str | None,
) -> None:
    """Serve one model to every editor of this user, and to OpenAI's clients.

    Editors start this themselves (`linewise lsp`); it ends when nobody has used it for a while.
    """
    if context.invoked_subcommand is not None:
        return
    from linewise.configuration.variables import engine_variables  # noqa: PLC0415
    from linewise.models.opening import configured_model_path, open_shared_engine  # noqa: PLC0415
    from linewise.serving.place import place_named, place_of  # noqa: PLC0415
    from linewise.serving.process import ServerOptions, serve_model  # noqa: PLC0415

    model_name = None if model_path is None else str(model_path.absolute())
    settings = command_settings({"model": model_name, "serve.port": port, "serve.idle_minutes": idle_minutes})
    if settings.engine.kind == "http":  # others serve that one; this one is of this machine
        settings = replace(settings, engine=replace(settings.engine, kind="auto"))
    model = configured_model_path(settings).resolve()
    place = place_named(key) if key else place_of(model, engine_variables(settings))

    def announce(address: Address) -> None:
        click.echo(f"Serving {model.name} on {_shown(address.socket, address.port)}", err=True)
        if address.token is not None:
            click.echo(f"The bearer token is in {place.token}", err=True)

    options = ServerOptions(
        socket=settings.serve.socket,
        port=settings.serve.port,
        idle_seconds=60 * settings.serve.idle_minutes,
    )
    serve_model(
        model, place, lambda: open_shared_engine(replace(settings, model=str(model))), options, announce
    )


@serve_command.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print the servers as JSON.")
def status_command(as_json: bool) -> None:
    """Tell which servers run, and where the token of one on a port is. Exit status 1 if none does."""
    found = [_described(place, record) for place, record in _servers()]
    if as_json:
        click.echo(json.dumps({"servers": found}, indent=2))
    for server in () if as_json else found:
        if server["state"] == "starting":
            click.echo(f"A server is starting; its log is {server['log']}.")
            continue
        click.echo(
            f"{server['model']}: process {server['pid']}, Linewise {server['version']}, "
            f"{_shown(server['socket'], server['port'])}, {server['state']}"
            + (f", token in {server['token_file']}" if server["token_file"] else "")
        )
    if not found:
        if not as_json:
            click.echo("No model server runs.")
        raise SystemExit(1)


@serve_command.command("stop")
def stop_command() -> None:
    """End every server, each once what it generates is done."""
    from linewise.serving.starting import address_of, ask_to_stop  # noqa: PLC0415

    servers = _servers()
    for place, _ in servers:
        if (address := address_of(place)) is not None:
            ask_to_stop(address)
    end = time.monotonic() + STOP_SECONDS
    for place, record in servers:
        while place.is_served():
            if time.monotonic() > end:
                who = f"process {record.pid}" if record else "the process"
                raise ServerError(f"The server does not end; end {who} yourself.")
            time.sleep(0.05)
    click.echo(f"Stopped {len(servers)}." if servers else "No model server runs.")


@serve_command.command("logs")
@click.option("-n", "--lines", type=click.IntRange(min=0), default=50, show_default=True)
def logs_command(lines: int) -> None:
    """Print the last lines that servers logged."""
    from linewise.serving.logs import last_lines  # noqa: PLC0415
    from linewise.serving.place import log_files  # noqa: PLC0415

    files = log_files()
    for file in files:
        if len(files) > 1:
            click.echo(f"==> {file} <==")
        for line in last_lines(file, lines):
            click.echo(line)
    if not files:
        click.echo("No model server has logged anything.")


def _servers() -> list[tuple[Place, Record | None]]:
    from linewise.serving.place import places  # noqa: PLC0415

    return [(place, place.read_record()) for place in places() if place.is_served()]


def _described(place: Place, record: Record | None) -> dict[str, Any]:
    """What is known of a server: one that has no record yet is still loading its model."""
    from linewise.serving.starting import running  # noqa: PLC0415

    if record is None:
        unknown = dict.fromkeys(("pid", "version", "model", "socket", "port", "token_file"))
        return {**unknown, "state": "starting", "log": str(place.log)}
    try:
        state = "serving" if running(place) is not None else "not answering"
    except ServerError:
        state = "not answering"
    token_file = None if record.port is None else str(place.token)
    return {**asdict(record), "token_file": token_file, "state": state, "log": str(place.log)}


def _shown(path: str | None, port: int | None) -> str:
    return path if path is not None else f"http://127.0.0.1:{port}/v1"
