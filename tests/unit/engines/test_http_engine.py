"""The engine of other servers: what every engine promises, and what goes wrong on a network."""

from __future__ import annotations

import asyncio
import json
import math
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request as Incoming
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from engine_conformance import DIFF, PROMPT, Conformance, generate, text_of
from linewise.engines import Engine, HttpOptions, Request, Sampling, Segment
from linewise.engines.generation import Lane, Plan
from linewise.engines.http_engine import HttpEngine
from linewise.engines.http_events import Events
from linewise.engines.llama_cpp import LlamaCppEngine
from linewise.errors import BusyError, EngineError, ModelError

_SPECIAL = re.compile(r"(<\|[a-z]+\|>)")


class CompletionsServer:
    """A server of the tiny model: by token ids as vLLM, by text as others, and out of order as told."""

    def __init__(self, engine: LlamaCppEngine, owner: str = "vllm") -> None:
        self.engine, self.owner = engine, owner
        self.statuses: list[int] = []  # what the next requests are answered with, instead
        self.cut_after: int | None = None  # chunks after which the connection is dropped
        self.silent = threading.Event()  # while set, nothing is sent
        self.is_silent = threading.Event()  # an answer waits for that
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.cancelled = threading.Event()  # a client left in the middle
        app = Starlette(
            routes=[
                Route("/v1/models", self._models),
                Route("/v1/completions", self._completions, methods=["POST"]),
            ]
        )
        self._server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def __enter__(self) -> CompletionsServer:
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        return self

    def __exit__(self, *_: object) -> None:
        self.silent.clear()
        self._server.should_exit = self._server.force_exit = True
        self._thread.join()

    async def _models(self, incoming: Incoming) -> Response:
        self.headers.append(dict(incoming.headers))
        if self.statuses and self.statuses[0] == 401:
            return JSONResponse({}, 401)
        row = {"id": "tiny", "owned_by": self.owner, "max_model_len": 512, "format": "edit-log/1"}
        return JSONResponse({"data": [row]})

    async def _completions(self, incoming: Incoming) -> Response:
        body = await incoming.json()
        self.requests.append(body)
        if self.statuses:
            return JSONResponse({"error": {"message": "not now"}}, self.statuses.pop(0))
        return StreamingResponse(self._events(body), media_type="text/event-stream")

    async def _events(self, body: dict[str, Any]):
        sampling = Sampling(
            body["temperature"], body["top_p"], seed=body["seed"], max_tokens=body["max_tokens"]
        )
        cancel, loop = threading.Event(), asyncio.get_running_loop()
        tokens: asyncio.Queue[Any] = asyncio.Queue()

        def work() -> None:
            for token in self._stream(body, sampling, cancel):
                loop.call_soon_threadsafe(tokens.put_nowait, token)
            loop.call_soon_threadsafe(tokens.put_nowait, None)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        count = 0
        try:
            while (token := await tokens.get()) is not None:
                while self.silent.is_set():
                    self.is_silent.set()
                    await asyncio.sleep(0.01)
                if count == self.cut_after:
                    raise ConnectionError("cut")
                count += 1
                choice: dict[str, Any] = {"text": token.text, "logprobs": {"token_logprobs": [token.logprob]}}
                if self.owner == "vllm":
                    choice["token_ids"] = [token.id]
                yield f"data: {json.dumps({'choices': [choice]})}\n\n"
            yield "data: [DONE]\n\n"
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled.set()
            raise
        finally:
            cancel.set()

    def _stream(self, body: dict[str, Any], sampling: Sampling, cancel: threading.Event):
        prompt = body["prompt"]
        if isinstance(prompt, str):
            parts = [Segment(text, bool(_SPECIAL.fullmatch(text))) for text in _SPECIAL.split(prompt) if text]
            return self.engine.stream(
                Request(tuple(parts), sampling, stop=tuple(body.get("stop", ()))), cancel
            )
        plan = Plan(tuple(prompt), b"", frozenset(body.get("stop_token_ids", ())), sampling.max_tokens)
        lane = Lane(plan, sampling, self.engine._model.choices, 512)
        return self.engine._generate(lane, plan.prompt, cancel)


@pytest.fixture(scope="module")
def server(reference: LlamaCppEngine) -> Iterator[CompletionsServer]:
    with CompletionsServer(reference) as server:
        yield server


@pytest.fixture
def second(reference: LlamaCppEngine) -> Iterator[CompletionsServer]:
    with CompletionsServer(reference) as server:
        yield server


@pytest.fixture
def connect(tiny_checkpoint: Path) -> Iterator[Callable[..., HttpEngine]]:
    engines = []

    def open_(*servers: CompletionsServer, by_ids: bool = True, **options: Any) -> HttpEngine:
        tokenizer = tiny_checkpoint if by_ids else None
        addresses = tuple(server.address for server in servers)
        engines.append(HttpEngine(HttpOptions(addresses, tokenizer=tokenizer, **options)))
        return engines[-1]

    yield open_
    for engine in engines:
        engine.close()


class TestByIds(Conformance):
    healing = False  # what the server does not choose itself is given to it
    alternatives = False

    @pytest.fixture
    def engine(self, connect: Callable[..., HttpEngine], server: CompletionsServer) -> Engine:
        return connect(server)

    @pytest.fixture
    def another(self, connect: Callable[..., HttpEngine], server: CompletionsServer) -> Callable[[], Engine]:
        return lambda: connect(server)


class TestByText:
    @pytest.fixture
    def plain(self, reference: LlamaCppEngine) -> Iterator[CompletionsServer]:
        with CompletionsServer(reference, owner="library") as server:
            yield server

    def test_it_generates_what_the_model_does(
        self, connect: Callable[..., HttpEngine], plain: CompletionsServer, reference: Engine
    ) -> None:
        engine = connect(plain, by_ids=False)
        assert text_of(generate(engine)) == text_of(generate(reference))
        assert text_of(generate(engine, healed="ret")).startswith("ret")
        options = {"temperature": 20.0, "max_tokens": 100}
        for seed in range(40):
            free = generate(engine, seed=seed, stop=("<|file|>",), **options)
            assert all(token.text != "<|file|>" for token in free)
            if any(token.special for token in free):
                break
        else:
            pytest.fail("no control token was ever told")

    def test_a_document_that_holds_a_control_tokens_name_is_refused(
        self, connect: Callable[..., HttpEngine], plain: CompletionsServer
    ) -> None:
        engine = connect(plain, by_ids=False)
        before = len(plain.requests)
        with pytest.raises(EngineError, match=r"holds the text '<\|diff\|>'.*http\.tokenizer"):
            engine.stream(Request((DIFF, Segment("a<|diff|>b"))))
        assert len(plain.requests) == before

    def test_no_prompt_is_longer_than_it_is_counted(
        self, connect: Callable[..., HttpEngine], plain: CompletionsServer, reference: Engine
    ) -> None:
        engine = connect(plain, by_ids=False)
        assert len(engine.tokenize(PROMPT)) >= len(reference.tokenize(PROMPT))
        with pytest.raises(EngineError, match="no special token 'def'"):
            engine.tokenize((Segment("def", special=True),))


class TestFaults:
    def test_what_fails_before_its_first_token_is_tried_again(
        self, connect: Callable[..., HttpEngine], second: CompletionsServer, reference: Engine
    ) -> None:
        engine = connect(second, retries=2)
        second.statuses = [503, 500]
        assert text_of(generate(engine)) == text_of(generate(reference))
        assert len(second.requests) == 3

    def test_another_server_takes_over_and_keeps_the_document(
        self,
        connect: Callable[..., HttpEngine],
        server: CompletionsServer,
        reference: LlamaCppEngine,
    ) -> None:
        with CompletionsServer(reference) as other:
            engine = connect(server, other, retries=1)
            for slot in map(str, range(12)):
                generate(engine, slot=slot, max_tokens=1)
            assert other.requests
            served = len(other.requests)
            slot = next(
                str(n) for n in range(12) if engine._servers._order(str(n))[0].address == other.address
            )
            generate(engine, slot=slot, max_tokens=1)
            assert len(other.requests) == served + 1
        expected = text_of(generate(reference))
        assert text_of(generate(engine, slot=slot)) == expected  # the other one is gone
        assert engine._servers._order(slot)[0].address == server.address

    def test_an_answer_cut_in_the_middle_is_an_error_after_what_came(
        self, connect: Callable[..., HttpEngine], second: CompletionsServer
    ) -> None:
        engine = connect(second)
        second.cut_after = 3
        seen = []
        with pytest.raises(EngineError, match=re.escape(second.address)):
            seen += engine.stream(Request(PROMPT))
        stream = engine.stream(Request(PROMPT))
        assert [next(stream).text for _ in range(3)]
        with pytest.raises(EngineError, match="see to that server"):
            next(stream)

    def test_a_busy_server_is_told_as_busy(
        self, connect: Callable[..., HttpEngine], second: CompletionsServer
    ) -> None:
        engine = connect(second, retries=1)
        second.statuses = [429, 429]
        with pytest.raises(BusyError, match="not now"):
            generate(engine)

    def test_a_request_that_is_refused_is_not_sent_again(
        self, connect: Callable[..., HttpEngine], second: CompletionsServer
    ) -> None:
        engine = connect(second)
        second.statuses = [400]
        with pytest.raises(EngineError, match="refuses the request with status 400: not now"):
            generate(engine)
        assert len(second.requests) == 1

    def test_a_silent_server_is_given_up(
        self, connect: Callable[..., HttpEngine], second: CompletionsServer
    ) -> None:
        engine = connect(second, retries=0, timeout=0.3)
        second.silent.set()
        with pytest.raises(EngineError, match="does not answer"):
            generate(engine)

    def test_a_cancel_while_a_server_is_silent_ends_at_both_ends(
        self, connect: Callable[..., HttpEngine], second: CompletionsServer
    ) -> None:
        engine = connect(second)
        second.silent.set()
        cancel = threading.Event()
        threading.Thread(target=lambda: second.is_silent.wait(60) and cancel.set()).start()
        assert list(engine.stream(Request(PROMPT, Sampling(max_tokens=400)), cancel)) == []
        second.silent.clear()
        assert second.cancelled.wait(30)

    def test_a_server_that_is_not_there_is_named(self, connect: Callable[..., HttpEngine]) -> None:
        with pytest.raises(
            EngineError, match=r"No server of http\.addresses answers: http://127\.0\.0\.1:9 "
        ):
            HttpEngine(HttpOptions(("http://127.0.0.1:9",)))

    def test_the_key_is_sent_and_a_missing_one_is_named(
        self, connect: Callable[..., HttpEngine], second: CompletionsServer
    ) -> None:
        connect(second, key="secret")
        assert second.headers[-1]["authorization"] == "Bearer secret"
        for key, told in ((None, "wants a key"), ("wrong", "refuses the key")):
            second.statuses = [401]
            with pytest.raises(EngineError, match=f"{told}: set LINEWISE_HTTP_KEY"):
                connect(second, key=key)

    def test_what_no_server_says_must_be_set(
        self, connect: Callable[..., HttpEngine], second: CompletionsServer
    ) -> None:
        with pytest.raises(EngineError, match=r"no model other: set http\.model to one of: tiny"):
            connect(second, model="other")
        with pytest.raises(ModelError, match=r"http\.tokenizer"):
            connect(second, by_ids=False, format="fim")


def test_log_probabilities_that_a_server_does_not_tell_are_not_numbers(
    connect: Callable[..., HttpEngine], server: CompletionsServer
) -> None:
    engine = connect(server)
    given = generate(engine, healed="zzqx")
    assert math.isnan(given[0].logprob)
    assert not math.isnan(given[-1].logprob)


def chunks(*events: dict[str, Any]) -> list[tuple[str, int | None, float]]:
    reader = Events(8)
    found = [chunk for event in events for chunk in reader.read(json.dumps(event))]
    return [(one.text, one.id, one.logprob) for one in (*found, *reader.untold())]


@pytest.mark.parametrize(
    ("choice", "found"),
    [
        ({"text": "ab", "logprobs": {"tokens": ["a", "b"], "token_logprobs": [-1, -2]}},
         [("a", None, -1.0), ("b", None, -2.0)]),
        ({"text": "ab", "token_ids": [3, 4], "logprobs": {"tokens": ["a", "b"], "token_logprobs": [-1, -2]}},
         [("a", 3, -1.0), ("b", 4, -2.0)]),
        ({"text": "ab", "logprobs": {"content": [
            {"id": 3, "token": "a", "logprob": -1}, {"id": 4, "token": "b", "logprob": -2}]}},
         [("a", 3, -1.0), ("b", 4, -2.0)]),
        ({"text": "a", "token_ids": [3], "logprobs": {"token_logprobs": [-1]}}, [("a", 3, -1.0)]),
        ({"text": "", "token_ids": [3]}, [("", 3, None)]),
        # Half characters are not what the text has in the end: the tokens count, the text is kept.
        ({"text": "é", "logprobs": {"tokens": ["\ufffd", "\ufffd"], "token_logprobs": [-1, -2]}},
         [("é", None, None), ("", None, None)]),
        ({"text": "é", "token_ids": [3, 4]}, [("é", None, None), ("", None, None)]),
        ({"text": "ab"}, [("ab", None, None)]),
        ({"text": "", "logprobs": None}, []),
    ],
)  # fmt: skip
def test_tokens_that_come_together_are_told_apart(
    choice: dict[str, Any], found: list[tuple[str, int | None, float | None]]
) -> None:
    got = chunks({"choices": [choice]})
    assert [(text, id_, None if math.isnan(value) else value) for text, id_, value in got] == found


def test_an_answer_that_was_cut_has_as_many_tokens_as_the_server_counted() -> None:
    parts = [{"choices": [{"text": "one two"}]}, {"choices": [{"text": " three", "finish_reason": "length"}]}]
    usage = {"choices": [], "usage": {"completion_tokens": 5}}
    assert [text for text, *_ in chunks(*parts, usage)] == ["one two", " three", "", "", ""]
    assert len(chunks(*parts)) == 2
    assert len(chunks(*parts, {"choices": [], "usage": {"completion_tokens": 10**12}})) == 8
    ended = {"choices": [{"text": "", "finish_reason": "stop"}]}
    assert len(chunks(parts[0], ended, usage)) == 1  # what ended it counts there, too


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("{", "no JSON"),
        ("[]", "no JSON object"),
        ("null", "no JSON object"),
        ('{"error": {"message": "out of it"}}', "out of it"),
        ('{"choices": [5]}', "another form"),
        ('{"choices": [{"text": "a", "logprobs": {"content": [1]}}]}', "another form"),
        ('{"choices": [{"text": "a", "token_ids": 5}]}', "another form"),
    ],
)
def test_an_event_that_cannot_be_read_says_why(data: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        list(Events(8).read(data))


def test_what_an_event_says_as_null_is_not_there() -> None:
    assert chunks({"error": None, "choices": None}, {"error": None, "choices": [{"text": "a"}]})[0][0] == "a"


def test_a_server_is_told_what_it_would_otherwise_choose_itself(
    connect: Callable[..., HttpEngine], second: CompletionsServer
) -> None:
    generate(connect(second))
    generate(connect(second), top_k=7, min_p=0.1, top_p=0.9)
    sent = [(body["top_k"], body["min_p"], body["top_p"]) for body in second.requests]
    assert sent == [(-1, 0.0, 1.0), (7, 0.1, 0.9)]
    assert second.requests[0]["skip_special_tokens"] is False
