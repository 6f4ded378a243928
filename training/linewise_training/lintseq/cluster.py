"""Ask whether a Ray cluster is where RAY_ADDRESS says, in seconds: Ray itself tries for minutes.

Looks no further than that something there speaks HTTP/2, as Ray's servers do; versions are Ray's to compare.
"""

from __future__ import annotations

import os
import socket
import time

from linewise.errors import LinewiseError

_PATIENCE = 5.0
"""In seconds, for the connection and for the answer."""

# RFC 9113, section 3.4: what a client says first, with an empty SETTINGS frame; a server's first is one, too.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
_HEAD, _TYPE, _SETTINGS = 9, 3, 4


def require_cluster(address: str) -> None:
    """Raise LinewiseError where `address`, as RAY_ADDRESS has it, names a cluster that does not answer.

    Nothing is asked where Ray finds or starts the cluster itself ("", "auto", "local").
    """
    if address in ("", "auto", "local"):
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or "/" in host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise LinewiseError(
            f"RAY_ADDRESS is {address!r}, not HOST:PORT; set it to the address that `ray start --head` "
            "tells, or unset it to work on this machine"
        )
    try:
        answer = _answer(host.strip("[]"), int(port))
    except (OSError, UnicodeError) as error:  # the latter for a name that no host can have
        reason = getattr(error, "strerror", None) or error
        raise LinewiseError(
            f"no Ray cluster can be reached at {address} (RAY_ADDRESS): {reason}; start it, "
            "correct the address, or unset it to work on this machine"
        ) from error
    if answer is not None and (len(answer) < _HEAD or answer[_TYPE] != _SETTINGS):
        raise LinewiseError(
            f"what answers at {address} (RAY_ADDRESS) is no Ray cluster; set it to the address that "
            "`ray start --head` tells, or unset it to work on this machine"
        )


def _answer(host: str, port: int) -> bytes | None:
    """The first bytes that a server says, as many as a frame's head; None where it speaks TLS, unread."""
    deadline = time.monotonic() + _PATIENCE
    with socket.create_connection((host, port), timeout=_PATIENCE) as connection:
        if os.environ.get("RAY_USE_TLS", "0").lower() not in ("0", "false", ""):
            return None
        connection.sendall(_PREFACE)
        said = b""
        while len(said) < _HEAD:
            connection.settimeout(max(0.01, deadline - time.monotonic()))
            part = connection.recv(_HEAD - len(said))
            if not part:
                break
            said += part
        return said
