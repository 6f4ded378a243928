"""What the benchmarks of serving share: a model server, real text, a person who types, the peer."""

from __future__ import annotations

import _pydecimal
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from linewise.assistant import Document
from linewise.engines.protocol import Request, Sampling, Segment
from linewise.formats import Cursor
from linewise.models import embedded_model_path
from linewise.serving.client import ServerEngine
from linewise.serving.starting import Starter, address_of, ask_to_stop

PHRASE = "result = self._check_nans(other, context=context)"
_STOP_SECONDS = 30

# Runs where xllamacpp is installed: llama.cpp's own server, until its input ends.
_PEER = """
import json, sys
import xllamacpp
model, slots, context, threads = sys.argv[1], *map(int, sys.argv[2:])
params = xllamacpp.CommonParams()
params.model.path = model
params.n_parallel = slots
params.n_ctx = slots * context
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
params.port = 0
params.hostnames = ["127.0.0.1"] if hasattr(params, "hostnames") else None
params.verbosity = -1
server = xllamacpp.Server(params)
print(json.dumps({"address": server.listening_address}), flush=True)
sys.stdin.read()
"""


@contextmanager
def served(threads: int | None = None, **settings: str) -> Iterator[ServerEngine]:
    """A server of the embedded model, until the end of the block. Settings are those of `[engine]`."""
    variant = {f"LINEWISE_ENGINE_{name.upper()}": value for name, value in settings.items()}
    if threads:
        variant["LINEWISE_THREADS"] = str(threads)
    with tempfile.TemporaryDirectory(prefix="lw-") as folder:
        environment = {**os.environ, "LINEWISE_RUNTIME_DIR": folder}
        starter = Starter(embedded_model_path(), variant=variant, environment=environment)
        engine = ServerEngine(starter)
        try:
            yield engine
        finally:
            engine.close()
            if (address := address_of(starter.place)) is not None:
                ask_to_stop(address)
            end = time.monotonic() + _STOP_SECONDS
            while starter.place.is_served() and time.monotonic() < end:
                time.sleep(0.05)


def server_pid(engine: ServerEngine) -> int:
    """The process that serves `engine`."""
    record = engine._starter.place.read_record()
    assert record
    return record.pid


@contextmanager
def peer(python: Path, slots: int, context: int, threads: int) -> Iterator[str]:
    """llama.cpp's own server of the same file, its address; `python` is one where xllamacpp is installed."""
    command = [str(python), "-c", _PEER, str(embedded_model_path()), *map(str, (slots, context, threads))]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        yield _address(process.stdout)
    finally:
        if process.stdin:
            process.stdin.close()
        process.terminate()
        process.wait(_STOP_SECONDS)


def _address(stdout: IO[str] | None) -> str:
    assert stdout
    for line in stdout:
        if line.startswith('{"address"'):
            found: dict[str, Any] = json.loads(line)
            return str(found["address"])
    raise RuntimeError("llama.cpp's server did not start; is xllamacpp installed in that Python?")


def real_lines(count: int) -> list[str]:
    """So many lines of real Python: those around the middle of a module of 6,000 lines."""
    lines = Path(_pydecimal.__file__).read_text(encoding="utf-8").splitlines()
    first = max(0, len(lines) // 2 - count // 2)
    assert len(lines) >= count
    return lines[first : first + count]


class Typist:
    """Types PHRASE on a line of its own in the middle of a document, again and again."""

    def __init__(self, lines: list[str], name: str = "typed.py") -> None:
        self.document = Document(name, "\n".join(lines) + "\n")
        self._line = len(lines) // 2
        self._offset = sum(len(line) + 1 for line in lines[: self._line])
        self.document.change(self._offset, self._offset, "\n")
        self._column = 0

    def key(self) -> Cursor:
        """One more key; where the cursor is then. A whole phrase is taken back at once."""
        if self._column == len(PHRASE):
            self.document.change(self._offset, self._offset + self._column, "")
            self._column = 0
        here = self._offset + self._column
        self.document.change(here, here, PHRASE[self._column])
        self._column += 1
        return Cursor(self._line, self._column)


def prompt_of(number: int, lines: int = 60) -> tuple[Segment, ...]:
    """A prompt as an editor's: a file, of which the `number`th line is being typed."""
    text = "".join(f"{line}\n" for line in real_lines(lines))
    return (
        Segment("<|file|>", special=True),
        Segment(f"document_{number}.py\n"),
        Segment("<|diff|>", special=True),
        Segment(f"@1,0\n{text}"),
        Segment("<|diff|>", special=True),
        Segment(f"@{number + 1},1\nresult_{number} = "),
    )


def write_request(number: int, seed: int, tokens: int) -> Request:
    """A long write in document `number`."""
    sampling = Sampling(temperature=1.0, seed=seed, max_tokens=tokens)
    return Request(prompt_of(number), sampling, slot=f"write {number}", priority="write")
