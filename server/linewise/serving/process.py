"""The life of a model server: claims its place, loads the model, listens, and ends when nobody needs it."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import socket
import stat
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import uvicorn

import linewise
from linewise.engines.protocol import Engine
from linewise.errors import ServerError
from linewise.serving.connection import Address, Connection, LostConnectionError
from linewise.serving.fingerprint import fingerprint
from linewise.serving.http.app import application
from linewise.serving.http.figures import SchedulerFigures, Scheduling
from linewise.serving.http.metrics import Metrics
from linewise.serving.http.native import Serving
from linewise.serving.http.prompts import Prompts
from linewise.serving.http.relay import Relays
from linewise.serving.logs import log_to
from linewise.serving.place import LONGEST_SOCKET_PATH, Place, Record, write_private

logger = logging.getLogger(__name__)

IDLE_SECONDS = 1800.0
"""How long a server that nobody is connected to keeps its model, as `serve.idle_minutes` has it, too."""

GRACE_SECONDS = 30
"""How long generations may go on once the server is to end."""

_KEEP_ALIVE_SECONDS = 7 * 24 * 3600
"""An open connection, however quiet, says that its editor is there."""

_SWITCH_SECONDS = 0.0005
"""How long a Python thread may keep others waiting: Python's own 5 ms is the time of several tokens."""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Where to listen: on `port` (0: a free one), else at `socket`, else at the place's own socket.

    The server ends when nobody has been connected for `idle_seconds`; 0 means never.
    """

    socket: Path | None = None
    port: int | None = None
    idle_seconds: float = IDLE_SECONDS


def serve_model(
    model: Path,
    place: Place,
    load: Callable[[], Engine],
    options: ServerOptions | None = None,
    announce: Callable[[Address], None] | None = None,
) -> None:
    """Serve the model file at `model`, as the engine that `load` makes of it, until nobody needs it any more.

    `announce` is called once clients can connect. Raises ServerError where another server lives at `place` or
    the address cannot be had, and what `load` raises.
    """
    options = options or ServerOptions()
    with place.held():
        log_to(place.log)
        logger.info("Linewise %s begins to serve %s, process %d", linewise.__version__, model, os.getpid())
        try:
            place.clear()  # what a dead server left
            state = fingerprint(model)  # before it is read: a change meanwhile must show
            engine = load()
            try:
                _listen_and_serve(engine, model, state, place, options, announce)
            finally:
                engine.close()
        except BaseException as error:
            logger.error("The server ends: %s", error)
            raise
        finally:
            place.clear()
        logger.info("The server has ended")


def _listen_and_serve(
    engine: Engine,
    model: Path,
    state: str,
    place: Place,
    options: ServerOptions,
    announce: Callable[[Address], None] | None,
) -> None:
    sys.setswitchinterval(_SWITCH_SECONDS)
    metrics = Metrics()
    relays = Relays(engine, metrics)
    metrics.watch("linewise_open_requests", "Requests that run or wait", lambda: relays.running)
    if isinstance(engine, Scheduling):
        metrics.add(SchedulerFigures(engine))
    listener, address = _listen(place, options)
    serving = Serving(
        engine, relays, Prompts(), metrics, state, os.getpid(), stop=lambda: _begin_to_end(server)
    )
    config = uvicorn.Config(
        application(serving, address.token),
        loop="asyncio",
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = uvicorn.Server(config)
    try:
        place.write_record(
            Record(os.getpid(), linewise.__version__, str(model), address.socket, address.port)
        )
        if announce is not None:
            announce(address)
        asyncio.run(_serve(server, listener, options.idle_seconds))
    finally:
        listener.close()
        if address.socket is not None:
            with suppress(OSError, ServerError):  # another server's by now, perhaps
                _make_room(Path(address.socket))
        relays.close()


def _begin_to_end(server: uvicorn.Server) -> None:
    server.should_exit = True


async def _serve(server: uvicorn.Server, listener: socket.socket, idle_seconds: float) -> None:
    # uvicorn raises the signal that ended it once more when it is done; what is left to do must be done yet.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    watch = asyncio.ensure_future(_end_when_idle(server, idle_seconds)) if idle_seconds else None
    try:
        await server.serve(sockets=[listener])
    finally:
        if watch is not None:
            watch.cancel()


async def _end_when_idle(server: uvicorn.Server, idle_seconds: float) -> None:
    """End the server once nobody has been connected for `idle_seconds`, by the clock that never jumps."""
    used, requests = time.monotonic(), -1
    while True:
        if server.server_state.connections or server.server_state.total_requests != requests:
            used, requests = time.monotonic(), server.server_state.total_requests
        elif time.monotonic() - used >= idle_seconds:
            logger.info("Nobody has been connected for %.0f s", idle_seconds)
            _begin_to_end(server)
            return
        await asyncio.sleep(min(idle_seconds / 4, 15.0))


def _listen(place: Place, options: ServerOptions) -> tuple[socket.socket, Address]:
    """A listening socket that nobody else can use: by its mode, or by a token."""
    if options.port is None and hasattr(socket, "AF_UNIX"):
        path = options.socket or place.socket
        return _listen_on_path(path), Address(str(path))
    try:
        listener = socket.create_server(("127.0.0.1", options.port or 0), backlog=512)
    except OSError as error:
        why = (
            os.strerror(error.errno) if error.errno else str(error)
        )  # Python's own text tells the port again
        raise ServerError(
            f"Port {options.port} of 127.0.0.1 cannot be listened on ({why}): name another one."
        ) from error
    token = secrets.token_urlsafe(32)
    write_private(place.token, token)
    return listener, Address(None, listener.getsockname()[1], token)


def _listen_on_path(path: Path) -> socket.socket:
    if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
        raise ServerError(
            f"The path {path} is too long for a socket: name a shorter folder in LINEWISE_RUNTIME_DIR, "
            "or a shorter path in serve.socket if you set that."
        )
    before = os.umask(0o177)
    try:
        _make_room(path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(str(path))
            listener.listen(512)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise ServerError(f"The socket {path} cannot be made ({error.strerror}).") from error
    finally:
        os.umask(before)
    return listener


def _make_room(path: Path) -> None:
    """Delete the socket of a dead server. Raises ServerError for anything else that is there."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ServerError(f"{path} is there and is no socket: name another path in serve.socket.")
    try:
        Connection(Address(str(path))).close()
    except LostConnectionError:
        path.unlink(missing_ok=True)
    else:
        raise ServerError(f"Another server listens on {path}: stop it, or name another path in serve.socket.")
