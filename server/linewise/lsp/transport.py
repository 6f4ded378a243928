"""Bytes in and out: standard streams that only the protocol may use, or one TCP client."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

from pygls.io_ import StdinAsyncReader, StdoutWriter, run_async

from linewise.errors import LinewiseError
from linewise.lsp.protocol import LinewiseProtocol

logger = logging.getLogger(__name__)


def claim_standard_streams() -> tuple[BinaryIO, BinaryIO]:
    """Take standard input and output for the protocol alone; return them as binary streams.

    Whatever else writes to standard output afterwards, a library in C included, lands on standard error,
    and nothing else can eat the editor's messages.
    """
    sys.stdout.flush()
    reader = os.fdopen(os.dup(0), "rb")
    writer = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return reader, writer


async def serve_streams(protocol: LinewiseProtocol, reader: BinaryIO, writer: BinaryIO) -> None:
    """Serve one editor until it hangs up."""
    protocol.set_writer(StdoutWriter(writer))
    # One thread of our own: the loop's default pool may be busy, and reading must never wait for it.
    with ThreadPoolExecutor(1, thread_name_prefix="linewise-stdin") as pool:
        await _read_messages(protocol, StdinAsyncReader(reader, pool))


async def serve_tcp(protocol: LinewiseProtocol, host: str, port: int) -> None:
    """Listen on `host`:`port` (0: any free port, named on standard error), and serve the first editor.

    The listener closes when that editor has connected: one process serves one editor, and a second
    client must not take over its connection. Raises LinewiseError when the address cannot be used.
    """
    connected: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]]
    connected = asyncio.get_running_loop().create_future()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if connected.done():
            writer.close()
        else:
            connected.set_result((reader, writer))

    try:
        listener = await asyncio.start_server(accept, host, port)
    except OSError as error:
        raise LinewiseError(
            f"Cannot listen on {host}:{port}: {error.strerror or error}. Choose another port, or 0 for any."
        ) from error
    bound = listener.sockets[0].getsockname()
    sys.stderr.write(f"linewise: listening on {bound[0]}:{bound[1]}\n")
    sys.stderr.flush()
    reader, writer = await connected
    listener.close()
    protocol.set_writer(writer)
    try:
        await _read_messages(protocol, reader)
    finally:
        writer.close()


async def _read_messages(protocol: LinewiseProtocol, reader: StdinAsyncReader | asyncio.StreamReader) -> None:
    def report(error: Exception, _source: object) -> None:
        logger.warning("A message could not be read: %s", error)

    try:
        await run_async(threading.Event(), reader, protocol, logger, report)
    except (ConnectionError, asyncio.IncompleteReadError):
        logger.info("The editor hung up in the middle of a message")
