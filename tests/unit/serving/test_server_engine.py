"""The client's engine behaves as the server's own, and sends only what is new."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from servers import SCRIPTED, wait_for

from linewise.engines.llama_cpp import LlamaCppEngine
from linewise.engines.protocol import Request, Sampling, Segment
from linewise.errors import BusyError, EngineError, ModelError, ServerError
from linewise.serving import wire
from linewise.serving.client import ServerEngine
from linewise.serving.connection import Connection
from linewise.serving.starting import Starter


def request(script: str, *before: str, slot: str = "", most: int = 10_000) -> Request:
    segments = (*(Segment(text) for text in before), Segment(script))
    return Request(segments, Sampling(max_tokens=most), slot=slot)


def text(engine: ServerEngine, asked: Request) -> str:
    return "".join(token.text for token in engine.stream(asked))


def pid_of(engine: ServerEngine, starter: Starter) -> int:
    record = starter.place.read_record()
    assert record is not None
    return record.pid


@pytest.fixture
def bodies(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """What clients send from now on."""
    sent: list[dict] = []
    begin = Connection.begin

    def spy(self, method, path, body=None, **options):
        sent.append({"path": path, **(body or {})})
        return begin(self, method, path, body, **options)

    monkeypatch.setattr(Connection, "begin", spy)
    return sent


def test_a_real_model_gives_the_same_tokens_as_in_process(tiny_gguf: Path, runtime: Path) -> None:
    alone = LlamaCppEngine(tiny_gguf, threads=1)
    engine = ServerEngine(Starter(tiny_gguf))
    try:
        assert (engine.info.name, engine.info.format) == (alone.info.name, alone.info.format)
        prompt = (Segment("<|diff|>", special=True), Segment("@1,0\nself.na"))
        assert engine.tokenize(prompt) == alone.tokenize(prompt)
        for seed, healed in ((0, ""), (1, "me = ")):
            asked = Request(prompt, Sampling(temperature=float(seed), seed=seed, max_tokens=24), healed)
            ours, theirs = list(engine.stream(asked)), list(alone.stream(asked))
            assert [(t.id, t.text, t.special) for t in ours] == [(t.id, t.text, t.special) for t in theirs]
            assert [t.logprob for t in ours] == pytest.approx([t.logprob for t in theirs], abs=1e-3)
        free = next(iter(alone.stream(Request(prompt, Sampling(max_tokens=1)))))
        asked = Request(prompt, Sampling(max_tokens=4), forbidden=(free.id,))
        turned = [token.id for token in engine.stream(asked)]
        assert turned == [token.id for token in alone.stream(asked)]
        assert turned[0] != free.id
        asked = Request((), Sampling(max_tokens=4, alternatives=2), ids=alone.tokenize(prompt))
        ours, theirs = list(engine.stream(asked)), list(alone.stream(asked))
        assert [token.id for token in ours] == [token.id for token in theirs]
        others = [[text for text, _ in token.alternatives] for token in theirs]
        assert [[text for text, _ in token.alternatives] for token in ours] == others
        assert all(len(texts) == 2 for texts in others)
        with pytest.raises(EngineError, match="tokens and the context holds"):
            list(engine.stream(Request((Segment("x " * 2000),))))
        with pytest.raises(EngineError, match="no special token"):
            engine.tokenize((Segment("<|no|>", special=True),))
        assert len(list(engine.stream(asked))) > 0
    finally:
        engine.close()
        alone.close()


def test_only_what_is_new_of_a_prompt_is_sent(engine: ServerEngine, bodies: list[dict]) -> None:
    assert text(engine, request("say ab", "the whole file", "an edit", slot="a")) == "ab"
    assert text(engine, request("say cd", "the whole file", "an edit", "typed", slot="a")) == "cd"
    assert text(engine, request("say ef", "the whole file", slot="a")) == "ef"
    assert text(engine, request("say gh", "another file", slot="b")) == "gh"
    assert [body["rest"] for body in bodies] == [
        ["the whole file", "an edit", "say ab"],
        ["typed", "say cd"],
        ["say ef"],
        ["another file", "say gh"],
    ]


def test_a_prefix_that_the_server_lost_is_sent_again(engine: ServerEngine, bodies: list[dict]) -> None:
    text(engine, request("say ab", "the file", slot="a/b c"))
    connection = Connection(engine._address)
    assert connection.ask("DELETE", "/v1/documents/a/b%20c")[1]["deleted"]
    connection.close()
    bodies.clear()
    assert text(engine, request("say cd", "the file", slot="a/b c")) == "cd"
    assert [body["rest"] for body in bodies] == [["say cd"], ["the file", "say cd"]]


def test_a_closed_document_is_forgotten_here_and_there(engine: ServerEngine, bodies: list[dict]) -> None:
    text(engine, request("say ab", "the file", slot="a/b c"))
    text(engine, request("say ab", "another file", slot="other"))
    engine.forget("a/b c")
    engine.forget("never seen")
    connection = Connection(engine._address)
    held = [one["id"] for one in connection.ask("GET", "/v1/documents")[1]["data"]]
    connection.close()
    assert "a/b c" not in held
    assert "other" in held
    bodies.clear()
    assert text(engine, request("say cd", "the file", slot="a/b c")) == "cd"
    assert [body["rest"] for body in bodies] == [["the file", "say cd"]]


def test_to_forget_starts_no_server(own_engine: ServerEngine, starter: Starter) -> None:
    text(own_engine, request("say ab", slot="a"))
    os.kill(pid_of(own_engine, starter), signal.SIGKILL)
    wait_for("its end", lambda: not starter.place.is_served())
    own_engine.forget("a")
    assert not starter.place.is_served()
    own_engine.close()
    own_engine.forget("a")


def test_what_is_refused_once_all_of_it_was_sent_is_told(engine: ServerEngine) -> None:
    text(engine, request("say ab", "the file", slot="a"))
    connection = Connection(engine._address)
    connection.ask("DELETE", "/v1/documents/a")
    connection.close()
    with pytest.raises(EngineError, match="far more than"):
        text(engine, request("say cd", "the file", "x" * 300_000, slot="a"))


def test_what_was_tokenized_is_not_asked_for_again(engine: ServerEngine, bodies: list[dict]) -> None:
    special = Segment("<|x|>", special=True)
    assert engine.tokenize((Segment("ab"), special, Segment("ab"))) == (97, 98, 0, 97, 98)
    assert engine.tokenize((special, Segment("c"))) == (0, 99)
    assert engine.tokenize((Segment("c"), Segment("ab"))) == (99, 97, 98)
    assert [body["segments"] for body in bodies] == [["ab", ["<|x|>"]], ["c"]]


def test_every_kind_of_text_arrives_as_it_was(engine: ServerEngine) -> None:
    odd = '\x00\r\n\u2028ä日本\U0001f600"\\'
    assert text(engine, request("say " + odd)) == odd
    tokens = list(engine.stream(request("say a$")))
    assert [(t.id, t.special) for t in tokens] == [(97, False), (36, True)]


@pytest.mark.parametrize("way", ["close", "cancel"])
def test_giving_up_ends_the_generation_on_the_server(engine: ServerEngine, way: str) -> None:
    cancel = threading.Event()
    tokens = engine.stream(request("count 100000", most=1_000_000), cancel)
    next(tokens)
    if way == "close":
        tokens.close()
    else:
        cancel.set()
        assert len(list(tokens)) < 1000
    assert text(engine, request("say ok")) == "ok"
    wait_for("the generation's end", lambda: health(engine)["running"] == 0)


def test_a_cancel_is_seen_while_no_token_comes(engine: ServerEngine, shared_starter: Starter) -> None:
    os.kill(pid_of(engine, shared_starter), signal.SIGSTOP)
    try:
        cancel = threading.Event()
        threading.Timer(0.05, cancel.set).start()
        assert list(engine.stream(request("say never"), cancel)) == []
    finally:
        os.kill(pid_of(engine, shared_starter), signal.SIGCONT)


def health(engine: ServerEngine) -> dict:
    connection = Connection(engine._address)
    try:
        return dict(connection.ask("GET", "/health")[1])
    finally:
        connection.close()


def test_an_engines_errors_are_the_same_over_the_wire(engine: ServerEngine) -> None:
    with pytest.raises(BusyError, match="Too many wait"):
        text(engine, request("busy"))
    with pytest.raises(EngineError, match=r"^told$"):
        text(engine, request("fail told"))
    with pytest.raises(EngineError, match="prompt is empty"):
        list(engine.stream(Request(())))
    assert text(engine, request("say ok")) == "ok"


def test_connections_are_used_again(engine: ServerEngine) -> None:
    text(engine, request("say a"))
    (first,) = engine._free
    text(engine, request("say b"))
    assert engine._free == [first]


def test_many_threads_get_each_its_own_text(engine: ServerEngine) -> None:
    got: dict[int, str] = {}

    def work(number: int) -> None:
        for turn in range(5):
            got[number] = text(engine, request(f"say {number}-{turn}", "file", slot=str(number)))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == {number: f"{number}-4" for number in range(16)}


def test_a_request_without_a_token_yet_is_made_again_after_a_crash(
    own_engine: ServerEngine, starter: Starter
) -> None:
    text(own_engine, request("say a", "the file", slot="a"))
    before = pid_of(own_engine, starter)
    os.kill(before, signal.SIGKILL)
    assert text(own_engine, request("say again", "the file", slot="a")) == "again"
    assert pid_of(own_engine, starter) != before


def test_a_request_cut_off_in_mid_answer_is_told_so_and_the_next_one_works(
    own_engine: ServerEngine, starter: Starter
) -> None:
    tokens = own_engine.stream(request("count 1000000", most=10_000_000))
    next(tokens)
    os.kill(pid_of(own_engine, starter), signal.SIGKILL)
    with pytest.raises(ServerError, match="ended in the middle"):
        list(tokens)
    assert text(own_engine, request("say ok")) == "ok"


def test_a_request_that_kills_every_server_is_given_up_and_starts_are_spaced_out(
    model_file: Path,
) -> None:
    now = [1000.0]
    engine = ServerEngine(Starter(model_file, command=SCRIPTED, clock=lambda: now[0]))
    with pytest.raises(ServerError, match=r"keeps ending|times in a row"):
        text(engine, request("die"))
    with pytest.raises(ServerError, match="started again in"):
        text(engine, request("say ok"))
    now[0] += 60
    assert text(engine, request("say ok")) == "ok"
    engine.close()


def test_eight_clients_survive_the_servers_death(model_file: Path) -> None:
    engines = [ServerEngine(Starter(model_file, command=SCRIPTED)) for _ in range(8)]
    streams = [engine.stream(request("count 1000000", most=10_000_000)) for engine in engines]
    for stream in streams:
        next(stream)
    place = Starter(model_file, command=SCRIPTED).place
    record = place.read_record()
    assert record is not None
    os.kill(record.pid, signal.SIGKILL)
    for stream in streams:
        with pytest.raises(ServerError):
            list(stream)
    answers: list[str] = []
    threads = [
        threading.Thread(target=lambda engine=engine: answers.append(text(engine, request("say back"))))
        for engine in engines
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == ["back"] * 8
    assert len(model_file.with_suffix(".starts").read_text().split()) == 2
    for engine in engines:
        engine.close()


def test_a_model_file_that_changed_is_not_taken_for_the_one_that_was_loaded(
    own_engine: ServerEngine, starter: Starter, model_file: Path
) -> None:
    os.kill(pid_of(own_engine, starter), signal.SIGKILL)
    model_file.write_bytes(b"another model")
    with pytest.raises(ModelError, match="has changed"):
        text(own_engine, request("say ok"))


def test_a_server_that_took_the_place_of_another_is_not_asked(
    own_engine: ServerEngine, model_file: Path
) -> None:
    model_file.write_bytes(b"better")
    other = ServerEngine(Starter(model_file, command=SCRIPTED))
    own_engine._free.pop().close()  # as after a last answer: the next request connects anew
    with pytest.raises(ModelError, match="has changed"):
        text(own_engine, request("say no"))
    own_engine._address = other._address
    with pytest.raises(ModelError, match="has changed"):
        own_engine.tokenize((Segment("no"),))
    other.close()


def test_threads_that_tokenize_do_not_take_ids_from_each_other(
    engine: ServerEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("linewise.serving.client._CACHED_TOKENS", 3)
    ask = engine._tokenize

    def meanwhile(segments):
        monkeypatch.setattr(engine, "_tokenize", ask)
        engine.tokenize((Segment("xyz"),))  # another thread's, that makes room for itself
        return ask(segments)

    engine.tokenize((Segment("ab"),))
    monkeypatch.setattr(engine, "_tokenize", meanwhile)
    assert engine.tokenize((Segment("ab"), Segment("c"))) == (97, 98, 99)


def test_a_closed_engine_says_so(engine: ServerEngine) -> None:
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        text(engine, request("say ok"))


def test_what_answers_without_being_a_server_is_refused_in_a_sentence(
    starter: Starter, own_engine: ServerEngine
) -> None:
    os.kill(pid_of(own_engine, starter), signal.SIGKILL)
    wait_for("its end", lambda: not starter.place.is_served())
    starter.place.socket.unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(starter.place.socket))
        listener.listen()

        def babble() -> None:
            with suppress(OSError):
                while True:
                    peer, _ = listener.accept()
                    with peer, suppress(ConnectionError):
                        peer.recv(65536)
                        peer.sendall(b"\x00garbage\r\n\r\n")

        threading.Thread(target=babble, daemon=True).start()
        # The stranger holds no lock, so a real server takes the place over.
        assert text(own_engine, request("say ok")) == "ok"


def test_the_wire_keeps_everything_of_a_model_and_a_segment() -> None:
    from scripted_engine import FIM, ScriptedEngine

    info = ScriptedEngine(FIM, "<s>").info
    assert wire.info_in(json.loads(json.dumps(wire.info_out(info)))) == info
    segments = [Segment("a\ud800"), Segment("<|x|>", special=True), Segment("")]
    assert wire.segments_in(json.loads(json.dumps(wire.segments_out(segments)))) == segments
    name = wire.longer(wire.NO_SEGMENTS, Segment("x"))
    assert name != wire.longer(wire.NO_SEGMENTS, Segment("x", special=True))


def test_a_bound_of_the_tokens_costs_no_round_trip(engine: ServerEngine, bodies: list[dict]) -> None:
    known, special = Segment("known text"), Segment("<|x|>", special=True)
    engine.tokenize((known,))
    bodies.clear()
    assert engine.tokens_at_most((known, special)) == len("known text") + 1
    assert engine.tokens_at_most((Segment("ä"),)) >= len(engine.tokenize((Segment("ä"),)))
    assert [body["segments"] for body in bodies] == [["ä"]]


def test_a_keystroke_is_one_round_trip(engine: ServerEngine, bodies: list[dict]) -> None:
    from linewise.assistant.document import Document
    from linewise.assistant.inline import complete
    from linewise.formats import Cursor, format_of

    document = Document("a.py", "x = 1\n" * 100 + "y = ")
    shape = format_of(engine.info)
    for typed in range(4):
        complete(document, Cursor(100, 4 + typed), engine=engine, format=shape)
        document.change(604 + typed, 604 + typed, "z")
    assert [body["path"] for body in bodies] == [wire.GENERATE] * 4
    assert all(len(json.dumps(body["rest"])) < 400 for body in bodies[1:])
