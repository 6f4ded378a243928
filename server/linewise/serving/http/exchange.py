"""The server's side of one HTTP exchange: bounded bodies in, JSON out, errors in OpenAI's shape."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope

from linewise.engines.protocol import Segment
from linewise.errors import BusyError, ContextError, EngineError, ModelError

LARGEST_BODY = 16 << 20
"""Bytes of a request's body; the longest prompts of the longest contexts are a fraction of it."""

_DRAINED = 4 * LARGEST_BODY


class RefusedError(Exception):
    """A request that cannot be answered: `status` is HTTP's, `code` and `param` are as OpenAI has them."""

    def __init__(
        self, status: int, message: str, *, code: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param

    def response(self) -> JSONResponse:
        """The answer that says so."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        # A client that would wait for a better moment is told how long, in seconds.
        headers = {"retry-after": "1"} if self.status in {429, 503} else None
        return JSONResponse({"error": error}, self.status, headers)


def refusal(error: EngineError) -> RefusedError:
    """What an engine's error is over HTTP: its errors are about the request unless they say otherwise."""
    if isinstance(error, BusyError):
        return RefusedError(503, str(error), code="busy")
    if isinstance(error, ModelError):
        return RefusedError(500, str(error), code="model")
    if isinstance(error, ContextError):
        return RefusedError(400, str(error), code="context", param="prompt")
    return RefusedError(400, str(error), code="engine")


async def read_json(scope: Scope, receive: Receive) -> Mapping[str, Any]:
    """The JSON object in a request's body.

    Raises RefusedError for a body that is too long, no JSON, or no object.
    """
    length = header(scope, b"content-length")
    announced = int(length) if length.isdecimal() else 0
    if announced > _DRAINED:
        raise _too_large()
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RefusedError(400, "The request ended before its body did.")
        part = message.get("body", b"")
        size += len(part)
        if size <= LARGEST_BODY:
            parts.append(part)
        elif size > _DRAINED:  # up to there it is read and dropped, so that the client sees the answer
            raise _too_large()
        more = message.get("more_body", False)
    if size > LARGEST_BODY:
        raise _too_large()
    try:
        found = json.loads(b"".join(parts))
    except (ValueError, RecursionError):
        raise RefusedError(400, "The request's body is not JSON.") from None
    if not isinstance(found, dict):
        raise RefusedError(400, "The request's body is not a JSON object.")
    return found


def require_bounded(segments: tuple[Segment, ...], context_length: int) -> None:
    """Refuse a prompt that is far too long before time goes into tokenizing it. Raises RefusedError."""
    characters = sum(len(segment.text) for segment in segments)
    if characters > 64 * context_length + 4096:
        raise RefusedError(
            400,
            f"The prompt has {characters} characters, far more than the {context_length} tokens of context "
            "can hold: send less.",
            code="context_length_exceeded",
            param="prompt",
        )


def header(scope: Scope, name: bytes) -> str:
    """A header by its lower-case name; empty where it is not there, or more than once."""
    found = [value for key, value in scope["headers"] if key == name]
    return found[0].decode("latin-1") if len(found) == 1 else ""


def _too_large() -> RefusedError:
    return RefusedError(413, f"The request's body is larger than {LARGEST_BODY >> 20} MiB: send less.")
