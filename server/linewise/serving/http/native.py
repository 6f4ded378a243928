"""The endpoints of Linewise's own client; `wire` has what they say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

import linewise
from linewise.engines.protocol import Engine, Request, Sampling
from linewise.errors import EngineError
from linewise.serving import wire
from linewise.serving.http.exchange import RefusedError, read_json, refusal, require_bounded
from linewise.serving.http.metrics import Metrics
from linewise.serving.http.prompts import Prompts, UnknownPrefixError
from linewise.serving.http.relay import Relay, Relays


@dataclass(frozen=True, slots=True)
class Serving:
    """What the endpoints share. `fingerprint` tells this model file from another; `stop` begins to drain."""

    engine: Engine
    relays: Relays
    prompts: Prompts
    metrics: Metrics
    fingerprint: str
    pid: int
    stop: Callable[[], None]


class Generate:
    """POST: one generation. The answer is a line of JSON for every few tokens, and one that ends it.

    Closing the connection ends the generation within one token.
    """

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        try:
            body = await read_json(scope, receive)
            _require_meant(body, self._serving)
            request = self._request(body)
            relay = self._serving.relays.start(request, is_short=_is_short(body))
        except RefusedError as refused:
            await refused.response()(scope, receive, send)
            return
        except UnknownPrefixError as unknown:
            self._serving.metrics.prefix_was_unknown()
            conflict = RefusedError(409, str(unknown), code=wire.UNKNOWN_PREFIX)
            await conflict.response()(scope, receive, send)
            return
        except EngineError as error:
            await refusal(error).response()(scope, receive, send)
            return
        watch = asyncio.ensure_future(cancel_when_gone(receive, relay))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            while (tokens := await relay.tokens()) is not None:
                line = json.dumps([wire.token_out(token) for token in tokens]) if tokens else ""
                await send({"type": "http.response.body", "body": line.encode() + b"\n", "more_body": True})
            last = {} if relay.error is None else {"error": wire.error_out(relay.error)}
            await send({"type": "http.response.body", "body": json.dumps(last).encode() + b"\n"})
        finally:
            relay.cancel.set()
            watch.cancel()

    def _request(self, body: Mapping[str, Any]) -> Request:
        try:
            rest = wire.segments_in(body["rest"])
            slot, sampling = str(body["slot"]), Sampling(**body["sampling"])
            prompt = self._serving.prompts.complete(slot, str(body["prefix"]), int(body["count"]), rest)
            stop = tuple(str(text) for text in body["stop"])
            forbidden = tuple(int(id_) for id_ in body["forbidden"])
            ids = tuple(int(id_) for id_ in body.get("ids", ()))  # an older client sends none
            healed, priority = str(body["healed"]), body["priority"]
            request = Request(prompt, sampling, healed, stop, slot, priority, forbidden, ids)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise RefusedError(400, f"The request is not of this protocol ({error!r}).") from None
        if request.priority not in {"inline", "next edit", "write"}:
            raise RefusedError(400, f"The priority {str(request.priority)[:40]!r} is not known.")
        require_bounded(prompt, self._serving.engine.info.context_length)
        return request


def _is_short(body: Mapping[str, Any]) -> bool:
    """Whether so little of the prompt is new that it is tokenized in a fraction of a millisecond."""
    return body["prefix"] != wire.NO_SEGMENTS and sum(len(item) for item in body["rest"]) <= _SHORT


def _require_meant(body: Mapping[str, Any], serving: Serving) -> None:
    """Refuse a request for the server that was here before. Raises RefusedError."""
    if body.get("to") != wire.peer(serving.fingerprint):
        raise RefusedError(
            409, "The request is for a server of another model or version.", code=wire.OTHER_SERVER
        )


async def cancel_when_gone(receive: Receive, *relays: Relay) -> None:
    """End the generations when the client hangs up."""
    while (await receive())["type"] != "http.disconnect":
        pass
    for relay in relays:
        relay.cancel.set()


class Endpoints:
    """The endpoints that answer at once."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    async def hello(self, http: HttpRequest) -> Response:  # noqa: ARG002 -- Starlette's signature
        """Who serves, and which model: a client makes sure that the two understand each other."""
        serving = self._serving
        return JSONResponse(
            {
                "protocol": wire.PROTOCOL,
                "version": linewise.__version__,
                "pid": serving.pid,
                "fingerprint": serving.fingerprint,
                "info": wire.info_out(serving.engine.info),
            }
        )

    async def tokenize(self, http: HttpRequest) -> Response:
        """The token ids of each segment."""
        body = await read_json(http.scope, http.receive)
        _require_meant(body, self._serving)
        try:
            segments = wire.segments_in(body.get("segments"))
        except ValueError as error:
            raise RefusedError(400, f"The request is not of this protocol ({error}).") from None
        # No bound by the context here: whether a text fits is what the caller wants to know.
        engine = self._serving.engine
        try:
            ids = await asyncio.to_thread(lambda: [engine.tokenize((segment,)) for segment in segments])
        except EngineError as error:
            raise refusal(error) from error
        return JSONResponse({"ids": ids})

    async def stop(self, http: HttpRequest) -> Response:  # noqa: ARG002
        """End the server once the generations that run have ended."""
        self._serving.stop()
        return JSONResponse({"stopping": True, "running": self._serving.relays.running}, 202)


_SHORT = 512
"""Characters; tokenizing 1,000 takes 0.3 ms."""

_HEADERS = [(b"content-type", b"application/x-ndjson"), (b"cache-control", b"no-store")]
