"""Generations of a small model take turns of some length; whoever comes meanwhile does not wait for one."""

from __future__ import annotations

import threading
from itertools import groupby
from pathlib import Path

import pytest
from steps import Gate, Hands, Reader, ask, handed, ids, wait_for

from linewise.engines.llama_cpp import LlamaCppEngine
from linewise.serving import decoding
from linewise.serving.scheduler import Scheduler

FOR_EVER = 1e6


@pytest.fixture
def long_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turns end with the generation, unless something comes."""
    monkeypatch.setattr(decoding, "_ROUND_SECONDS", FOR_EVER)
    monkeypatch.setattr(decoding, "_LONGEST_TURN_SECONDS", FOR_EVER)


def begun(scheduler: Scheduler, gate: Gate, *requests) -> list[Reader]:
    """Readers of `requests`, the first of which is in its first step while the others wait."""
    readers = [Reader(scheduler.stream(requests[0]))]
    gate.arrived.acquire()
    for waiting, request in enumerate(requests[1:], start=1):
        readers.append(Reader(scheduler.stream(request)))
        wait_for(scheduler, waiting)
    return readers


def generating(gate: Gate) -> list[str]:
    """Whose each step of one token was, without those of several generations."""
    return [step[0][0] for step in gate.steps if len(step) == 1 and step[0][1] == 1]


@pytest.mark.usefixtures("long_turns")
class TestTurns:
    def test_who_has_his_turn_keeps_it(self, tiny_gguf: Path, alone: LlamaCppEngine, monkeypatch) -> None:
        scheduler = Scheduler(tiny_gguf, threads=1, lanes=3, slots=4, speculation="off")
        gate = Gate(scheduler, monkeypatch)
        requests = [ask(f"    w = {n}\n", slot=f"{n}", max_tokens=16) for n in range(3)]
        readers = begun(scheduler, gate, *requests)
        gate.open()
        for request, reader in zip(requests, readers, strict=True):
            assert reader.ended() == "token limit"
            assert ids(reader.tokens) == ids(list(alone.stream(request)))
        # While the prompts are read each takes a step now and then; after that one goes on to its end.
        runs = [(owner, len(list(steps))) for owner, steps in groupby(generating(gate))]
        assert len(runs) <= 3 + 3 * len(requests)
        assert max(length for _, length in runs) >= 10
        scheduler.close()

    def test_a_turn_ends_when_its_time_is_over(self, tiny_gguf: Path, monkeypatch) -> None:
        monkeypatch.setattr(decoding, "_LONGEST_TURN_SECONDS", 1e-9)
        scheduler = Scheduler(tiny_gguf, threads=1, lanes=2, slots=4, speculation="off")
        gate = Gate(scheduler, monkeypatch)
        readers = begun(
            scheduler, gate, *(ask(f"    w = {n}\n", slot=f"{n}", max_tokens=6) for n in range(2))
        )
        gate.open()
        assert [reader.ended() for reader in readers] == ["token limit"] * 2
        turns = generating(gate)
        there = turns[turns.index("1") : len(turns) - turns[::-1].index("0")]
        assert there == (["1", "0"] * len(there))[: len(there)]
        scheduler.close()

    def test_a_keystroke_ends_the_turn_of_a_write(self, tiny_gguf: Path, monkeypatch) -> None:
        scheduler = Scheduler(tiny_gguf, threads=1, lanes=3, slots=4, speculation="off")
        gate = Gate(scheduler, monkeypatch)
        writes = begun(
            scheduler, gate, *(ask(f"    w = {n}\n", slot=f"{n}", max_tokens=60) for n in range(2))
        )
        gate.after(12)  # the second write's prompt is read: one of them has its turn
        key = Reader(scheduler.stream(ask("    x = ", slot="typed", priority="inline", max_tokens=3)))
        wait_for(scheduler, 1)
        before = len(gate.steps)
        assert all(len(reader.tokens) < 60 for reader in writes)
        gate.open()
        for reader in (key, *writes):
            assert reader.ended() == "token limit"
        assert gate.steps[before][0][0] == "typed"
        owners = [step[0][0] for step in gate.steps[before:]]
        assert owners[: owners.index("typed") + 2] == ["typed", "typed"]  # and its first turn comes at once
        scheduler.close()

    def test_what_a_turn_brought_is_sent_at_its_end(self, tiny_gguf: Path, monkeypatch) -> None:
        scheduler = Scheduler(tiny_gguf, threads=1, lanes=2, slots=4, speculation="off")
        gate = Gate(scheduler, monkeypatch)
        over = threading.Event()

        def begin(slot: str) -> Hands:
            return handed(scheduler, ask(f"    w = {slot}\n", slot=slot, max_tokens=400), over)

        writes = {"0": begin("0")}
        gate.arrived.acquire()
        writes["1"] = begin("1")
        wait_for(scheduler, 1)
        gate.after(14)
        for write in writes.values():
            write.came.acquire()  # the first token of each comes at once
        assert [len(batch) for write in writes.values() for batch in write.batches] == [1, 1]
        turn = writes[gate.steps[-1][0][0]]
        scheduler.forget("none")  # something to do: the turn is over
        gate.after(1)
        turn.came.acquire()
        assert len(turn.batches) == 2
        assert len(turn.batches[1]) > 1
        over.set()
        gate.open()
        for write in writes.values():
            write.ended()
        scheduler.close()
