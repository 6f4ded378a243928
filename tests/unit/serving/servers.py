"""What tests of the model server hold in their hands: a server of a scripted engine, and its end."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from linewise.engines.protocol import Engine, Request, Sampling, Segment
from linewise.serving.place import places

SCRIPTED = (sys.executable, str(Path(__file__).with_name("scripted_engine.py")))
T = TypeVar("T")


def wait_for(what: str, condition: Callable[[], T]) -> T:
    """Poll until the condition holds; only a broken program waits so long that this gives up."""
    end = time.monotonic() + 60
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"waited 60 s for {what}; last seen: {value!r}")
        time.sleep(0.01)
    return value


def end_servers(folder: Path) -> None:
    """Kill every server that lives in `folder`, and delete it."""
    for place in places({"LINEWISE_RUNTIME_DIR": str(folder)}):
        record = place.read_record()
        if record is not None and place.is_served():
            with suppress(ProcessLookupError):
                os.kill(record.pid, signal.SIGKILL)
            wait_for("the server's end", lambda place=place: not place.is_served())
    shutil.rmtree(folder)


def text(engine: Engine, script: str) -> str:
    """What `engine` makes of a script: all of it."""
    asked = Request((Segment(script),), Sampling(max_tokens=10_000_000))
    return "".join(token.text for token in engine.stream(asked))


def mode(path: Path) -> int:
    """The permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)
