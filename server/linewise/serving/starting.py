"""Finds the model server, or starts it, for those who want to use it; and paces how often it is started."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from filelock import FileLock, Timeout

import linewise
from linewise.engines.protocol import CancelSignal
from linewise.errors import NewerServerError, ServerError
from linewise.serving import wire
from linewise.serving.connection import Address, CancelledError, Connection, LostConnectionError
from linewise.serving.fingerprint import fingerprint
from linewise.serving.place import Place, place_of

START_SECONDS = 120.0
"""How long a server may take to load its model: one of many gigabytes takes a while from a slow disk."""

DRAIN_SECONDS = 10.0
"""How long another version's server may take to end what it does; then this version runs without it."""

_TUNABLES, _HUGE_PAGES = "GLIBC_TUNABLES", "glibc.malloc.hugetlb"
"""Has glibc (from 2.35 on) ask for pages of 2 MiB where the kernel gives them to who asks, as most do.

A token of the embedded model takes 3 % less time so; the process has 3 MiB more. It can be had for a new
process only.
"""

LONGEST_PAUSE = 60.0
_STEP_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Reached:
    """A server that serves the wanted model, and how to reach it. `hello` is what it says of itself."""

    address: Address
    hello: Mapping[str, Any]


class Starter:
    """Reaches the server of one model file, started if need be.

    The first two starts in a row happen at once; each further one that `went_well` does not interrupt waits
    twice as long as the last, up to LONGEST_PAUSE seconds.
    """

    def __init__(
        self,
        model: Path,
        *,
        variant: Mapping[str, str] = MappingProxyType({}),
        command: Sequence[str] = (sys.executable, "-m", "linewise", "serve"),
        check: Callable[[Path], object] | None = None,
        environment: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`variant` is how the model is run, as environment variables of `command`, which is a server's.

        `check` raises for a model file that is of no use, before a server that serves what it was has to end.
        Raises ServerError for an unusable folder.
        """
        self._model = model.resolve()
        self.place = place_of(self._model, variant, environment)
        # It is told its place, or it could come to another one where settings changed meanwhile.
        self._command = (*command, "--model", str(self._model), "--key", self.place.key)
        self._environment = {**environment, **variant, _TUNABLES: _tunables(environment)}
        self._check = check
        self._clock = clock
        self._turn = threading.Lock()
        self._starts = 0
        self._last_start = 0.0

    def went_well(self) -> None:
        """A server that this started, or found, did its work: the next start happens at once."""
        self._starts = 0

    def reach(self, cancel: CancelSignal | None = None) -> Reached:
        """The server, running.

        Raises ServerError where it cannot be had, CancelledError when cancelled, and what the check raises.
        """
        try:
            return self._reach(cancel)
        except OSError as error:  # a disk that is full or cannot be written to
            raise ServerError(
                f"The model server cannot be had from {self.place.folder} ({error.strerror or error}): "
                "make room there, or name another folder in LINEWISE_RUNTIME_DIR."
            ) from error

    def _reach(self, cancel: CancelSignal | None) -> Reached:
        with self._own_turn(cancel), self._start_lock(cancel):
            end = self._clock() + START_SECONDS
            child: subprocess.Popen[bytes] | None = None
            while True:
                if (found := running(self.place, cancel)) is not None:
                    if self._is_wanted(found):
                        return found
                    self._replace(found, cancel)
                if not self.place.is_served():
                    if child is not None and child.poll() is not None:
                        raise ServerError(self._trouble())
                    child = child or self._start()
                if cancel is not None and cancel.is_set():
                    raise CancelledError
                if self._clock() > end:
                    raise ServerError(
                        f"The model server is not ready after {START_SECONDS:.0f} s; "
                        "see `linewise serve logs`."
                    )
                time.sleep(_STEP_SECONDS)

    def _is_wanted(self, found: Reached) -> bool:
        """Whether it is of this version and has the model file as it is now.

        Raises NewerServerError for a newer version's, which is not to give way to an older one.
        """
        theirs, ours = str(found.hello.get("version")), linewise.__version__
        if version_key(theirs) > version_key(ours):
            raise NewerServerError(
                f"A server of Linewise {theirs} runs, and this is {ours}: restart this editor to share it."
            )
        same = theirs == ours and found.hello.get("protocol") == wire.PROTOCOL
        return same and found.hello.get("fingerprint") == fingerprint(self._model)

    def _replace(self, found: Reached, cancel: CancelSignal | None) -> None:
        """Let a server end that serves something else than is wanted."""
        if self._check is not None:
            self._check(self._model)
        ask_to_stop(found.address)
        end = self._clock() + DRAIN_SECONDS
        while self.place.is_served():
            if cancel is not None and cancel.is_set():
                raise CancelledError
            if self._clock() > end:
                raise ServerError(
                    f"The server of Linewise {found.hello.get('version')} is still busy with requests."
                )
            time.sleep(_STEP_SECONDS)

    def _start(self) -> subprocess.Popen[bytes]:
        pause = 0.0 if self._starts < 2 else min(LONGEST_PAUSE, 2.0 ** (self._starts - 2))
        left = self._last_start + pause - self._clock()
        if self._starts and left > 0:
            raise ServerError(
                f"The model server ended {self._starts} times in a row; it is started again in {left:.0f} s. "
                "See `linewise serve logs`."
            )
        self._starts += 1
        self._last_start = self._clock()
        try:
            with self.place.trouble.open("wb") as trouble:
                child = subprocess.Popen(
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=trouble,
                    cwd=self.place.folder,  # it may outlive the folder of whoever starts it
                    env=self._environment,
                    start_new_session=True,  # nor does it end with an editor's terminal
                )
        except OSError as error:
            raise ServerError(f"The model server cannot be started: {error}.") from error
        threading.Thread(target=child.wait, daemon=True).start()  # or it would stay behind as a zombie
        return child

    def _trouble(self) -> str:
        """Why the server that was started ended: the last line that it left."""
        lines: Sequence[str] = ()
        with suppress(OSError):
            lines = self.place.trouble.read_text(encoding="utf-8", errors="replace").split("\n")
        said = [line.removeprefix("linewise: ").strip() for line in lines if line.strip()]
        return said[-1] if said else "The model server ended as it started; see `linewise serve logs`."

    @contextmanager
    def _own_turn(self, cancel: CancelSignal | None) -> Iterator[None]:
        while not self._turn.acquire(timeout=_STEP_SECONDS):
            if cancel is not None and cancel.is_set():
                raise CancelledError
        try:
            yield
        finally:
            self._turn.release()

    @contextmanager
    def _start_lock(self, cancel: CancelSignal | None) -> Iterator[None]:
        lock = FileLock(self.place.starting, mode=0o600)
        end = self._clock() + START_SECONDS
        while True:
            try:
                lock.acquire(timeout=_STEP_SECONDS, poll_interval=_STEP_SECONDS / 2)
                break
            except Timeout:
                if cancel is not None and cancel.is_set():
                    raise CancelledError from None
                if self._clock() > end:
                    raise ServerError(
                        "Somebody else has been starting the model server for too long."
                    ) from None
        try:
            yield
        finally:
            lock.release()


def running(place: Place, cancel: CancelSignal | None = None) -> Reached | None:
    """The server that listens at `place`, of whatever version; None where there is none.

    Raises ServerError for one that accepts connections and does not answer.
    """
    address = address_of(place)
    if address is None:
        return None
    try:
        connection = Connection(address)
        try:
            status, hello = connection.ask("GET", wire.HELLO, cancel=cancel, silence=10.0)
        finally:
            connection.close()
    except LostConnectionError:
        return None
    return Reached(address, hello) if status == 200 else None


def address_of(place: Place) -> Address | None:
    """Where the server of `place` says that it listens; None where none lives."""
    record = place.read_record()
    if record is None:
        return None
    if record.socket is not None:
        return Address(record.socket)
    # A port of a dead server may be somebody else's by now, who must not be told the token.
    if not place.is_served():
        return None
    with suppress(OSError, UnicodeDecodeError):
        return Address(None, record.port, place.token.read_text(encoding="ascii").strip())
    return None


def ask_to_stop(address: Address) -> None:
    """Ask a server to end once what it generates is done; one that has gone meanwhile is fine."""
    with suppress(LostConnectionError):
        connection = Connection(address)
        try:
            connection.ask("POST", wire.STOP, silence=10.0)
        finally:
            connection.close()


def version_key(version: str) -> tuple[int, ...]:
    """The numbers of a version, to compare: (0, 1, 0) for "0.1.0"."""
    return tuple(int(number) for number in re.findall(r"\d+", version))


def _tunables(environment: Mapping[str, str]) -> str:
    """The server's settings of glibc: those of `environment`, whose word stands, and huge pages."""
    known = environment.get(_TUNABLES, "")
    return known if _HUGE_PAGES in known else ":".join(filter(None, (known, f"{_HUGE_PAGES}=1")))
