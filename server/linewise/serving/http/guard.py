"""Keeps out who must not reach the server: web pages, and on a loopback port everyone without the token.

What it does not do: tell apart processes of the same user, who may read the token and the socket anyway.
"""

from __future__ import annotations

import hmac

from starlette.types import ASGIApp, Receive, Scope, Send

from linewise.serving.http.exchange import RefusedError, header

_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]", "linewise"})


class Guard:
    """Hands a request on to `app` where its Host is local, no page sent it, and its token is right.

    A page that a user visits can make the browser send requests here, under a name that it lets point to
    this machine (DNS rebinding) or without reading the answer. Browsers say so: by Host, by Origin, and by
    Sec-Fetch-Site. There is no CORS, so that no page may read an answer.
    """

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        """`token` None: the transport itself lets nobody else in, as a Unix socket of mode 0600 does."""
        self._app = app
        self._expected = None if token is None else f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] == "http" and (refused := self._refused(scope)) is not None:
            await refused.response()(scope, receive, send)
        elif scope["type"] in {"http", "lifespan"}:
            await self._app(scope, receive, send)

    def _refused(self, scope: Scope) -> RefusedError | None:
        headers = dict(scope["headers"])
        if b"origin" in headers or headers.get(b"sec-fetch-site", b"none") != b"none":
            return RefusedError(403, "Web pages may not use this server.", code="origin")
        host = header(scope, b"host").lower()
        name = host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host
        if name not in _HOSTS:
            return RefusedError(403, f"This server answers to localhost, not to {host[:100]!r}.", code="host")
        if self._expected is not None:
            given = header(scope, b"authorization").encode("latin-1")
            if not hmac.compare_digest(given, self._expected):
                return RefusedError(
                    401, "The bearer token is missing or wrong; see docs/serving.md.", code="invalid_api_key"
                )
        return None
