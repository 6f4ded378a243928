"""`linewise lsp`: the language server that editors start."""

from __future__ import annotations

import logging
from pathlib import Path

import click

from linewise.commands.model import model_option
from linewise.errors import FileError


def _address(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, int] | None:
    """HOST:PORT, split at the last colon, so that an IPv6 host may stand in brackets."""
    if value is None:
        return None
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise click.BadParameter(f"{value!r} is not HOST:PORT, such as 127.0.0.1:7777", context, parameter)
    return host.strip("[]"), int(port)


@click.command("lsp")
@click.option(
    "--tcp",
    metavar="HOST:PORT",
    callback=_address,
    help="Listen here instead of serving standard input and output.",
)
@click.option("--verifier", type=click.Choice(["pylint", "fast", "none"]), help="Default: as set, or pylint.")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="warning",
    show_default=True,
)
@click.option("--log-file", type=click.Path(path_type=Path), help="Default: standard error.")
@model_option
def lsp_command(
    tcp: tuple[str, int] | None,
    verifier: str | None,
    log_level: str,
    log_file: Path | None,
    model_path: Path | None,
) -> None:
    """Serve one editor by the Language Server Protocol."""
    from linewise.lsp import serve  # noqa: PLC0415

    form = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    try:
        logging.basicConfig(
            level=log_level.upper(), format=form, filename=log_file, encoding="utf-8" if log_file else None
        )
    except OSError as error:
        raise FileError(f"the log file {log_file} cannot be written: {error.strerror}") from error
    options: dict[str, object] = {"verifier": verifier}
    if model_path is not None:  # whatever the models that are otherwise used run in
        options |= {"model": str(model_path.absolute()), "engine.kind": "auto"}
    serve(options, tcp)
