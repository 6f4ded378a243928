"""The server as an ASGI application: which address is which endpoint."""

from __future__ import annotations

import time

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

import linewise
from linewise.serving import wire
from linewise.serving.http.completions import Completions
from linewise.serving.http.exchange import RefusedError
from linewise.serving.http.figures import Scheduling
from linewise.serving.http.guard import Guard
from linewise.serving.http.metrics import CONTENT_TYPE_LATEST
from linewise.serving.http.native import Endpoints, Generate, Serving


def application(serving: Serving, token: str | None) -> ASGIApp:
    """The application; `token` as for Guard."""
    engine = serving.engine
    info = engine.info
    endpoints = Endpoints(serving)
    created = int(time.time())
    model = {"id": info.name, "object": "model", "created": created, "owned_by": "linewise"}
    model |= {"context_length": info.context_length, "format": info.format}
    names = frozenset({info.name, "linewise"})

    async def health(http: HttpRequest) -> Response:  # noqa: ARG001 -- Starlette's signature, here and below
        return JSONResponse(
            {
                "status": "ok",
                "version": linewise.__version__,
                "model": info.name,
                "lanes": info.lanes,
                "running": serving.relays.running,
            }
        )

    async def metrics(http: HttpRequest) -> Response:  # noqa: ARG001
        return Response(serving.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    async def models(http: HttpRequest) -> Response:  # noqa: ARG001
        return JSONResponse({"object": "list", "data": [model]})

    async def one_model(http: HttpRequest) -> Response:
        if http.path_params["name"] not in names:
            raise RefusedError(404, "This model is not served here.", code="model_not_found")
        return JSONResponse(model)

    async def documents(http: HttpRequest) -> Response:  # noqa: ARG001
        now = time.monotonic()
        cached = engine.statistics().cached_tokens if isinstance(engine, Scheduling) else {}
        held = dict(serving.prompts.items())
        return JSONResponse(
            {
                "object": "list",
                "data": [
                    {
                        "id": slot,
                        "object": "document",
                        "cached_tokens": cached.get(slot, 0),
                        "characters": held[slot].characters if slot in held else 0,
                        "idle_seconds": round(now - held[slot].used, 3) if slot in held else None,
                    }
                    for slot in dict.fromkeys([*held, *filter(None, cached)])
                ],
            }
        )

    async def drop_document(http: HttpRequest) -> Response:
        slot = http.path_params["name"]
        is_cached = isinstance(engine, Scheduling) and slot in engine.statistics().cached_tokens
        if isinstance(engine, Scheduling):
            engine.forget(slot)
        if not (serving.prompts.drop(slot) or is_cached):
            raise RefusedError(404, "No such document is held.", code="document_not_found")
        return JSONResponse({"id": slot, "object": "document", "deleted": True})

    app = Starlette(
        routes=[
            Route(wire.GENERATE, Generate(serving), methods=["POST"]),
            Route(wire.TOKENIZE, endpoints.tokenize, methods=["POST"]),
            Route(wire.HELLO, endpoints.hello),
            Route(wire.STOP, endpoints.stop, methods=["POST"]),
            Route("/v1/completions", Completions(serving, names), methods=["POST"]),
            Route("/v1/models", models),
            Route("/v1/models/{name:path}", one_model),
            Route(wire.DOCUMENTS, documents),
            Route(f"{wire.DOCUMENTS}/{{name:path}}", drop_document, methods=["DELETE"]),
            Route("/health", health),
            Route("/metrics", metrics),
        ],
        exception_handlers={RefusedError: _refused, HTTPException: _http_error, Exception: _failed},
    )
    return Guard(app, token)


def _refused(http: HttpRequest, error: Exception) -> Response:  # noqa: ARG001
    assert isinstance(error, RefusedError)
    return error.response()


def _http_error(http: HttpRequest, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    what = {404: "There is no such address", 405: "This address does not take the method"}
    said = what.get(error.status_code, error.detail)
    return RefusedError(error.status_code, f"{said}: {http.method} {http.url.path[:100]}.").response()


def _failed(http: HttpRequest, error: Exception) -> Response:  # noqa: ARG001
    # Starlette raises it again after the answer, and uvicorn writes it into the log.
    return RefusedError(500, "The server failed; see `linewise serve logs`.").response()
