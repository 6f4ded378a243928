"""What the scheduler promises: each generation is what it would be alone, whatever runs beside it."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from linewise.engines import Request, Sampling, Segment, Token, llama_library
from linewise.engines.llama_cpp import LlamaCppEngine
from linewise.engines.protocol import Priority
from linewise.errors import BusyError, EngineError
from linewise.serving.cache import CHUNK
from linewise.serving.scheduler import Scheduler
from linewise.serving.task import Task, TokenStream

DIFF = Segment("<|diff|>", special=True)
FILE = Segment("<|file|>", special=True)
HEAD = (FILE, Segment("geometry.py\n"), DIFF, Segment("@1,0\nimport math\n\n\ndef area(radius):\n"))
LONG = "    total = total + values[index]\n" * 12  # some 200 tokens


@pytest.fixture(scope="module")
def engine(tiny_gguf: Path) -> Iterator[LlamaCppEngine]:
    engine = LlamaCppEngine(tiny_gguf, threads=1)
    yield engine
    engine.close()


@pytest.fixture
def scheduler(tiny_gguf: Path) -> Iterator[Scheduler]:
    scheduler = Scheduler(tiny_gguf, threads=1, lanes=4, slots=6)
    yield scheduler
    scheduler.close()


class Gate:
    """Holds the thread that decodes at every step until it may go on, and keeps who was in the step."""

    made: ClassVar[list[Gate]] = []

    def __init__(self, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps: list[list[tuple[str, int]]] = []
        self.arrived, self._may = threading.Semaphore(0), threading.Semaphore(0)
        self._open = False
        self.made.append(self)
        cache = scheduler._decoder._cache
        decode = cache.decode

        def held(pieces):
            self.steps.append([(piece.stream.owner, len(piece.tokens)) for piece in pieces])
            self.arrived.release()
            if not self._open:
                self._may.acquire()
            decode(pieces)

        monkeypatch.setattr(cache, "decode", held)

    def through(self) -> None:
        """Let the step through that is there."""
        self._may.release()

    def after(self, count: int) -> None:
        """Let `count` steps through, beginning with the one that is there, and wait for the next."""
        for _ in range(count):
            self.through()
            self.arrived.acquire()

    def open(self) -> None:
        """Hold nothing any longer."""
        self._open = True
        self._may.release()


@pytest.fixture(autouse=True)
def no_gate_stays_shut() -> Iterator[None]:
    yield
    for gate in Gate.made:
        gate.open()
    Gate.made.clear()


class Reader(threading.Thread):
    """Takes all tokens of a stream."""

    def __init__(self, stream: TokenStream) -> None:
        super().__init__()
        self.stream, self.tokens, self.error = stream, list[Token](), ""
        self.start()

    def run(self) -> None:
        try:
            for token in self.stream:
                self.tokens.append(token)
        except EngineError as error:
            self.error = f"{type(error).__name__}: {error}"

    def ended(self) -> str:
        """How the generation ended, once it has."""
        self.join()
        return self.stream.statistics.ended if self.stream.statistics else "never"


def ask(
    text: str = "", *, slot: str = "", priority: Priority = "write", max_tokens: int = 12, **options: float
) -> Request:
    sampling = Sampling(max_tokens=max_tokens, **options)
    return Request((*HEAD, Segment(text)), sampling, slot=slot, priority=priority)


def ids(tokens: list[Token]) -> list[int]:
    return [token.id for token in tokens]


def together(scheduler: Scheduler, requests: list[Request]) -> list[list[Token]]:
    """The tokens of `requests`, all asked for at once, each from a thread of its own."""
    readers = [Reader(scheduler.stream(request)) for request in requests]
    for reader in readers:
        reader.join()
    assert [reader.error for reader in readers] == [""] * len(readers)
    return [reader.tokens for reader in readers]


def wait_for(scheduler: Scheduler, waiting: int) -> None:
    """Until `waiting` generations wait; a thread that asks needs a moment."""
    while scheduler.statistics().waiting != waiting:
        threading.Event().wait(0.001)


class TestSideBySide:
    def test_each_is_what_it_is_alone(self, scheduler: Scheduler, engine: LlamaCppEngine) -> None:
        # Greedy: a draw may fall on either side of a rounding error.
        requests = [
            ask(
                f"    value_{place} = {place * 37}\n" * (1 + 5 * (place % 3)),
                slot=f"{place}.py",
                max_tokens=20 + 3 * place,
            )
            for place in range(12)
        ]
        found = together(scheduler, requests)
        for request, tokens in zip(requests, found, strict=True):
            alone = list(engine.stream(request))
            assert ids(tokens) == ids(alone)
            assert [token.text for token in tokens] == [token.text for token in alone]
            assert [t.logprob for t in tokens] == pytest.approx([t.logprob for t in alone], abs=0.02)
        assert len({tuple(ids(tokens)) for tokens in found}) == len(found)

    def test_healing_and_stops_hold(self, scheduler: Scheduler, engine: LlamaCppEngine) -> None:
        requests = [
            Request(HEAD, Sampling(max_tokens=8), healed="    retu"),
            *(
                Request(HEAD, Sampling(temperature=50.0, seed=seed, max_tokens=200), stop=("<|diff|>",))
                for seed in range(3)
            ),
        ]
        healed, *stopped = together(scheduler, requests)
        assert "".join(token.text for token in healed).startswith("    retu")
        assert ids(healed) == ids(list(engine.stream(requests[0])))
        assert not any(token.text == "<|diff|>" for tokens in stopped for token in tokens)

    def test_two_hundred_documents_each_with_a_text_of_its_own(
        self, scheduler: Scheduler, engine: LlamaCppEngine
    ) -> None:
        requests = [ask(f"    secret_{n} = {n}\n", slot=f"{n}.py", max_tokens=4) for n in range(200)]
        found = together(scheduler, requests)
        for request, tokens in list(zip(requests, found, strict=True))[::9]:
            assert ids(tokens) == ids(list(engine.stream(request)))
        statistics = scheduler.statistics()
        assert statistics.requests == {"token limit": 200}
        assert len(statistics.cached_tokens) <= statistics.slots == 6
        assert (statistics.running, statistics.waiting) == (0, 0)


class TestCache:
    def test_each_document_finds_its_own_tokens_again(self, scheduler: Scheduler) -> None:
        texts = {name: f"    {name} = 1\n{LONG}" for name in ("a", "b", "c")}
        for name, text in texts.items():
            list(scheduler.stream(ask(text, slot=name)))
        for name, text in texts.items():
            stream = scheduler.stream(ask(text + "    more\n", slot=name))
            list(stream)
            assert stream.statistics is not None
            assert 0 < stream.statistics.prompt_tokens - stream.statistics.reused_tokens < 8

    def test_going_back_and_another_way_says_what_a_fresh_reading_says(
        self, scheduler: Scheduler, engine: LlamaCppEngine
    ) -> None:
        for tail in ("    one = 1\n", "    two = 2\n", "", "    one = 1\n    three\n"):
            request = ask(LONG + tail, slot="a")
            assert ids(list(scheduler.stream(request))) == ids(list(engine.stream(request)))

    def test_samples_of_one_prompt_read_it_once(self, scheduler: Scheduler, monkeypatch) -> None:
        gate = Gate(scheduler, monkeypatch)
        requests = [ask(LONG, temperature=1.0, seed=seed, max_tokens=3) for seed in range(4)]
        readers = [Reader(scheduler.stream(request)) for request in requests]
        gate.arrived.acquire()
        wait_for(scheduler, 3)  # all are there before the first chunk is read
        gate.open()
        for reader in readers:
            reader.join()
        length = len(scheduler.tokenize(requests[0].prompt))
        assert length > 2 * CHUNK
        read = sum(tokens for step in gate.steps for _, tokens in step)
        assert read - scheduler.statistics().drafted_tokens <= length + 4 * 3
        assert len({tuple(ids(reader.tokens)) for reader in readers}) > 1

    def test_a_copy_goes_its_own_way(self, scheduler: Scheduler, engine: LlamaCppEngine) -> None:
        first, second = ask(LONG + "    x = 1\n", slot="a"), ask(LONG + "    y = 2\n", slot="b")
        again = ask(LONG + "    x = 1\n    x += 1\n", slot="a")
        for request in (first, second, again):
            assert ids(list(scheduler.stream(request))) == ids(list(engine.stream(request)))
        assert scheduler.statistics().reused_tokens > 2 * len(scheduler.tokenize((Segment(LONG),))) - 16

    def test_the_document_used_longest_ago_makes_room(self, scheduler: Scheduler) -> None:
        for number in range(6):
            list(scheduler.stream(ask(f"    n = {number}\n", slot=str(number))))
        list(scheduler.stream(ask("    n = 0\n", slot="0")))
        list(scheduler.stream(ask("    n = 6\n", slot="6")))
        assert set(scheduler.statistics().cached_tokens) == {"0", "2", "3", "4", "5", "6"}
        assert scheduler.statistics().evicted == 1

    def test_what_nobody_owns_makes_room_before_any_document(self, scheduler: Scheduler) -> None:
        for number in range(5):
            list(scheduler.stream(ask(f"    n = {number}\n", slot=str(number))))
        for number in range(4):
            list(scheduler.stream(ask(f"    m = {number}\n")))
        assert set(scheduler.statistics().cached_tokens) == {"", "0", "1", "2", "3", "4"}
        list(scheduler.stream(ask("    n = 5\n", slot="5")))
        assert set(scheduler.statistics().cached_tokens) == {"0", "1", "2", "3", "4", "5"}

    def test_a_document_that_is_closed_is_forgotten(self, scheduler: Scheduler) -> None:
        list(scheduler.stream(ask("    n = 1\n", slot="a")))
        scheduler.forget("a")
        list(scheduler.stream(ask("    n = 1\n", slot="b")))
        assert set(scheduler.statistics().cached_tokens) == {"b"}

    def test_a_model_that_cannot_go_back_reads_again(
        self, scheduler: Scheduler, engine: LlamaCppEngine, monkeypatch
    ) -> None:
        """As a recurrent one does: llama.cpp refuses to remove a part of what it has read."""
        remove = llama_library.api.llama_memory_seq_rm

        def refuses(memory, sequence, first, last):
            return first <= 0 and remove(memory, sequence, first, last)

        monkeypatch.setattr(scheduler._decoder._cache, "_goes_back", False)
        monkeypatch.setattr("linewise.serving.cache.api.llama_memory_seq_rm", refuses)
        for slot, tail in (("a", "    x = 1\n"), ("a", "    y\n"), ("b", "    y\n"), ("a", "    y\n")):
            request = ask(LONG + tail, slot=slot)
            assert ids(list(scheduler.stream(request))) == ids(list(engine.stream(request)))


class TestTurns:
    def test_a_keystroke_is_read_before_the_rest_of_a_long_prompt(
        self, scheduler: Scheduler, monkeypatch
    ) -> None:
        list(scheduler.stream(ask("    x", slot="typed", max_tokens=1)))
        gate = Gate(scheduler, monkeypatch)
        file = Reader(scheduler.stream(ask(LONG, slot="file")))
        gate.arrived.acquire()
        typed = Reader(scheduler.stream(ask("    x = 1\n", slot="typed")))
        wait_for(scheduler, 1)
        gate.open()
        file.join()
        typed.join()
        assert gate.steps[0] == [("file", CHUNK)]
        assert gate.steps[1][0][0] == "typed"
        assert [("file", CHUNK)] in gate.steps[2:4]

    def test_an_inline_request_takes_the_lane_of_the_newest_write(
        self, tiny_gguf: Path, engine: LlamaCppEngine, monkeypatch
    ) -> None:
        scheduler = Scheduler(tiny_gguf, threads=1, lanes=2, slots=4)
        gate = Gate(scheduler, monkeypatch)
        requests = [ask(f"    w = {n}\n", slot=f"write {n}", max_tokens=20) for n in range(2)]
        writes = [Reader(scheduler.stream(requests[0]))]
        gate.arrived.acquire()
        writes.append(Reader(scheduler.stream(requests[1])))
        wait_for(scheduler, 1)
        gate.after(2)
        urgent = ask("    x = ", slot="inline", priority="inline", max_tokens=3)
        inline = Reader(scheduler.stream(urgent))
        wait_for(scheduler, 1)
        before = len(gate.steps)
        gate.open()
        for reader in (inline, *writes):
            reader.join()
        assert gate.steps[before][0][0] == "inline"  # its prompt, alone
        assert {owner for step in gate.steps[before + 1 : before + 3] for owner, _ in step} == {
            "inline",
            "write 0",
        }
        assert scheduler.statistics().preempted == 1
        for request, reader in zip((urgent, *requests), (inline, *writes), strict=True):
            assert ids(reader.tokens) == ids(list(engine.stream(request)))
        scheduler.close()

    def test_what_waits_goes_by_priority_then_by_age(self, tiny_gguf: Path, monkeypatch) -> None:
        scheduler = Scheduler(tiny_gguf, threads=1, lanes=1, slots=1)
        gate = Gate(scheduler, monkeypatch)
        readers = [Reader(scheduler.stream(ask(slot="first", priority="inline", max_tokens=2)))]
        gate.arrived.acquire()
        order: list[tuple[str, Priority]] = [
            ("w1", "write"), ("w2", "write"), ("n1", "next edit"), ("i1", "inline"), ("n2", "next edit"),
        ]  # fmt: skip
        for count, (slot, priority) in enumerate(order):
            readers.append(Reader(scheduler.stream(ask(slot=slot, priority=priority, max_tokens=2))))
            wait_for(scheduler, count + 1)
        gate.open()
        for reader in readers:
            reader.join()
        seen = list(dict.fromkeys(step[0][0] for step in gate.steps))
        assert seen == ["first", "i1", "n1", "n2", "w1", "w2"]
        scheduler.close()

    def test_a_prompt_is_read_in_the_end_though_more_urgent_ones_generate(
        self, scheduler: Scheduler, monkeypatch
    ) -> None:
        gate = Gate(scheduler, monkeypatch)
        urgent = Reader(scheduler.stream(ask(slot="inline", priority="inline", max_tokens=200)))
        gate.arrived.acquire()
        gate.after(1)
        write = Reader(scheduler.stream(ask(LONG, slot="write", max_tokens=2)))
        wait_for(scheduler, 1)
        gate.open()
        write.join()
        urgent.join()
        owners = [{owner for owner, _ in step} for step in gate.steps]
        reading = [place for place, step in enumerate(gate.steps) if ("write", CHUNK) in step]
        assert 10 < reading[0] < len(owners) - 10  # it waited, and yet not until the other's end

    def test_a_newer_inline_request_ends_the_older_one_of_its_slot_alone(
        self, scheduler: Scheduler, monkeypatch
    ) -> None:
        gate = Gate(scheduler, monkeypatch)
        older = Reader(scheduler.stream(ask(slot="a", priority="inline")))
        gate.arrived.acquire()
        other = Reader(scheduler.stream(ask("    b\n", slot="b", priority="inline")))
        write = Reader(scheduler.stream(ask("    w\n", slot="a", priority="write")))
        wait_for(scheduler, 2)
        newer = Reader(scheduler.stream(ask("    x\n", slot="a", priority="inline")))
        wait_for(scheduler, 3)
        gate.open()
        assert [one.ended() for one in (older, other, write, newer)] == [
            "cancelled", "token limit", "token limit", "token limit",
        ]  # fmt: skip
        assert len(older.tokens) <= 1

    def test_a_full_queue_says_so_and_takes_other_priorities(self, tiny_gguf: Path, monkeypatch) -> None:
        scheduler = Scheduler(tiny_gguf, threads=1, lanes=1, slots=2, queue=2)
        gate = Gate(scheduler, monkeypatch)
        running = Reader(scheduler.stream(ask(max_tokens=2)))
        gate.arrived.acquire()
        waiting = [Reader(scheduler.stream(ask(max_tokens=2))) for _ in range(2)]
        wait_for(scheduler, 2)
        with pytest.raises(BusyError, match="2 write requests wait already"):
            next(scheduler.stream(ask()))
        urgent = Reader(scheduler.stream(ask(priority="inline", max_tokens=2)))
        wait_for(scheduler, 3)
        gate.open()
        assert {one.ended() for one in (running, *waiting, urgent)} == {"token limit"}
        assert scheduler.statistics().refused == 1
        assert len(list(scheduler.stream(ask(max_tokens=2)))) == 2
        scheduler.close()


class TestEnding:
    def test_a_cancel_ends_within_one_token(self, scheduler: Scheduler) -> None:
        cancel, seen = threading.Event(), 0
        stream = scheduler.stream(ask(max_tokens=200), cancel)
        for _ in stream:
            seen += 1
            if seen == 5:
                cancel.set()
        assert seen == 5
        list(scheduler.stream(ask(max_tokens=1)))
        assert scheduler.statistics().requests["cancelled"] == 1

    def test_a_cancel_while_the_prompt_is_read_keeps_what_was_read(
        self, scheduler: Scheduler, monkeypatch
    ) -> None:
        gate, cancel = Gate(scheduler, monkeypatch), threading.Event()
        reader = Reader(scheduler.stream(ask(LONG, slot="a"), cancel))
        gate.arrived.acquire()
        cancel.set()
        gate.open()
        assert (reader.ended(), reader.tokens, len(gate.steps)) == ("cancelled", [], 1)
        again = scheduler.stream(ask(LONG, slot="a", max_tokens=1))
        list(again)
        assert again.statistics is not None
        assert again.statistics.reused_tokens == CHUNK

    def test_one_that_waits_can_be_cancelled(self, tiny_gguf: Path, monkeypatch) -> None:
        scheduler, cancel = Scheduler(tiny_gguf, threads=1, lanes=1, slots=1), threading.Event()
        gate = Gate(scheduler, monkeypatch)
        first = Reader(scheduler.stream(ask(max_tokens=5)))
        gate.arrived.acquire()
        second = Reader(scheduler.stream(ask(), cancel))
        wait_for(scheduler, 1)
        cancel.set()
        gate.through()
        assert (second.ended(), second.tokens) == ("cancelled", [])
        gate.open()
        assert first.ended() == "token limit"
        scheduler.close()

    def test_a_consumer_that_walks_away_frees_the_lane(self, tiny_gguf: Path) -> None:
        scheduler = Scheduler(tiny_gguf, threads=1, lanes=1, slots=1)
        for leave in ("close", "let go"):
            stream = scheduler.stream(ask(max_tokens=400))
            next(stream)
            if leave == "close":
                stream.close()
                assert list(stream) == []
            del stream
            gc.collect()
            assert len(list(scheduler.stream(ask(max_tokens=3)))) == 3
        assert scheduler.statistics().requests == {"cancelled": 2, "token limit": 2}
        scheduler.close()

    def test_one_that_was_never_begun_costs_nothing(self, scheduler: Scheduler) -> None:
        scheduler.stream(ask()).close()
        stream = scheduler.stream(ask(max_tokens=0))
        assert list(stream) == []
        assert scheduler.statistics().prompt_tokens == len(scheduler.tokenize(HEAD))

    def test_it_ends_where_the_context_is_full(self, scheduler: Scheduler) -> None:
        prompt = (Segment("x " * 248),)
        room = scheduler.info.context_length - len(scheduler.tokenize(prompt)) + 1
        stream = scheduler.stream(Request(prompt, Sampling(max_tokens=10_000)))
        assert len(list(stream)) == room
        assert stream.statistics is not None
        assert stream.statistics.ended == "context full"

    @pytest.mark.parametrize(
        ("request_", "message"),
        [
            (Request((Segment("x " * 600),)), r"tokens and the context holds 512"),
            (Request(()), "empty"),
            (Request(HEAD, stop=("<|nothing|>",)), "no special token"),
            (Request(HEAD, healed="\ud800"), "lone surrogate"),
            (Request(HEAD, Sampling(temperature=-1)), "temperature"),
        ],
    )
    def test_what_cannot_be_done_is_refused_at_once(
        self, scheduler: Scheduler, request_: Request, message: str
    ) -> None:
        with pytest.raises(EngineError, match=message):
            scheduler.stream(request_)
        assert scheduler.statistics().requests == {}


class TestFaults:
    def test_a_decode_that_fails_ends_its_own_generations_and_no_later_one(
        self, scheduler: Scheduler, engine: LlamaCppEngine, monkeypatch
    ) -> None:
        decode, calls = llama_library.decode, iter(range(100))

        def fails_once(context, batch):
            if next(calls) == 2:
                raise EngineError("llama.cpp failed to decode (status -3; no reason): try again.")
            decode(context, batch)

        monkeypatch.setattr(llama_library, "decode", fails_once)
        stream = scheduler.stream(ask(slot="a"))
        with pytest.raises(EngineError, match="status -3"):
            list(stream)
        assert stream.statistics is not None
        assert stream.statistics.ended == "failed"
        assert ids(list(scheduler.stream(ask(slot="a")))) == ids(list(engine.stream(ask())))

    def test_logits_that_are_no_numbers_fail_one_generation_alone(
        self, scheduler: Scheduler, monkeypatch
    ) -> None:
        cache = scheduler._decoder._cache
        gate, logits = Gate(scheduler, monkeypatch), cache.logits
        good = Reader(scheduler.stream(ask(slot="good")))
        gate.arrived.acquire()
        gate.after(1)
        bad = Reader(scheduler.stream(ask("    x\n", slot="bad")))
        wait_for(scheduler, 1)

        def broken(row):
            found = logits(row)
            if gate.steps[-1][row if len(gate.steps[-1]) > 1 else 0][0] == "bad":
                found[:] = float("nan")
            return found

        monkeypatch.setattr(cache, "logits", broken)
        gate.open()
        assert (good.ended(), bad.ended()) == ("token limit", "failed")
        assert "damaged" in bad.error

    def test_a_fault_of_its_own_is_told_and_the_next_request_served(
        self, scheduler: Scheduler, monkeypatch, caplog
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(scheduler._decoder, "_read", lambda task: 1 / 0)
            with pytest.raises(EngineError, match="scheduler failed"):
                list(scheduler.stream(ask()))
        assert "ZeroDivisionError" in caplog.text
        assert len(list(scheduler.stream(ask(max_tokens=3)))) == 3

    def test_a_fault_in_finding_a_stream_hangs_nobody(
        self, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(scheduler._decoder._cache, "take", lambda *_: 1 / 0)
            reader = Reader(scheduler.stream(ask()))
            reader.join(60)
        assert "scheduler failed" in reader.error
        assert len(list(scheduler.stream(ask(max_tokens=3)))) == 3

    def test_a_cancel_signal_that_fails_hangs_nobody(self, scheduler: Scheduler, caplog) -> None:
        class Broken:
            def is_set(self) -> bool:
                raise RuntimeError("the editor is gone")

        with pytest.raises(EngineError, match="scheduler failed"):
            list(scheduler.stream(ask(), Broken()))
        assert "the editor is gone" in caplog.text
        assert len(list(scheduler.stream(ask(max_tokens=3)))) == 3

    def test_closing_ends_what_runs_and_what_waits(self, tiny_gguf: Path, monkeypatch) -> None:
        scheduler = Scheduler(tiny_gguf, threads=1, lanes=1, slots=2)
        gate = Gate(scheduler, monkeypatch)
        readers = [Reader(scheduler.stream(ask(max_tokens=400))) for _ in range(3)]
        unused = scheduler.stream(ask())
        gate.arrived.acquire()
        wait_for(scheduler, 2)
        gate.open()
        scheduler.close()
        scheduler.close()
        for reader in readers:
            reader.join()
            assert "closed" in reader.error
        for use in (
            lambda: next(unused),
            lambda: scheduler.stream(ask()),
            lambda: scheduler.tokenize((Segment("new text"),)),
        ):
            with pytest.raises(EngineError, match="closed"):
                use()

    def test_what_has_ended_is_held_no_longer(self, scheduler: Scheduler) -> None:
        together(scheduler, [ask(f"    n = {n}\n", slot=str(n), max_tokens=3) for n in range(20)])
        stream = scheduler.stream(ask(max_tokens=100))
        next(stream)
        stream.close()
        del stream
        list(scheduler.stream(ask(max_tokens=1)))
        gc.collect()
        alive = [one for one in gc.get_objects() if isinstance(one, Task)]
        assert len(alive) <= 1  # the one of the last step

    def test_one_that_is_let_go_of_frees_its_memory(self, tiny_gguf: Path) -> None:
        scheduler = Scheduler(tiny_gguf, threads=1, lanes=1, slots=1)
        thread = scheduler._decoder._thread
        list(scheduler.stream(ask(max_tokens=2)))
        del scheduler
        gc.collect()
        thread.join(timeout=60)
        assert not thread.is_alive()

    @pytest.mark.parametrize(
        "options",
        [{"lanes": 0}, {"lanes": 65}, {"lanes": 3, "slots": 2}, {"slots": 0}, {"slots": 10**6}, {"queue": 0}],
    )
    def test_options_that_cannot_be_had(self, tiny_gguf: Path, options: dict[str, int]) -> None:
        with pytest.raises(EngineError, match="cannot be had"):
            Scheduler(tiny_gguf, **options)

    def test_the_number_of_slots_follows_the_memory_that_one_takes(
        self, tiny_gguf: Path, monkeypatch
    ) -> None:
        one = 512 * 2 * 2 * 2 * (64 + 64)  # tokens, layers, heads, bytes, keys and values
        monkeypatch.setattr("linewise.serving.scheduler.CACHE_BYTES", 5 * one + 1)
        found = [
            Scheduler(tiny_gguf, threads=1, lanes=lanes, slots=slots)
            for lanes, slots in ((None, None), (8, None), (2, None), (None, 3))
        ]
        assert [(one.info.lanes, one.statistics().slots) for one in found] == [(5, 5), (5, 5), (2, 5), (3, 3)]
        for scheduler in found:
            scheduler.close()
