"""`/v1/completions` and its neighbours: what OpenAI's clients may ask, and what they are told."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from scripted_engine import FIM, ScriptedEngine
from servers import wait_for
from starlette.testclient import TestClient

from linewise.serving import wire
from linewise.serving.http.app import application
from linewise.serving.http.completions import Choice
from linewise.serving.http.exchange import LARGEST_BODY
from linewise.serving.http.metrics import Metrics
from linewise.serving.http.native import Serving
from linewise.serving.http.prompts import Prompts
from linewise.serving.http.relay import Relays

MEANT = wire.peer("print")
NATIVE = {
    "to": MEANT, "slot": "a/b", "priority": "inline", "prefix": "", "count": 0, "rest": ["the file", "say x"],
    "sampling": {}, "healed": "", "stop": [], "forbidden": [],
}  # fmt: skip


def client_of(engine: ScriptedEngine, token: str | None = None) -> TestClient:
    relays = Relays(engine, metrics := Metrics())
    serving = Serving(engine, relays, Prompts(), metrics, "print", os.getpid(), stop=lambda: None)
    return TestClient(application(serving, token), base_url="http://localhost", raise_server_exceptions=False)


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.fixture
def http(engine: ScriptedEngine) -> Iterator[TestClient]:
    with client_of(engine) as client:
        yield client


def post(http: TestClient, **body: Any) -> Any:
    return http.post("/v1/completions", json={"model": "linewise", "max_tokens": 100, **body})


def events(text: str) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def test_a_completion_is_answered_as_openai_does(http: TestClient) -> None:
    answer = post(http, prompt="say abc", seed=7).json()
    assert answer["object"] == "text_completion"
    assert answer["model"] == "linewise"
    assert answer["choices"] == [{"index": 0, "text": "abc", "logprobs": None, "finish_reason": "stop"}]
    assert answer["usage"] == {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


def test_the_limit_ends_it_with_length(http: TestClient) -> None:
    (choice,) = post(http, prompt="say abc", max_tokens=2).json()["choices"]
    assert (choice["text"], choice["finish_reason"]) == ("ab", "length")


def test_prompts_and_choices_come_in_order_and_with_seeds_of_their_own(
    http: TestClient, engine: ScriptedEngine
) -> None:
    answer = post(http, prompt=["say a", "say b"], n=2, seed=5, temperature=0.5, echo=True).json()
    assert [choice["text"] for choice in answer["choices"]] == ["say aa", "say aa", "say bb", "say bb"]
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    assert sorted(request.sampling.seed for request in engine.seen) == [5, 5, 6, 6]
    assert {request.sampling.temperature for request in engine.seen} == {0.5}


def test_prompts_may_be_token_ids(http: TestClient, engine: ScriptedEngine) -> None:
    answer = post(http, prompt=[5, 6, 7], n=2, seed=1).json()
    assert answer["usage"]["prompt_tokens"] == 3
    post(http, prompt=[[8], "say a", [9, 10]], seed=1)
    assert sorted(seen.ids for seen in engine.seen) == [(), (5, 6, 7), (5, 6, 7), (8,), (9, 10)]
    assert all(not seen.prompt for seen in engine.seen if seen.ids)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("said", "stop", "left", "reason"),
    [
        ("one\ntwo", "\n", "one", "stop"),
        ("abcabd", ["abd"], "abc", "stop"),
        ("aab", "ab", "a", "stop"),
        ("abcab", "abd", "abcab", "stop"),
        ("xyz", ["z", "yz"], "x", "stop"),
    ],
)
def test_a_stop_text_ends_it_and_is_not_given(
    http: TestClient, said: str, stop: object, left: str, reason: str, stream: bool
) -> None:
    answer = post(http, prompt=f"say {said}", stop=stop, stream=stream)
    if stream:
        choices = [event["choices"][0] for event in events(answer.text)[:-1]]
        assert "".join(choice["text"] for choice in choices) == left
        assert [choice["finish_reason"] for choice in choices][-1] == reason
    else:
        (choice,) = answer.json()["choices"]
        assert (choice["text"], choice["finish_reason"]) == (left, reason)


def test_a_stop_text_ends_the_generation_itself(http: TestClient, engine: ScriptedEngine) -> None:
    assert post(http, prompt="count 100000", stop="5", max_tokens=10**6).json()["choices"][0]["text"]
    wait_for("its end", lambda: len(engine.cancelled) == 1)


def test_logprobs_are_of_the_tokens_given(http: TestClient) -> None:
    (choice,) = post(http, prompt="say abcd", logprobs=0, stop="c").json()["choices"]
    assert choice["logprobs"] == {
        "tokens": ["a", "b"],
        "token_logprobs": [-0.0, -0.1],
        "top_logprobs": None,
        "text_offset": [0, 1],
    }


def test_the_likeliest_tokens_come_with_logprobs_where_some_are_asked_for(http: TestClient) -> None:
    (choice,) = post(http, prompt="say ab", logprobs=3).json()["choices"]
    assert choice["logprobs"]["top_logprobs"] == [{"a": -0.0, "?": -3.0}, {"b": -0.1, "?": -3.0}]
    (first, *_, done) = events(post(http, prompt="say ab", logprobs=1, stream=True).text)
    assert first["choices"][0]["logprobs"]["top_logprobs"][0] == {"a": -0.0}
    assert done == "[DONE]"


def test_a_stream_ends_with_usage_where_asked_and_done(http: TestClient) -> None:
    answer = post(
        http, prompt=["say ab", "say cd"], stream=True, stream_options={"include_usage": True}, logprobs=0
    )
    assert answer.headers["content-type"].startswith("text/event-stream")
    *parts, usage, done = events(answer.text)
    texts = {0: "", 1: ""}
    tokens: dict[int, list[str]] = {0: [], 1: []}
    for part in parts:
        (choice,) = part["choices"]
        texts[choice["index"]] += choice["text"]
        tokens[choice["index"]] += choice["logprobs"]["tokens"]
    assert texts == {0: "ab", 1: "cd"}
    assert tokens == {0: ["a", "b"], 1: ["c", "d"]}
    assert usage["usage"]["completion_tokens"] == 4
    assert usage["choices"] == []
    assert done == "[DONE]"


def test_a_suffix_is_filled_in_before_by_models_that_can(engine: ScriptedEngine, http: TestClient) -> None:
    refused = post(http, prompt="a", suffix="b")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "suffix")
    middle = ScriptedEngine(replace(FIM, begin="<|bos|>"))
    with client_of(middle) as client:
        assert post(client, prompt="def f", suffix="say xy").json()["choices"][0]["text"] == "xy"
    (seen,) = middle.seen
    assert [segment.text for segment in seen.prompt] == [
        "<|bos|>", "<|pre|>", "def f", "<|suf|>", "say xy", "<|mid|>",
    ]  # fmt: skip
    assert seen.stop == ("<|pre|>", "<|suf|>", "<|mid|>")


def test_special_tokens_are_read_only_where_asked(engine: ScriptedEngine, http: TestClient) -> None:
    prompt = "<|file|>a <|none|> b<|diff|>say x"
    post(http, prompt=prompt)
    post(http, prompt=prompt, parse_special=True)
    plain, special = ([(segment.text, segment.special) for segment in seen.prompt] for seen in engine.seen)
    assert plain == [(prompt, False)]
    assert special == [("<|file|>", True), ("a <|none|> b", False), ("<|diff|>", True), ("say x", False)]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt": 5}, "prompt"),
        ({"prompt": [1, True]}, "prompt"),
        ({"prompt": [1, "a"]}, "prompt"),
        ({"prompt": [[]]}, "prompt"),
        ({"prompt": [[1], 2]}, "prompt"),
        ({"prompt": [1] * 4097}, "prompt"),
        ({"prompt": [1], "suffix": "a"}, "suffix"),
        ({"prompt": ["a", [1]], "echo": True}, "echo"),
        ({"prompt": []}, "prompt"),
        ({"prompt": "\ud800"}, "prompt"),
        ({"prompt": "a", "n": 0}, "n"),
        ({"prompt": "a", "n": 65}, "n"),
        ({"prompt": ["a"] * 9, "n": 8}, "n"),
        ({"prompt": "a", "n": True}, "n"),
        ({"prompt": "a", "best_of": 3}, "best_of"),
        ({"prompt": "a", "temperature": -1}, "temperature"),
        ({"prompt": "a", "temperature": "hot"}, "temperature"),
        ({"prompt": "a", "temperature": 10**400}, "temperature"),
        ({"prompt": "a", "temperature": float("nan")}, "temperature"),
        ({"prompt": "a", "top_p": 0}, "top_p"),
        ({"prompt": "a", "max_tokens": -1}, "max_tokens"),
        ({"prompt": "a", "max_tokens": 1.5}, "max_tokens"),
        ({"prompt": "a", "seed": -1}, "seed"),
        ({"prompt": "a", "stop": ""}, "stop"),
        ({"prompt": "a", "stop": ["x"] * 17}, "stop"),
        ({"prompt": "a", "stop": "x" * 1025}, "stop"),
        ({"prompt": "a", "stream": "yes"}, "stream"),
        ({"prompt": "a", "logprobs": 6}, "logprobs"),
        ({"prompt": "a", "logprobs": 0, "echo": True}, "echo"),
        ({"prompt": "a", "presence_penalty": 1}, "presence_penalty"),
        ({"prompt": "a", "logit_bias": {"5": 1}}, "logit_bias"),
        ({"prompt": "a", "wibble": 1}, "wibble"),
        ({"prompt": "a", "stream_options": 3}, "stream_options"),
        ({"prompt": "a" * 300_000}, "prompt"),
        ({"prompt": "a" * 5000}, "prompt"),
    ],
)
def test_what_cannot_be_had_is_refused_by_its_name(
    http: TestClient, engine: ScriptedEngine, body: dict[str, Any], param: str
) -> None:
    content = json.dumps({"model": "linewise", **body})
    answer = http.post("/v1/completions", content=content)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert error["message"].endswith((".", "here: leave it out."))
    assert not engine.seen


@pytest.mark.parametrize("left_out", ["model", "prompt"])
def test_what_is_missing_is_said_to_be(http: TestClient, left_out: str) -> None:
    body = {"model": "linewise", "prompt": "say a"}
    del body[left_out]
    answer = http.post("/v1/completions", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, left_out)
    assert f"`{left_out}` is missing" in answer.json()["error"]["message"]


def test_what_changes_nothing_is_taken(http: TestClient) -> None:
    body = {"user": "me", "frequency_penalty": 0, "presence_penalty": 0.0, "logit_bias": {}, "best_of": 1}
    assert post(http, prompt="say a", **body).status_code == 200


def test_choices_that_began_end_where_there_is_no_room_for_all(
    http: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("linewise.serving.http.relay.STREAMS", 2)
    answer = post(http, prompt="count 200000", n=3, max_tokens=1_000_000)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "busy")
    wait_for("the end of two", lambda: http.get("/health").json()["running"] == 0)


def test_another_model_is_not_found(http: TestClient) -> None:
    answer = post(http, prompt="a", model="gpt-4")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize("stream", [False, True])
def test_an_engine_that_fails_is_told(http: TestClient, stream: bool) -> None:
    assert post(http, prompt="busy", stream=stream).status_code == 503
    assert post(http, prompt="busy", stream=stream).headers["retry-after"] == "1"
    answer = post(http, prompt="fail because", stream=stream)
    if stream:
        *_, last = events(answer.text)
        assert last["error"]["message"] == "because"
    else:
        assert (answer.status_code, answer.json()["error"]["message"]) == (400, "because")
    assert post(http, prompt="").status_code == 400


@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"[1]", b"null", b"[" * 100_000, b'{"model": '])
@pytest.mark.parametrize("path", ["/v1/completions", "/v1/linewise/generate", "/v1/linewise/tokenize"])
def test_garbage_is_refused_in_openais_shape(http: TestClient, content: bytes, path: str) -> None:
    answer = http.post(path, content=content)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize(
    "body", [{}, {"rest": 5}, {"rest": [[1]]}, {"segments": "a"}, {"slot": None}, {**NATIVE, "count": 1e999}]
)
def test_what_is_not_of_the_protocol_is_refused(http: TestClient, body: dict[str, Any]) -> None:
    body = {**body, "to": MEANT}
    for path in ("/v1/linewise/generate", "/v1/linewise/tokenize"):
        # As text: the client's own JSON has no infinity.
        assert http.post(path, content=json.dumps(body)).status_code == 400


@pytest.mark.parametrize("to", [None, wire.peer("another print"), f"{wire.PROTOCOL + 1} print"])
def test_what_is_for_another_server_is_refused(http: TestClient, engine: ScriptedEngine, to: object) -> None:
    for path, body in (("generate", NATIVE), ("tokenize", {"segments": ["a"]})):
        answer = http.post(f"/v1/linewise/{path}", json={**body, "to": to})
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, wire.OTHER_SERVER)
    assert (engine.seen, engine.tokenized) == ([], [])


def test_a_body_that_is_too_long_is_refused(http: TestClient) -> None:
    answer = http.post("/v1/completions", content=b" " * (LARGEST_BODY + 1))
    assert answer.status_code == 413
    parts = (b" " * (1 << 20) for _ in range((LARGEST_BODY >> 20) + 1))
    assert http.post("/v1/completions", content=parts).status_code == 413


def test_the_other_addresses_answer(http: TestClient) -> None:
    assert http.get("/health").json()["status"] == "ok"
    assert [model["id"] for model in http.get("/v1/models").json()["data"]] == ["scripted"]
    assert http.get("/v1/models/scripted").json()["object"] == "model"
    assert http.get("/v1/models/other").status_code == 404
    assert http.get("/v1/completions").status_code == 405
    assert http.get("/nothing").json()["error"]["message"] == "There is no such address: GET /nothing."
    post(http, prompt="say abc")
    metrics = http.get("/metrics").text
    assert 'linewise_requests_total{ending="done",priority="write"} 1.0' in metrics
    assert 'linewise_request_first_token_seconds_count{priority="write"} 1.0' in metrics


def test_documents_are_listed_and_dropped(http: TestClient) -> None:
    assert http.post("/v1/linewise/generate", json=NATIVE).status_code == 200
    (held,) = http.get("/v1/documents").json()["data"]
    assert (held["id"], held["characters"]) == ("a/b", 13)
    assert http.delete("/v1/documents/a/b").json()["deleted"]
    assert http.delete("/v1/documents/a/b").status_code == 404
    assert http.get("/v1/documents").json()["data"] == []


PAGES = [
    {"origin": "http://evil.example"},
    {"origin": "null"},
    {"origin": "http://localhost"},
    {"sec-fetch-site": "cross-site"},
    {"host": "evil.example"},
    {"host": "evil.example:80"},
    {"host": "localhost.evil.example"},
    {"host": "127.0.0.1.nip.io:8080"},
]


@pytest.mark.parametrize("headers", PAGES, ids=lambda headers: str(next(iter(headers.items()))))
@pytest.mark.parametrize("path", ["/health", "/v1/linewise/hello", "/v1/models", "/metrics"])
def test_web_pages_are_kept_out(http: TestClient, headers: dict[str, str], path: str) -> None:
    answer = http.get(path, headers=headers)
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_preflight_gets_no_leave(http: TestClient) -> None:
    answer = http.options(
        "/v1/completions",
        headers={"origin": "http://evil.example", "access-control-request-method": "POST"},
    )
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:80", "127.0.0.1:5", "[::1]", "[::1]:8", "LOCALHOST"]
)
def test_local_names_are_let_in(http: TestClient, host: str) -> None:
    assert http.get("/health", headers={"host": host}).status_code == 200


def test_a_port_asks_for_its_token_everywhere(engine: ScriptedEngine) -> None:
    with client_of(engine, "secret") as http:
        for path in ("/health", "/metrics", "/v1/models", "/nothing"):
            assert http.get(path).status_code == 401
            assert http.get(path, headers={"authorization": "Bearer wrong"}).status_code == 401
            assert (
                http.get(path, headers={"authorization": "Bearer secre\xe9t".encode("latin-1")}).status_code
                == 401
            )
        assert http.get("/health", headers={"authorization": "Bearer secret"}).status_code == 200


def test_text_that_could_be_a_stop_is_held_back_until_it_is_not() -> None:
    tokens = ScriptedEngine().stream(request_saying("xENy"))
    choice = Choice(("END",))
    given = [choice.add([token])[0] for token in tokens]
    assert given == ["x", "", "", "ENy"]


def request_saying(text: str) -> Any:
    from linewise.engines.protocol import Request, Segment

    return Request((Segment(f"say {text}"),))
