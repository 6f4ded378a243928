"""How generations end, and what a fault leaves behind: nothing that another one could meet."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import pytest
from steps import HEAD, LONG, Gate, Reader, ask, ids, together, wait_for

from linewise.engines import Request, Sampling, Segment, llama_library
from linewise.engines.llama_cpp import LlamaCppEngine
from linewise.errors import EngineError
from linewise.serving.cache import CHUNK
from linewise.serving.scheduler import Scheduler
from linewise.serving.task import Task


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
        self, scheduler: Scheduler, alone: LlamaCppEngine, monkeypatch
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
        assert ids(list(scheduler.stream(ask(slot="a")))) == ids(list(alone.stream(ask())))

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
