"""What the scheduler promises: each generation is what it would be alone, whatever runs beside it."""

from __future__ import annotations

from pathlib import Path

import pytest
from steps import HEAD, LONG, Gate, Reader, ask, handed, ids, together, wait_for

from linewise.engines import Request, Sampling, Segment, llama_library
from linewise.engines.llama_cpp import LlamaCppEngine
from linewise.engines.protocol import Priority
from linewise.errors import BusyError, EngineError
from linewise.serving.cache import CHUNK
from linewise.serving.scheduler import Scheduler


class TestSideBySide:
    def test_each_is_what_it_is_alone(self, scheduler: Scheduler, alone: LlamaCppEngine) -> None:
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
            wanted = list(alone.stream(request))
            assert ids(tokens) == ids(wanted)
            assert [token.text for token in tokens] == [token.text for token in wanted]
            assert [t.logprob for t in tokens] == pytest.approx([t.logprob for t in wanted], abs=0.02)
        assert len({tuple(ids(tokens)) for tokens in found}) == len(found)

    def test_healing_and_stops_hold(self, scheduler: Scheduler, alone: LlamaCppEngine) -> None:
        requests = [
            Request(HEAD, Sampling(max_tokens=8), healed="    retu"),
            *(
                Request(HEAD, Sampling(temperature=50.0, seed=seed, max_tokens=200), stop=("<|diff|>",))
                for seed in range(3)
            ),
        ]
        healed, *stopped = together(scheduler, requests)
        assert "".join(token.text for token in healed).startswith("    retu")
        assert ids(healed) == ids(list(alone.stream(requests[0])))
        assert not any(token.text == "<|diff|>" for tokens in stopped for token in tokens)

    def test_two_hundred_documents_each_with_a_text_of_its_own(
        self, scheduler: Scheduler, alone: LlamaCppEngine
    ) -> None:
        requests = [ask(f"    secret_{n} = {n}\n", slot=f"{n}.py", max_tokens=4) for n in range(200)]
        found = together(scheduler, requests)
        for request, tokens in list(zip(requests, found, strict=True))[::9]:
            assert ids(tokens) == ids(list(alone.stream(request)))
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
        self, scheduler: Scheduler, alone: LlamaCppEngine
    ) -> None:
        for tail in ("    one = 1\n", "    two = 2\n", "", "    one = 1\n    three\n"):
            request = ask(LONG + tail, slot="a")
            assert ids(list(scheduler.stream(request))) == ids(list(alone.stream(request)))

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

    def test_a_copy_goes_its_own_way(self, scheduler: Scheduler, alone: LlamaCppEngine) -> None:
        first, second = ask(LONG + "    x = 1\n", slot="a"), ask(LONG + "    y = 2\n", slot="b")
        again = ask(LONG + "    x = 1\n    x += 1\n", slot="a")
        for request in (first, second, again):
            assert ids(list(scheduler.stream(request))) == ids(list(alone.stream(request)))
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
        self, scheduler: Scheduler, alone: LlamaCppEngine, monkeypatch
    ) -> None:
        """As a recurrent one does: llama.cpp refuses to remove a part of what it has read."""
        remove = llama_library.api.llama_memory_seq_rm

        def refuses(memory, sequence, first, last):
            return first <= 0 and remove(memory, sequence, first, last)

        monkeypatch.setattr(scheduler._decoder._cache, "_goes_back", False)
        monkeypatch.setattr("linewise.serving.cache.api.llama_memory_seq_rm", refuses)
        for slot, tail in (("a", "    x = 1\n"), ("a", "    y\n"), ("b", "    y\n"), ("a", "    y\n")):
            request = ask(LONG + tail, slot=slot)
            assert ids(list(scheduler.stream(request))) == ids(list(alone.stream(request)))


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
        self, tiny_gguf: Path, alone: LlamaCppEngine, monkeypatch
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
        steps = [{owner for owner, _ in step} for step in gate.steps[before:]]
        last = max(place for place, owners in enumerate(steps) if "inline" in owners)
        assert set().union(*steps[:last]) <= {"inline", "write 0"}
        assert scheduler.statistics().preempted == 1
        for request, reader in zip((urgent, *requests), (inline, *writes), strict=True):
            assert ids(reader.tokens) == ids(list(alone.stream(request)))
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


class TestGathering:
    def test_the_first_token_comes_at_once_and_the_others_together(self, scheduler: Scheduler) -> None:
        request = ask("    total", max_tokens=40)
        expected = ids(list(scheduler.stream(request)))
        batches = handed(scheduler, request).ended()
        assert ids([token for batch in batches for token in batch]) == expected
        assert len(batches[0]) == 1
        assert len(batches) == 2  # the end waits for nothing
        assert [len(batch) for batch in handed(scheduler, ask(max_tokens=1)).ended()] == [1]

    def test_a_line_does_not_wait_for_the_next_one_where_lines_count(self, scheduler: Scheduler) -> None:
        request = ask("    total", temperature=1.0, max_tokens=400)
        first, *lines, rest = handed(scheduler, request, by_line=True).ended()
        assert (len(first), len(lines) > 1) == (1, True)
        for line in lines:
            assert [place for place, token in enumerate(line) if "\n" in token.text] == [len(line) - 1]
        assert not any("\n" in token.text for token in rest[:-1])

    def test_what_has_gathered_does_not_wait_while_another_has_the_lane(
        self, tiny_gguf: Path, monkeypatch
    ) -> None:
        scheduler = Scheduler(tiny_gguf, threads=1, lanes=1, slots=2)
        request = ask(slot="write", max_tokens=100)
        expected = ids(list(scheduler.stream(request)))
        gate = Gate(scheduler, monkeypatch)
        write = handed(scheduler, request)
        gate.arrived.acquire()
        gate.after(5)
        urgent = Reader(scheduler.stream(ask(slot="inline", priority="inline", max_tokens=10)))
        wait_for(scheduler, 1)
        gate.after(2)  # the second is the other one's
        write.came.acquire()
        write.came.acquire()
        found = write.batches
        assert (len(found), len(found[0])) == (2, 1)
        got = ids(found[0] + found[1])
        assert got == expected[: len(got)]
        gate.open()
        urgent.join()
        scheduler.close()

    def test_what_came_before_a_fault_is_told_first(self, scheduler: Scheduler, monkeypatch) -> None:
        request = ask("    total", max_tokens=100)
        expected = ids(list(scheduler.stream(request)))
        decode, calls = llama_library.decode, iter(range(100))

        def fails_in_the_end(context, batch):
            if next(calls) == 10:
                raise EngineError("status -3")
            decode(context, batch)

        monkeypatch.setattr(llama_library, "decode", fails_in_the_end)
        write = handed(scheduler, request)
        found = [token for batch in write.ended() for token in batch]
        assert ids(found) == expected[: len(found)]
        assert len(found) > 2
        assert write.end
        assert str(write.end.error) == "status -3"
