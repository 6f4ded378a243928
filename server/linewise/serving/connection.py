"""One kept-alive HTTP/1.1 connection to a model server, whose reads end as soon as the caller gives up.

The HTTP is h11's, which does no input or output; that is here, and can so wait for bytes and for a cancel
signal at once.
"""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import h11

from linewise.engines.protocol import CancelSignal
from linewise.errors import ServerError

_CANCEL_SECONDS = 0.005
"""How often a cancel signal is looked at while nothing comes."""

_CONNECT_SECONDS = 5.0
_RECEIVED = 1 << 16


class LostConnectionError(Exception):
    """The server is not there, or hung up in the middle of an answer."""


class CancelledError(Exception):
    """The caller gave up waiting."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens: a Unix socket's path, or a port of this machine with its bearer token."""

    socket: str | None
    port: int | None = None
    token: str | None = field(default=None, repr=False)  # never into a log or a message


class Connection:
    """One exchange at a time. Any error leaves it closed."""

    def __init__(self, address: Address) -> None:
        """Connect. Raises LostConnectionError where nobody listens."""
        self._headers = [("host", "localhost"), ("content-type", "application/json")]
        if address.token is not None:
            self._headers.append(("authorization", f"Bearer {address.token}"))
        try:
            if address.socket is not None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                try:
                    self._socket.settimeout(_CONNECT_SECONDS)
                    self._socket.connect(address.socket)
                except OSError:
                    self._socket.close()
                    raise
            else:
                self._socket = socket.create_connection(
                    ("127.0.0.1", address.port or 0), timeout=_CONNECT_SECONDS
                )
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            raise LostConnectionError(f"nobody listens ({error})") from error
        self._poll = select.poll() if hasattr(select, "poll") else None
        if self._poll is not None:
            self._poll.register(self._socket, select.POLLIN)
        self._http = h11.Connection(h11.CLIENT)

    @property
    def is_open(self) -> bool:
        """Whether another exchange can begin, as far as this side knows."""
        return self._http.our_state is h11.IDLE and self._socket.fileno() >= 0

    def begin(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        cancel: CancelSignal | None = None,
        silence: float = 30.0,
    ) -> int:
        """Send a request, `body` as JSON; the status of the answer, whose body `read` then gives.

        Raises LostConnectionError, CancelledError, or ServerError after `silence` seconds without a byte.
        """
        content = b"" if body is None else json.dumps(body).encode()
        headers = [*self._headers, ("content-length", str(len(content)))]
        parts = [self._http.send(h11.Request(method=method, target=path, headers=headers))]
        if content:
            parts.append(self._http.send(h11.Data(data=content)))
        parts.append(self._http.send(h11.EndOfMessage()))
        try:
            self._socket.sendall(b"".join(part for part in parts if part))
        except OSError as error:
            self.close()
            raise LostConnectionError(str(error)) from error
        while True:
            event = self._event(cancel, silence)
            if isinstance(event, h11.Response):
                return event.status_code

    def read(self, cancel: CancelSignal | None = None, silence: float = 30.0) -> bytes:
        """The next bytes of the answer's body, as soon as they come; empty at its end. Raises as `begin`."""
        while True:
            event = self._event(cancel, silence)
            if isinstance(event, h11.Data):
                return bytes(event.data)
            if isinstance(event, h11.EndOfMessage):
                if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
                    self._http.start_next_cycle()
                else:
                    self.close()
                return b""

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        cancel: CancelSignal | None = None,
        silence: float = 30.0,
    ) -> tuple[int, Mapping[str, Any]]:
        """A whole exchange: the status and the JSON object of its answer. Raises as `begin`."""
        status = self.begin(method, path, body, cancel=cancel, silence=silence)
        return status, self.rest(cancel, silence)

    def rest(self, cancel: CancelSignal | None = None, silence: float = 30.0) -> Mapping[str, Any]:
        """The answer's body as a JSON object. Raises as `begin`; LostConnectionError for what is none."""
        parts = []
        while part := self.read(cancel, silence):
            parts.append(part)
        try:
            found = json.loads(b"".join(parts))
        except ValueError:
            found = None
        if not isinstance(found, dict):
            self.close()
            raise LostConnectionError("what answers is no model server")
        return found

    def close(self) -> None:
        """Hang up; the server ends what it does for this connection."""
        self._socket.close()

    def _event(self, cancel: CancelSignal | None, silence: float) -> h11.Event:
        try:
            while True:
                event = self._http.next_event()
                if event is h11.NEED_DATA:
                    self._http.receive_data(self._receive(cancel, silence))
                elif isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
                    raise LostConnectionError("the server hung up")
                else:
                    assert isinstance(event, h11.Event)
                    return event
        except (OSError, h11.RemoteProtocolError) as error:
            self.close()
            raise LostConnectionError(str(error)) from error
        except BaseException:
            self.close()
            raise

    def _receive(self, cancel: CancelSignal | None, silence: float) -> bytes:
        end = time.monotonic() + silence
        while not self._is_readable(_CANCEL_SECONDS if cancel is not None else silence):
            if cancel is not None and cancel.is_set():
                raise CancelledError
            if time.monotonic() >= end:
                raise ServerError(
                    f"The model server has said nothing for {silence:.0f} s: "
                    "stop it (`linewise serve stop`) and try again."
                )
        return self._socket.recv(_RECEIVED)

    def _is_readable(self, seconds: float) -> bool:
        if self._poll is not None:
            return bool(self._poll.poll(seconds * 1000))
        return bool(select.select([self._socket], [], [], seconds)[0])
