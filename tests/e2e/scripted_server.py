"""Starts the real language server with a model whose every word a test dictates.

    python scripted_server.py --control PORT [--tcp PORT] [--verifier NAME] [--chatter]
    python scripted_server.py --model PATH

`ScriptedEngine` is an Engine like any other to the server. It tells the test, over a socket on the loopback
interface, of each request, and generates what the test sends back, when it sends it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

from linewise.engines.protocol import CancelSignal, ModelInfo, Request, Segment, Token
from linewise.errors import EngineError
from linewise.lsp import serve

SPECIAL = re.compile(r"(<\|\w+\|>)")


class ScriptedEngine:
    """Generates what the test says; one JSON object a line goes each way."""

    info = ModelInfo("scripted", "script", 32768, 256, 0, 0, "edit-log/1", {})

    def __init__(self, port: int, chatter: bool) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.settimeout(0.01)  # how soon a cancel is seen
        self._pending = b""
        self._chatter = chatter
        self._tell({"event": "hello", "process": os.getpid()})

    def tokenize(self, segments: Sequence[Segment]) -> tuple[int, ...]:
        return tuple(byte for segment in segments for byte in segment.text.encode("utf-8", "replace"))

    def stream(self, request: Request, cancel: CancelSignal | None = None) -> Iterator[Token]:
        prompt = "".join(segment.text for segment in request.prompt)
        self._tell({"event": "request", "prompt": prompt, "healed": request.healed})
        while True:
            order = self._next_order(cancel)
            if order is None:
                self._tell({"event": "cancelled"})
                return
            if self._chatter:
                # A library in C that prints: it knows nothing of sys.stdout.
                os.write(1, b"llama_model_loader: noise on standard output\n")
            if "fail" in order:
                raise EngineError(order["fail"])
            for piece in SPECIAL.split(order.get("emit", "")):
                if SPECIAL.fullmatch(piece):
                    yield Token(0, piece, 0.0, special=True)
                else:
                    for character in piece:
                        yield Token(0, character, 0.0)
            if order.get("end"):
                return

    def close(self) -> None:
        self._socket.close()

    def _next_order(self, cancel: CancelSignal | None) -> dict[str, str] | None:
        while b"\n" not in self._pending:
            if cancel is not None and cancel.is_set():
                return None
            with contextlib.suppress(TimeoutError):
                received = self._socket.recv(65536)
                if not received:
                    return None  # the test is over
                self._pending += received
        line, self._pending = self._pending.split(b"\n", 1)
        return json.loads(line)

    def _tell(self, message: dict[str, str | int]) -> None:
        with contextlib.suppress(OSError):
            self._socket.sendall(json.dumps(message).encode() + b"\n")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--control", type=int)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--tcp", type=int)
    parser.add_argument("--verifier", default="fast")
    parser.add_argument("--chatter", action="store_true")
    options = parser.parse_args()
    engine = ScriptedEngine(options.control, options.chatter) if options.control else None
    tcp = ("127.0.0.1", options.tcp) if options.tcp is not None else None
    serve({"model": options.model and str(options.model), "verifier": options.verifier}, tcp, engine)


if __name__ == "__main__":
    main()
