"""`linewise write`: change a file by instruction, hunk by checked hunk."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from linewise.commands.configured import command_settings
from linewise.commands.model import loaded_model, model_option
from linewise.commands.text_file import TextFile
from linewise.errors import LinewiseError

if TYPE_CHECKING:
    from linewise.assistant import Landing, WriteOptions
    from linewise.commands.rendering import Rendering
    from linewise.edits import Hunk
    from linewise.engines.protocol import CancelSignal, Engine
    from linewise.formats.protocol import Format

INTERRUPTED = 130  # what shells report for a program ended by Ctrl-C


@click.command("write")
@click.argument("instruction")
@click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path),
    required=True,
    help="File to change; created if absent.",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON event a line: hunk, turned (led another way), dropped, done.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="The same seed repeats."
)
@click.option("--max-edits", type=click.IntRange(min=1), help="Default: as set, or 64.")
@click.option("--max-tokens", type=click.IntRange(min=1), help="Default: as set, or 4096.")
@click.option(
    "--verifier",
    type=click.Choice(["pylint", "fast", "none"]),
    help="What each hunk must pass (default: as set, or pylint). Only Python is checked; files over 5,000 "
    "lines are checked by fast.",
)
@click.option("--temperature", type=click.FloatRange(0, 2), help="0 is greedy. Default: as set, or 0.")
@model_option
def write_command(
    instruction: str,
    path: Path,
    as_json: bool,
    seed: int,
    max_edits: int | None,
    max_tokens: int | None,
    verifier: str | None,
    temperature: float | None,
    model_path: Path | None,
) -> None:
    """Change a file as INSTRUCTION says.

    Each hunk is checked before it lands; the file is replaced after each, so it never holds half a hunk.
    Ctrl-C keeps the hunks that landed.
    """
    # `linewise --help` needs none of these.
    from linewise.assistant import WriteOptions  # noqa: PLC0415
    from linewise.commands.rendering import ColourRendering, JsonRendering  # noqa: PLC0415

    settings = command_settings(
        {
            "verifier": verifier,
            "write.temperature": temperature,
            "write.max_edits": max_edits,
            "write.max_tokens": max_tokens,
        }
    )
    options = WriteOptions(**asdict(settings.write), seed=seed)
    rendering = JsonRendering() if as_json else ColourRendering(str(path))
    require_instruction(instruction)
    file = TextFile(path)
    file.require_writable()
    with loaded_model(model_path, settings) as (engine, form), cancel_on_interrupt() as cancel:
        reason = write_file(file, instruction, engine, form, settings.verifier, options, rendering, cancel)
    if reason == "cancelled":
        raise SystemExit(INTERRUPTED)
    if reason == "failures" and not file.was_replaced:
        raise LinewiseError(
            f"the model found no clean edit, so {path} is as it was; say it otherwise, or try another --seed"
        )


def require_instruction(instruction: str) -> None:
    """Raises LinewiseError for an empty instruction, before a model is loaded for it."""
    if not instruction.strip():
        raise LinewiseError(
            'the instruction is empty; say what to write, such as "a function that adds two numbers"'
        )


def write_file(
    file: TextFile,
    instruction: str,
    engine: Engine,
    form: Format,
    verifier: str,
    options: WriteOptions,
    rendering: Rendering,
    cancel: CancelSignal | None = None,
) -> str:
    """Change `file` by instruction, showing each event; return the reason why the write ended.

    The file is replaced after every hunk. Raises FileError when somebody else changed it; then it is as
    they left it.
    """
    from linewise.assistant import Document, WriteDone, verifier_for, write  # noqa: PLC0415
    from linewise.edits import join_lines  # noqa: PLC0415

    document = Document(file.path.name, file.text)

    def land(landing: Landing) -> Hunk:
        file.replace(join_lines(landing.after))
        return document.commit(landing)

    reason = ""
    for event in write(
        document,
        instruction,
        engine=engine,
        format=form,
        verifier=verifier_for(str(file.path), verifier, len(document.snapshot().lines)),
        options=options,
        land=land,
        cancel=cancel,
    ):
        rendering.show(event)
        if isinstance(event, WriteDone):
            reason = event.reason
    return reason


@contextmanager
def cancel_on_interrupt() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets; a second one ends the program as usual."""
    event = threading.Event()

    def interrupt(signum: int, frame: FrameType | None) -> None:
        if event.is_set():
            signal.default_int_handler(signum, frame)
        event.set()

    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)
