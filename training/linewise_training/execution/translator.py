"""The TypeScript compiler, kept running behind walls of its own: it reads code under test, but runs none."""

from __future__ import annotations

import _socket
import json
import os
import select
import signal
import struct
import time
from contextlib import suppress

from linewise_training.execution import checker
from linewise_training.execution.compiled_job import ProgramError
from linewise_training.execution.languages import TYPESCRIPT_SERVER, is_missing
from linewise_training.execution.limits import Limits
from linewise_training.execution.sandbox import CHANNEL, Launched, Walls, end, launch

_LENGTH = struct.Struct(">I")
_LIFETIME = 10**6  # seconds of processor time
_START_SECONDS = 60


class Translator:
    """Turns TypeScript into JavaScript by a compiler that it starts when it is first asked."""

    def __init__(self, walls: Walls, limits: Limits) -> None:
        self._walls = walls
        self._limits = limits
        self._launched: Launched | None = None
        self._socket: _socket.socket | None = None

    @property
    def processes(self) -> frozenset[int]:
        """Process IDs that are not a job's."""
        return frozenset({self._launched.pid()} if self._launched else ())

    def __call__(self, source: str, deadline: float) -> str:
        """Check and transpile.

        Raises:
            ProgramError: It does not compile, or the compiler cannot be run.
            TimeoutError: Not done by the deadline (on `time.monotonic`'s clock).
        """
        if self._socket is None:
            self._start()
            # Its start is no fault of the job's: it answers an empty program first.
            self._ask("", time.monotonic() + _START_SECONDS)
        answer = self._ask(source, deadline)
        if errors := answer["errors"]:
            kind = checker.MISSING if all(is_missing(error) for error in errors) else checker.COMPILE
            raise ProgramError(kind, errors[0])
        return str(answer["code"])

    def _start(self) -> None:
        ours, theirs = _socket.socketpair()
        launched = launch(self._walls, self._limits, _LIFETIME, theirs.fileno(), reserves=True)
        if launched is None:
            with suppress(OSError):
                with open("server.js", "w", encoding="utf-8") as stream:  # noqa: PTH123
                    stream.write(TYPESCRIPT_SERVER)
                os.dup2(CHANNEL, 0)
                os.dup2(CHANNEL, 1)
                heap = f"--max-old-space-size={self._limits.memory >> 21}"
                os.execvp("node", ["node", heap, "server.js"])
            os._exit(1)
        theirs.close()
        self._launched, self._socket = launched, ours

    def _ask(self, source: str, deadline: float) -> dict[str, list[str] | str]:
        assert self._socket
        encoded = json.dumps({"source": source}).encode()
        try:
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            self._socket.sendall(_LENGTH.pack(len(encoded)) + encoded)
            size = _LENGTH.unpack(self._receive(_LENGTH.size, deadline))[0]
            answer: dict[str, list[str] | str] = json.loads(self._receive(size, deadline))
        except TimeoutError:
            self.stop()
            raise
        except (OSError, EOFError):
            said = self.stop()
            kind = checker.MISSING if is_missing(said) or not said else checker.COMPILE
            line = next((line for line in said.splitlines() if "Error" in line), "it died")
            raise ProgramError(kind, f"the TypeScript compiler failed: {line}") from None
        return answer

    def _receive(self, size: int, deadline: float) -> bytes:
        assert self._socket
        parts: list[bytes] = []
        while size:
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            chunk = self._socket.recv(min(size, 1 << 16))
            if not chunk:
                raise EOFError
            parts.append(chunk)
            size -= len(chunk)
        return b"".join(parts)

    def stop(self) -> str:
        """End the compiler; what it had printed."""
        if self._launched is None or self._socket is None:
            return ""
        self._socket.close()
        with suppress(ProcessLookupError):
            os.kill(self._launched.pid(), signal.SIGKILL)
        said = b""
        if select.select([self._launched.output], [], [], 0)[0]:
            said = os.read(self._launched.output, 1 << 16)
        end(self._launched, self._walls)
        os.close(self._launched.output)
        self._launched = self._socket = None
        return said.decode("utf-8", "replace")
