"""Servers of OpenAI's completions API: which of them are well, and one answer's stream of chunks.

A document's requests go to one server as long as it is well, since that one has the document in its cache.
A server that does not answer is left alone for a while, longer each time. What failed before its first chunk
is tried at the next one. Nothing here knows of tokens beyond their ids.
"""

from __future__ import annotations

import asyncio
import hashlib
import queue
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import httpx

from linewise.engines.http_events import Chunk, Events
from linewise.engines.protocol import CancelSignal, Sampling
from linewise.errors import BusyError, EngineError

_POLL_SECONDS = 0.02
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0
_RETRY_PAUSE = 0.2
_BUSY = frozenset({429, 503})
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which another try, at the same server or another, may go well."""

_EXTRAS: Mapping[str, Mapping[str, Any]] = {
    "llamacpp": {"cache_prompt": True, "logprobs": 1},
    "vllm": {
        "skip_special_tokens": False,
        "spaces_between_special_tokens": False,
        "return_token_ids": True,
        "logprobs": 0,
    },
    "linewise": {"parse_special": True, "logprobs": 0},
    "library": {"stream_options": {"include_usage": True}},  # Ollama
}
"""What each kind of server, by the `owned_by` of its models, wants beyond OpenAI's own parameters."""

_NO_TOP_K: Mapping[str, int] = {"llamacpp": 0, "vllm": -1, "linewise": 0}
"""How each is told that no token is too unlikely."""


@dataclass(frozen=True, slots=True)
class Served:
    """What a server says of the model that it serves; None for what it does not say. Sizes are in bytes."""

    address: str
    kind: str
    model: str
    context_length: int | None = None
    format: str | None = None
    parameters: int | None = None
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt as ids or text; `names` are the control tokens that the answer may hold."""

    content: tuple[int, ...] | str
    names: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    stop_ids: tuple[int, ...] = ()


class _PassingError(Exception):
    """A server failed in a way that another try may mend; `busy` where it said that it has too much to do."""

    def __init__(self, message: str, *, busy: bool = False) -> None:
        super().__init__(message)
        self.busy = busy


class _Server:
    """One address, and how long it is to be left alone."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.served: Served | None = None
        self._pause = 0.0
        self._resting_until = 0.0

    def rests(self) -> bool:
        return time.monotonic() < self._resting_until

    def failed(self) -> None:
        self._pause = min(_LONGEST_PAUSE, max(_FIRST_PAUSE, 2 * self._pause))
        self._resting_until = time.monotonic() + self._pause

    def answered(self) -> None:
        self._pause = self._resting_until = 0.0


class Servers:
    """All of them, and the event loop on which their answers arrive. Thread-safe."""

    def __init__(
        self,
        addresses: tuple[str, ...],
        *,
        key: str | None,
        timeout: float,
        connect_timeout: float,
        retries: int,
    ) -> None:
        """Nothing is sent before `find`. Times are in seconds."""
        self._servers = [_Server(address) for address in addresses]
        self._retries = retries
        self._model: str | None = None
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self._loop = asyncio.new_event_loop()
        self._closed = threading.Event()
        self._client = httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(timeout, connect=connect_timeout),
            limits=httpx.Limits(max_connections=None),
            trust_env=False,  # a proxy of the environment must not see what was meant for this address
        )
        self._thread = threading.Thread(target=self._loop.run_forever, name="linewise-http", daemon=True)
        self._thread.start()

    def find(self, model: str | None) -> Served:
        """What the first server that answers says of `model` (None: the first model that it lists).

        Raises EngineError where none answers, or where that one has no such model.
        """
        troubles = []
        for server in self._servers:
            try:
                served = asyncio.run_coroutine_threadsafe(self._ask(server, model), self._loop).result()
            except _PassingError as error:
                server.failed()
                troubles.append(str(error))
                continue
            self._model = served.model
            return served
        raise EngineError(f"No server of http.addresses answers: {'; '.join(troubles)}.")

    def stream(self, prompt: Prompt, sampling: Sampling, slot: str, cancel: CancelSignal | None) -> Stream:
        """Start an answer. Its iterator raises what `Engine.stream` does."""
        self.require_open()
        chunks: queue.SimpleQueue[Chunk | Exception | None] = queue.SimpleQueue()
        future = asyncio.run_coroutine_threadsafe(self._answer(prompt, sampling, slot, chunks), self._loop)
        return Stream(chunks, future, self._closed, cancel)

    def require_open(self) -> None:
        """Raise EngineError where the engine was closed."""
        if self._closed.is_set():
            raise EngineError("The engine was closed: load the model again to go on.")

    def close(self) -> None:
        """End all connections."""
        if self._closed.is_set():
            return
        self._closed.set()

        async def end() -> None:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await self._client.aclose()

        asyncio.run_coroutine_threadsafe(end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _order(self, slot: str) -> list[_Server]:
        """The servers for a slot: those that are well first, and each slot has its own order of them."""

        def rank(server: _Server) -> tuple[bool, bytes]:
            return server.rests(), hashlib.sha256(f"{slot}\n{server.address}".encode()).digest()

        return sorted(self._servers, key=rank)

    async def _ask(self, server: _Server, model: str | None) -> Served:
        """What a server serves. Raises _PassingError where it does not say, EngineError for a wrong model."""
        answer = await self._get(server.address, "/v1/models")
        rows = answer.get("data") if isinstance(answer, dict) else None
        models = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
        named = [row for row in models if model in (None, row.get("id"))]
        if not named or not isinstance(named[0].get("id"), str):
            there = ", ".join(str(row.get("id")) for row in models) or "none"
            raise EngineError(
                f"{server.address} has no model {model or ''}: set http.model to one of: {there}."
            )
        found = named[0]
        told = found.get("meta")
        meta: dict[str, Any] = told if isinstance(told, dict) else {}
        served = Served(
            server.address,
            str(found.get("owned_by", "unknown")),
            found["id"],
            _whole(found.get("max_model_len")) or _whole(found.get("context_length")),
            found.get("format") if isinstance(found.get("format"), str) else None,
            _whole(meta.get("n_params")),
            _whole(meta.get("size")),
        )
        if served.kind == "llamacpp":
            properties = await self._get(server.address, "/props")
            generation = properties.get("default_generation_settings", {})
            length = _whole(generation.get("n_ctx")) or _whole(meta.get("n_ctx_train"))
            served = Served(
                served.address, served.kind, served.model, length, served.format, served.parameters,
                served.size_bytes,
            )  # fmt: skip
        server.served = served
        server.answered()
        return served

    async def _get(self, address: str, path: str) -> Any:
        try:
            answer = await self._client.get(address.removesuffix("/v1") + path)
        except httpx.HTTPError as error:
            raise _PassingError(f"{address} cannot be reached ({error or type(error).__name__})") from None
        if answer.status_code in (401, 403):
            what = "refuses the key" if "authorization" in self._client.headers else "wants a key"
            raise EngineError(
                f"{address} {what}: set LINEWISE_HTTP_KEY, or http.key_file in your own linewise.toml."
            )
        if answer.status_code != 200:
            raise _PassingError(f"{address} answers {path} with status {answer.status_code}")
        try:
            return answer.json()
        except ValueError:
            raise _PassingError(f"{address} answers {path} with something else than JSON") from None

    async def _answer(
        self,
        prompt: Prompt,
        sampling: Sampling,
        slot: str,
        chunks: queue.SimpleQueue[Chunk | Exception | None],
    ) -> None:
        """Put the chunks of an answer into `chunks`, then None, or the error that ended it."""
        troubles: list[_PassingError] = []
        begun = False
        try:
            for number in range(self._retries + 1):
                if number:
                    await asyncio.sleep(min(2.0, _RETRY_PAUSE * 2 ** (number - 1)))
                server = self._order(slot)[number % len(self._servers) if self._all_rest() else 0]
                try:
                    async for chunk in self._chunks(server, prompt, sampling):
                        begun = True
                        chunks.put(chunk)
                    server.answered()
                    chunks.put(None)
                    return
                except _PassingError as error:
                    server.failed()
                    troubles.append(error)
                    if begun:
                        break
            last = troubles[-1]
            if last.busy:
                chunks.put(BusyError(f"{last}: try again in a moment."))
            else:
                chunks.put(EngineError(f"{last}, after {len(troubles)} tries: see to that server."))
        except EngineError as error:
            chunks.put(error)
        except asyncio.CancelledError:
            chunks.put(EngineError("The engine was closed: load the model again to go on."))
            raise
        except Exception as error:  # a thread would wait for ever
            chunks.put(EngineError(f"The answer of a server cannot be read ({error!r})."))

    def _all_rest(self) -> bool:
        return all(server.rests() for server in self._servers)

    async def _chunks(self, server: _Server, prompt: Prompt, sampling: Sampling) -> AsyncIterator[Chunk]:
        served = server.served or await self._ask(server, self._model)
        body, events = _body(served, prompt, sampling), Events(sampling.max_tokens)
        url = server.address.removesuffix("/v1") + "/v1/completions"
        try:
            async with self._client.stream("POST", url, json=body) as answer:
                if answer.status_code != 200:
                    await answer.aread()
                    _refuse(server.address, answer)
                async for line in answer.aiter_lines():
                    if not line.startswith("data:"):
                        continue
                    data = line.removeprefix("data:").strip()
                    if data == "[DONE]":
                        break
                    for chunk in events.read(data):
                        yield chunk
                for chunk in events.untold():
                    yield chunk
        except httpx.HTTPError as error:
            why = str(error) or type(error).__name__
            raise _PassingError(f"{server.address} does not answer ({why})") from None
        except ValueError as error:
            raise _PassingError(f"{server.address} {error}") from None


class Stream:
    """One answer as it arrives. Leave it by `with`: that ends it at the server, too."""

    def __init__(
        self,
        chunks: queue.SimpleQueue[Chunk | Exception | None],
        future: Future[None],
        closed: threading.Event,
        cancel: CancelSignal | None,
    ) -> None:
        self._chunks, self._future, self._closed, self._cancel = chunks, future, closed, cancel

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._future.cancel()

    def __iter__(self) -> Iterator[Chunk]:
        """The chunks, until the end or a cancel. Raises EngineError and BusyError."""
        while not (self._cancel is not None and self._cancel.is_set()):
            if self._closed.is_set():
                raise EngineError("The engine was closed: load the model again to go on.")
            try:
                chunk = self._chunks.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                continue
            if chunk is None:
                return
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk


def _body(served: Served, prompt: Prompt, sampling: Sampling) -> dict[str, Any]:
    content = prompt.content if isinstance(prompt.content, str) else list(prompt.content)
    body: dict[str, Any] = {
        "model": served.model,
        "prompt": content,
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": sampling.seed,
        "stream": True,
        **_EXTRAS.get(served.kind, {}),
    }
    # Left out, these would be what the server likes, not what was asked for.
    if sampling.top_k or served.kind in _NO_TOP_K:
        body["top_k"] = sampling.top_k or _NO_TOP_K[served.kind]
    if sampling.min_p or served.kind in _NO_TOP_K:
        body["min_p"] = sampling.min_p
    if served.kind == "llamacpp":
        body["preserved_tokens"] = list(prompt.names)
    elif prompt.stop and served.kind != "linewise":
        body["stop"] = list(prompt.stop)
    if prompt.stop_ids and served.kind == "vllm":
        del body["stop"]
        body["stop_token_ids"] = list(prompt.stop_ids)
    return body


def _refuse(address: str, answer: httpx.Response) -> None:
    """Raise what a status that is not 200 means."""
    try:
        error = answer.json().get("error", {})
        why = str(error.get("message", error) if isinstance(error, dict) else error)
    except (ValueError, AttributeError):
        why = answer.text
    why = " ".join(why.split())[:300]
    if answer.status_code in _PASSING:
        busy = answer.status_code in _BUSY
        raise _PassingError(f"{address} answers with status {answer.status_code} ({why})", busy=busy)
    raise EngineError(f"{address} refuses the request with status {answer.status_code}: {why}")


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
