"""OpenAI's `/v1/completions`: the choices of a request side by side, whole or as server-sent events."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from linewise.engines.protocol import Segment, Token
from linewise.errors import EngineError
from linewise.serving.http.completion_request import Completion, read_completion
from linewise.serving.http.exchange import RefusedError, read_json, refusal, require_bounded
from linewise.serving.http.native import Serving, cancel_when_gone
from linewise.serving.http.relay import Relay


@dataclass
class Choice:
    """One completion as it grows: text is given out once it cannot be the beginning of a stop text."""

    stop: tuple[str, ...]
    offset: int = 0
    tokens: int = 0
    ended_by_stop: bool = False
    _text: str = ""
    _waiting: list[tuple[Token, int]] = field(default_factory=list)
    _end: int = 0

    def add(self, tokens: list[Token]) -> tuple[str, list[tuple[Token, int]]]:
        """Take in tokens; the text that is certain now, and those that begin in it with their offsets."""
        for token in tokens:
            if self.ended_by_stop:
                break
            self.tokens += 1
            self._waiting.append((token, self._end))
            self._text += token.text
            self._end += len(token.text)
            places = [place for text in self.stop if (place := self._text.find(text)) >= 0]
            if places:
                self._text = self._text[: min(places)]
                self.ended_by_stop = True
        held = 0 if self.ended_by_stop else self._held_back()
        return self._give(len(self._text) - held)

    def finish(self) -> tuple[str, list[tuple[Token, int]]]:
        """The rest: no stop text came of it."""
        return self._give(len(self._text))

    def _held_back(self) -> int:
        """Length of the longest end of the text with which a stop text begins."""
        longest = max((len(text) for text in self.stop), default=0)
        for length in range(min(longest - 1, len(self._text)), 0, -1):
            if any(text.startswith(self._text[-length:]) for text in self.stop):
                return length
        return 0

    def _give(self, length: int) -> tuple[str, list[tuple[Token, int]]]:
        given, self._text = self._text[:length], self._text[length:]
        self.offset += length
        is_all = not self._text and not self.ended_by_stop
        count = sum(1 for token, start in self._waiting if start < self.offset or (is_all and not token.text))
        ready, self._waiting = self._waiting[:count], self._waiting[count:]
        return given, ready


class Completions:
    """POST: completions."""

    def __init__(self, serving: Serving, names: frozenset[str]) -> None:
        self._serving, self._names = serving, names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        relays: list[Relay] = []
        watch: asyncio.Future[None] | None = None
        try:
            body = await read_json(scope, receive)
            # In a thread: it asks the engine which special tokens there are, and prompts can be long.
            asked = await asyncio.to_thread(self._read, body)
            counts = await asyncio.to_thread(self._prompt_tokens, asked)
            for request in asked.requests:  # one by one: those that began end if another cannot
                relays.append(self._serving.relays.start(request))
            watch = asyncio.ensure_future(cancel_when_gone(receive, *relays))
            answer = _Answer(asked, counts, relays, self._serving.engine.info.context_length)
            await (answer.stream(send) if asked.stream else answer.whole(scope, receive, send))
        except RefusedError as refused:
            await refused.response()(scope, receive, send)
        except EngineError as error:
            await refusal(error).response()(scope, receive, send)
        finally:
            for relay in relays:
                relay.cancel.set()
            if watch is not None:
                watch.cancel()

    def _read(self, body: Mapping[str, Any]) -> Completion:
        engine = self._serving.engine

        def is_special(text: str) -> bool:
            try:
                return len(engine.tokenize((Segment(text, special=True),))) == 1
            except EngineError:
                return False

        return read_completion(body, engine.info, self._names, is_special)

    def _prompt_tokens(self, asked: Completion) -> list[int]:
        """Tokens of each prompt. Raises RefusedError for one that is empty or does not fit."""
        engine = self._serving.engine
        limit = engine.info.context_length
        prompts = asked.requests[:: asked.choices_each]
        for request in prompts:
            require_bounded(request.prompt, limit)
        counts = [len(request.ids or engine.tokenize(request.prompt)) for request in prompts]
        for count in counts:
            if count > limit:
                raise RefusedError(
                    400, f"The prompt has {count} tokens and the context holds {limit}: send less.",
                    code="context_length_exceeded", param="prompt",
                )  # fmt: skip
        return counts


class _Answer:
    """One answer to one request."""

    def __init__(
        self, asked: Completion, prompt_tokens: list[int], relays: list[Relay], context_length: int
    ) -> None:
        self._asked, self._prompt_tokens, self._relays = asked, prompt_tokens, relays
        self._context_length = context_length
        self._choices = [Choice(asked.stop) for _ in relays]
        self._head = {
            "id": f"cmpl-{uuid.uuid4().hex}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": asked.model,
        }

    async def whole(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer once every choice is complete. Raises the first EngineError of any."""
        choices = await asyncio.gather(*(self._collect(index) for index in range(len(self._relays))))
        body = {**self._head, "choices": list(choices), "usage": self._usage()}
        await JSONResponse(body)(scope, receive, send)

    async def _collect(self, index: int) -> Mapping[str, Any]:
        choice, relay = self._choices[index], self._relays[index]
        text = self._echoed(index)
        told: list[tuple[Token, int]] = []
        while not choice.ended_by_stop and (tokens := await relay.tokens()) is not None:
            more, ready = choice.add(tokens)
            text += more
            told += ready
        relay.cancel.set()
        if relay.error is not None:
            raise relay.error
        more, ready = choice.finish()
        return self._choice(index, text + more, [*told, *ready], self._reason(index))

    async def stream(self, send: Send) -> None:
        """Answer by events as tokens come. Raises EngineError where nothing has been sent yet."""
        events: asyncio.Queue[Mapping[str, Any] | EngineError | None] = asyncio.Queue()
        pumps = [asyncio.ensure_future(self._pump(index, events)) for index in range(len(self._relays))]
        started = False
        try:
            left = len(pumps)
            while left:
                event = await events.get()
                if event is None:
                    left -= 1
                    continue
                if isinstance(event, EngineError) and not started:
                    raise event
                if not started:
                    await send({"type": "http.response.start", "status": 200, "headers": _EVENTS})
                    started = True
                if isinstance(event, EngineError):
                    # The status is out already: the stream says it, and ends without [DONE].
                    error = {"message": str(event), "type": "server_error", "param": None, "code": "engine"}
                    await self._send(send, {"error": error}, last=True)
                    return
                await self._send(send, event)
            if self._asked.include_usage:
                await self._send(send, {**self._head, "choices": [], "usage": self._usage()})
            await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})
        finally:
            for pump in pumps:
                pump.cancel()

    async def _pump(self, index: int, events: asyncio.Queue[Mapping[str, Any] | EngineError | None]) -> None:
        choice, relay = self._choices[index], self._relays[index]
        echoed = self._echoed(index)
        while not choice.ended_by_stop and (tokens := await relay.tokens()) is not None:
            text, ready = choice.add(tokens)
            if echoed or text or ready:
                events.put_nowait(self._event(index, echoed + text, ready, None))
                echoed = ""
        relay.cancel.set()
        if relay.error is not None:
            events.put_nowait(relay.error)
        else:
            text, ready = choice.finish()
            events.put_nowait(self._event(index, echoed + text, ready, self._reason(index)))
        events.put_nowait(None)

    async def _send(self, send: Send, event: Mapping[str, Any], *, last: bool = False) -> None:
        data = f"data: {json.dumps(event)}\n\n".encode()
        await send({"type": "http.response.body", "body": data, "more_body": not last})

    def _event(
        self, index: int, text: str, ready: list[tuple[Token, int]], reason: str | None
    ) -> Mapping[str, Any]:
        return {**self._head, "choices": [self._choice(index, text, ready, reason)]}

    def _choice(
        self, index: int, text: str, ready: list[tuple[Token, int]], reason: str | None
    ) -> Mapping[str, Any]:
        logprobs = None
        if self._asked.logprobs:
            logprobs = {
                "tokens": [token.text for token, _ in ready],
                "token_logprobs": [token.logprob for token, _ in ready],
                "top_logprobs": self._alternatives(ready),
                "text_offset": [offset for _, offset in ready],
            }
        return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": reason}

    def _alternatives(self, ready: list[tuple[Token, int]]) -> list[dict[str, float]] | None:
        """The likeliest tokens in place of each, and that one itself, as OpenAI has them: by their texts."""
        if not self._asked.requests[0].sampling.alternatives:
            return None
        found = []
        for token, _ in ready:
            texts: dict[str, float] = {}
            for text, logprob in (*token.alternatives, (token.text, token.logprob)):
                texts.setdefault(text, logprob)  # half characters look alike: the likeliest stands for them
            found.append(texts)
        return found

    def _echoed(self, index: int) -> str:
        return self._asked.prompts[index // self._asked.choices_each] if self._asked.echo else ""

    def _reason(self, index: int) -> str:
        """Why a choice ended: "length" where the limit or the context left no room for another token."""
        choice, request = self._choices[index], self._asked.requests[index]
        room = self._context_length - self._prompt_tokens[index // self._asked.choices_each]
        limit = min(request.sampling.max_tokens, room)
        return "length" if not choice.ended_by_stop and choice.tokens >= limit else "stop"

    def _usage(self) -> Mapping[str, int]:
        prompt, generated = sum(self._prompt_tokens), sum(choice.tokens for choice in self._choices)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": generated,
            "total_tokens": prompt + generated,
        }


_EVENTS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]
