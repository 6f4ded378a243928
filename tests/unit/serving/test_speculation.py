"""Drafts: looked up right, kept only where they pay, and never seen in what comes out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewise.engines import Request, Sampling, Segment
from linewise.serving.scheduler import Scheduler
from linewise.serving.speculation import LONGEST_DRAFT, History, Pace

DIFF = Segment("<|diff|>", special=True)
LINES = "def area(radius):\n    return math.pi * radius ** 2\n"
PROMPT = (DIFF, Segment(f"@1,0\n{LINES * 4}"), DIFF, Segment("@1,0\ndef area("))


always = partial(Pace, always=True)  # whether that pays or not


class Never(Pace):
    """Makes no draft."""

    def wanted(self) -> int:
        return 0


@pytest.fixture
def scheduler(tiny_gguf: Path) -> Iterator[Scheduler]:
    scheduler = Scheduler(tiny_gguf, threads=1, lanes=2, slots=2)
    yield scheduler
    scheduler.close()


class TestLookUp:
    def test_what_followed_last_time(self) -> None:
        assert History([], [1, 2, 3, 4, 5, 9, 2, 3]).draft(3) == [4, 5, 9]

    def test_the_longest_agreement_counts_then_the_latest_place(self) -> None:
        assert History([], [7, 1, 2, 3, 8, 1, 2, 4, 7, 1, 2]).draft(1) == [3]
        assert History([], [1, 2, 3, 8, 1, 2, 4, 9, 1, 2]).draft(1) == [4]

    def test_one_token_alone_is_no_match(self) -> None:
        assert History([], [1, 2, 3, 9, 2]).draft(4) == []
        assert History([], [5]).draft(4) == []
        assert History([], []).draft(4) == []

    def test_a_circle_goes_on(self) -> None:
        assert History([], [1, 2, 3, 1, 2, 3, 1, 2, 3]).draft(5) == [1, 2, 3, 1, 2]

    def test_struck_text_is_looked_up_and_ends_where_it_ended(self) -> None:
        assert History([4, 5, 6, 7], [1, 4, 5]).draft(7) == [6, 7]
        assert History([4, 5], [4, 5]).draft(7) == []

    def test_tokens_added_later_are_found(self) -> None:
        history = History([], [1, 2, 3])
        for token in [*range(10, 700), 1, 2]:
            history.extend([token])
        assert len(history) == 695
        assert history.draft(3) == [3, 10, 11]

    @given(
        st.lists(st.integers(0, 3), max_size=30),
        st.lists(st.integers(0, 3), max_size=30),
        st.integers(1, 8),
    )
    def test_a_draft_is_never_longer_than_asked_for_and_follows_a_match(
        self, earlier: list[int], tokens: list[int], most: int
    ) -> None:
        draft = History(earlier, tokens).draft(most)
        assert len(draft) <= most
        if draft:
            both = [*earlier, -1, *tokens]
            ends = [place for place in range(2, len(both)) if both[place - 2 : place] == tokens[-2:]]
            assert any(both[place] == draft[0] for place in ends)


class TestPace:
    def test_no_draft_before_a_plain_token_was_measured(self) -> None:
        pace = Pace()
        assert pace.wanted() == 0
        pace.saw_plain(1.0)
        assert pace.wanted() > 0

    def test_drafts_that_hold_grow(self) -> None:
        pace = Pace()
        pace.saw_plain(1.0)
        for _ in range(4):
            pace.saw_draft(pace.wanted(), pace.wanted(), 1.2)
        assert pace.wanted() == LONGEST_DRAFT

    def test_drafts_that_fail_shrink_and_end_for_longer_each_time(self) -> None:
        pace, rests = Pace(), []
        pace.saw_plain(1.0)
        for _ in range(3):
            while pace.wanted():
                pace.saw_draft(pace.wanted(), 0, 2.0)
            rest = 0
            while not pace.wanted():
                pace.saw_plain(1.0)
                rest += 1
            rests.append(rest)
        assert rests[0] < rests[1] < rests[2]

    def test_drafts_that_hold_and_yet_cost_more_end(self) -> None:
        pace = Pace()
        pace.saw_plain(1.0)
        for _ in range(20):
            if pace.wanted():
                pace.saw_draft(7, 7, 9.0)
        assert pace.wanted() == 0

    def test_drafts_that_pay_go_on_but_for_a_look_at_the_price_of_none(self) -> None:
        pace, plain = Pace(), 0
        pace.saw_plain(1.0)
        for _ in range(200):
            if drafted := pace.wanted():
                pace.saw_draft(drafted, drafted, 1.5)
            else:
                pace.saw_plain(1.0)
                plain += 1
        assert 0 < plain < 20

    def test_one_slow_step_decides_nothing(self) -> None:
        pace = Pace()
        pace.saw_plain(1.0)
        for step in range(20):
            pace.saw_draft(3, 3, 100.0 if step == 7 else 1.5)
            assert pace.wanted() or step % 32 == 30


def generated(
    scheduler: Scheduler, request: Request, pace: Callable[..., Pace], monkeypatch: pytest.MonkeyPatch
) -> tuple[list[int], int]:
    """Tokens of `request` from an empty cache, and how many drafted ones held."""
    monkeypatch.setattr("linewise.serving.cache.Pace", lambda always=False, make=pace: make())
    scheduler.forget(request.slot)
    stream = scheduler.stream(request)
    tokens = [token.id for token in stream]
    assert stream.statistics is not None
    return tokens, stream.statistics.accepted_tokens


class TestWhatComesOut:
    @pytest.mark.parametrize("healed", ["", "rad"])
    def test_greedy_is_the_same_token_for_token(
        self, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch, healed: str
    ) -> None:
        held = 0
        for tail in ("x", "radius", "self, other", "日"):
            prompt = (*PROMPT[:-1], Segment(f"{PROMPT[-1].text}{tail}"))
            request = Request(prompt, Sampling(max_tokens=250), healed=healed, slot="a")
            plain, none = generated(scheduler, request, Never, monkeypatch)
            drafted, accepted = generated(scheduler, request, always, monkeypatch)
            assert drafted == plain
            assert none == 0
            held += accepted
        assert held > 50  # noise, greedily chosen, soon goes round in circles

    def test_drawn_tokens_fall_as_they_do_without_drafts(
        self, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Pearson's test of homogeneity on the last two of three tokens.

        What is drafted is what another seed drew after the same tokens, so it is right now and then.
        """
        counts: list[Counter[tuple[int, ...]]] = []
        accepted = 0
        for slot, pace, seeds in (("plain", Never, range(600)), ("drafted", always, range(600, 1200))):
            monkeypatch.setattr("linewise.serving.cache.Pace", lambda always=False, make=pace: make())
            seen: Counter[tuple[int, ...]] = Counter()
            for seed in seeds:
                sampling = Sampling(temperature=1.0, top_k=3, seed=seed, max_tokens=3)
                stream = scheduler.stream(Request(PROMPT, sampling, slot=slot))
                seen[tuple(token.id for token in stream)[1:]] += 1
                assert stream.statistics is not None
                accepted += stream.statistics.accepted_tokens
            counts.append(seen)
        assert accepted > 100
        kinds = [kind for kind, count in (counts[0] + counts[1]).items() if count >= 20]
        table = np.array([[seen[kind] for kind in kinds] for seen in counts], float)
        expected = table.sum(0) * table.sum(1, keepdims=True) / table.sum()
        statistic = float(((table - expected) ** 2 / expected).sum())
        freedom = len(kinds) - 1
        assert freedom >= 2
        # Beyond five standard deviations, by Wilson and Hilferty's cube root.
        deviations = ((statistic / freedom) ** (1 / 3) - (1 - 2 / (9 * freedom))) / (2 / (9 * freedom)) ** 0.5
        assert deviations < 5

    def test_the_same_seed_draws_the_same_with_drafts_and_without(
        self, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        same, accepted = 0, 0
        for seed in range(20):
            sampling = Sampling(temperature=0.3, seed=seed, max_tokens=40)
            request = Request(PROMPT, sampling, slot="a")
            plain, _ = generated(scheduler, request, Never, monkeypatch)
            drafted, held = generated(scheduler, request, always, monkeypatch)
            same += plain == drafted
            accepted += held
        assert accepted > 10
        assert same >= 18  # a draw may fall on either side of a rounding error

    def test_limits_and_ends_hold_inside_a_draft(
        self, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for most in range(1, 12):
            request = Request(PROMPT, Sampling(max_tokens=most), slot="a")
            assert len(generated(scheduler, request, always, monkeypatch)[0]) == most
        whole = (Segment("x y " * 120),)
        room = scheduler.info.context_length - len(scheduler.tokenize(whole)) + 1
        tokens, accepted = generated(
            scheduler, Request(whole, Sampling(max_tokens=10**6), slot="a"), always, monkeypatch
        )
        assert len(tokens) == room
        assert accepted > 0

    def test_a_draft_that_fails_leaves_nothing_in_the_cache(
        self, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        request = Request(PROMPT, Sampling(temperature=1.0, seed=1, max_tokens=40), slot="a")
        tokens, _ = generated(scheduler, request, always, monkeypatch)
        (held,) = (one.tokens for one in scheduler._decoder._cache.streams if one.owner == "a")
        everything = [*scheduler.tokenize(PROMPT), *tokens]
        assert held == everything[: len(held)]
        assert len(held) >= len(everything) - 1  # the last one need not be read

    def test_what_was_struck_is_kept_for_its_own_document_alone(self, scheduler: Scheduler) -> None:
        def struck(slot: str, tail: str) -> list[int]:
            prompt = (*PROMPT[:-1], Segment(f"{PROMPT[-1].text}{tail}"))
            list(scheduler.stream(Request(prompt, Sampling(max_tokens=5), slot=slot)))
            (stream,) = (one for one in scheduler._decoder._cache.streams if one.owner == slot)
            return stream.struck

        assert struck("a", "radius, circle, square") == []
        assert struck("a", "other, one, two")
        assert struck("b", "third") == []  # copied from the first one
        assert struck("c", "fourth") == []  # takes the place of the first one
        assert struck("a", "fifth") == []

    def test_drafts_can_be_asked_for(self, tiny_gguf: Path) -> None:
        scheduler = Scheduler(tiny_gguf, threads=1, lanes=1, slots=1, speculation="on")
        stream = scheduler.stream(Request(PROMPT, Sampling(max_tokens=60)))
        list(stream)
        assert stream.statistics is not None
        assert stream.statistics.drafted_tokens > 0
        scheduler.close()

    def test_drafts_can_be_forbidden(self, tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        scheduler = Scheduler(tiny_gguf, threads=1, lanes=1, slots=1, speculation="off")
        generated(scheduler, Request(PROMPT, Sampling(max_tokens=60), slot="a"), always, monkeypatch)
        assert scheduler.statistics().drafted_tokens == 0
        scheduler.close()
