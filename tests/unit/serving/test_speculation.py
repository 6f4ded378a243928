"""Drafts: looked up right, as long as pays, and never seen in what comes out."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewise.engines import Request, Sampling, Segment
from linewise.serving.pace import Pace, Speculation
from linewise.serving.scheduler import Scheduler
from linewise.serving.speculation import LONGEST_DRAFT, NO_GUESS, Guess, History, Odds

DIFF = Segment("<|diff|>", special=True)
LINES = "def area(radius):\n    return math.pi * radius ** 2\n"
PROMPT = (DIFF, Segment(f"@1,0\n{LINES * 4}"), DIFF, Segment("@1,0\ndef area("))


@pytest.fixture
def plain(tiny_gguf: Path) -> Iterator[Scheduler]:
    """Never drafts."""
    scheduler = Scheduler(tiny_gguf, threads=1, lanes=2, slots=2, speculation="off")
    yield scheduler
    scheduler.close()


@pytest.fixture
def drafting(tiny_gguf: Path) -> Iterator[Scheduler]:
    """Drafts always, whether that pays or not."""
    scheduler = Scheduler(tiny_gguf, threads=1, lanes=2, slots=2, speculation="on")
    yield scheduler
    scheduler.close()


class TestLookUp:
    def test_what_followed_last_time(self) -> None:
        assert History([], [1, 2, 3, 4, 5, 9, 2, 3]).guess(3) == Guess([4, 5, 9], 2)

    def test_the_longest_agreement_counts_then_the_latest_place(self) -> None:
        assert History([], [7, 1, 2, 3, 8, 1, 2, 4, 7, 1, 2]).guess(1) == Guess([3], 3)
        assert History([], [1, 2, 3, 8, 1, 2, 4, 9, 1, 2]).guess(1) == Guess([4], 2)

    def test_one_token_alone_is_no_match(self) -> None:
        assert History([], [1, 2, 3, 9, 2]).guess(4) == NO_GUESS
        assert History([], [5]).guess(4) == NO_GUESS
        assert History([], []).guess(4) == NO_GUESS

    def test_a_circle_goes_on(self) -> None:
        assert History([], [1, 2, 3, 1, 2, 3, 1, 2, 3]).guess(5).tokens == [1, 2, 3, 1, 2]

    def test_struck_text_is_looked_up_and_ends_where_it_ended(self) -> None:
        assert History([4, 5, 6, 7], [1, 4, 5]).guess(7).tokens == [6, 7]
        assert History([4, 5], [4, 5]).guess(7).tokens == []

    def test_past_a_token_that_differs_the_copy_goes_on(self) -> None:
        history = History([], [1, 2, 3, 4, 5, 6, 1, 2])
        assert history.guess(2) == Guess([3, 4], 2)
        history.extend([8])  # instead of 3
        assert history.guess(2) == Guess([4, 5], 0)
        history.extend([4])
        assert history.guess(2) == Guess([5, 6], 1)
        history.extend([5, 6])
        assert history.guess(1) == Guess([1], 3)

    def test_no_copy_goes_on_past_what_stands_nowhere(self) -> None:
        history = History([], [1, 2, 3])
        history.extend([9])
        assert history.guess(2) == NO_GUESS

    def test_tokens_added_later_are_found(self) -> None:
        history = History([], [1, 2, 3])
        for token in [*range(10, 700), 1, 2]:
            history.extend([token])
        assert len(history) == 695
        assert history.guess(3) == Guess([3, 10, 11], 2)

    @given(
        st.lists(st.integers(0, 3), max_size=30),
        st.lists(st.integers(0, 3), max_size=30),
        st.integers(1, 8),
    )
    def test_what_is_said_to_agree_does_and_nothing_agrees_longer(
        self, earlier: list[int], tokens: list[int], most: int
    ) -> None:
        guess = History(earlier, tokens).guess(most)
        assert len(guess.tokens) <= most
        both = [*earlier, -1, *tokens]
        longest = min(8, len(tokens))
        places = {
            length: [
                place
                for place in range(length, len(both))
                if both[place - length : place] == tokens[len(tokens) - length :]
            ]
            for length in range(2, longest + 1)
        }
        agreeing = max((length for length, found in places.items() if found), default=0)
        assert guess.agreeing == agreeing
        if agreeing:
            assert list(guess.tokens[:1]) == [one for one in (both[places[agreeing][-1]],) if one >= 0]


class TestOdds:
    def test_they_come_to_what_is_seen(self) -> None:
        odds = Odds()
        for number in range(400):
            odds.saw(Guess([1], 5), [1 if number % 4 else 2])
        assert odds.of(5) == pytest.approx(0.75, abs=0.03)

    def test_a_guess_counts_up_to_the_first_token_that_differs(self) -> None:
        odds, before = Odds(), Odds()
        odds.saw(Guess([1, 2, 3], 2), [1, 9, 3])
        assert odds.of(2) > before.of(2)
        assert odds.of(3) < before.of(3)
        assert odds.of(4) == before.of(4)

    def test_what_agrees_longer_than_counted_is_one_kind(self) -> None:
        odds, before = Odds(), Odds()
        odds.saw(Guess(range(7), 8), range(7))
        assert odds.of(11) == odds.of(8) > before.of(8)

    def test_a_new_document_begins_with_what_others_taught(self) -> None:
        common = Odds()
        one, other = Odds(common), Odds(common)
        for _ in range(100):
            one.saw(Guess([1], 3), [2])
        assert one.of(3) < other.of(3) < Odds().of(3)


SURE = Guess(range(LONGEST_DRAFT), 8)


def right(agreeing: int, share: float) -> Odds:
    """Odds of one document in which guesses were right so often."""
    odds, chance = Odds(), random.Random(1)
    for _ in range(300):
        odds.saw(Guess([1], agreeing), [1 if chance.random() < share else 0])
    return odds


def learned(seconds: dict[int, float]) -> Pace:
    """A pace that has seen steps of so many tokens take so long, as its own drafts brought them about."""
    pace = Pace()
    for _ in range(100):
        rows = 1 + pace.length(100, SURE, right(8, 1.0))
        pace.saw_step(100, rows, seconds[rows])
        pace.saw_step(100, 1, seconds[1])
    return pace


FREE = {rows: 1.0 + 0.05 * rows for rows in range(1, 9)}
DEAR = {rows: 1.0 * rows for rows in range(1, 9)}


class TestPace:
    def test_no_draft_before_a_plain_step_was_measured(self) -> None:
        pace = Pace()
        assert pace.length(100, SURE, Odds()) == 0
        pace.saw_step(100, 1, 1.0)
        assert pace.length(100, SURE, Odds()) > 0

    def test_where_further_tokens_cost_little_drafts_are_long(self) -> None:
        assert learned(FREE).length(100, SURE, right(8, 0.95)) == LONGEST_DRAFT

    def test_where_each_costs_as_much_as_the_first_none_is_made(self) -> None:
        assert learned(DEAR).length(100, SURE, right(8, 0.95)) == 0

    def test_a_step_up_in_cost_is_not_taken(self) -> None:
        steps = {rows: 1.0 + 0.1 * rows + 4.0 * (rows > 4) for rows in range(1, 9)}
        assert learned(steps).length(100, SURE, right(8, 0.9)) == 3

    def test_what_is_seldom_right_is_not_drafted(self) -> None:
        steps = {rows: 1.0 + 0.2 * (rows - 1) for rows in range(1, 9)}
        pace = learned(steps)
        assert pace.length(100, SURE, right(8, 0.1)) == 0
        assert pace.length(100, SURE, right(8, 0.95)) > 2

    def test_a_price_is_one_in_single_steps_with_a_cache_as_long(self) -> None:
        pace = learned(FREE)
        assert pace.length(1000, SURE, right(8, 0.95)) == 0  # what a single step costs there is not known
        pace.saw_step(1000, 1, 3.0)
        for _ in range(50):
            pace.saw_step(1000, 8, 3.0 * FREE[8])
        assert pace.length(1000, SURE, right(8, 0.95)) == LONGEST_DRAFT

    def test_what_the_step_after_a_draft_takes_longer_is_the_drafts(self) -> None:
        steps = {rows: 1.0 + 0.3 * (rows - 1) for rows in range(1, 9)}
        pace = learned(steps)
        unsure = Guess([1], 8)
        assert pace.length(100, unsure, right(8, 0.5)) == 1
        for _ in range(30):
            pace.saw_step(100, 1, 1.4, like_before=False)
        assert pace.length(100, unsure, right(8, 0.5)) == 0
        assert pace.length(100, SURE, right(8, 1.0)) > 0

    def test_one_slow_step_decides_nothing(self) -> None:
        pace = learned(FREE)
        pace.saw_step(100, 8, 500.0)
        assert pace.length(100, SURE, right(8, 0.95)) > 2
        fresh = Pace()
        fresh.saw_step(100, 1, 1.0)
        fresh.saw_step(100, 4, 500.0)  # the first of its kind
        for _ in range(30):
            fresh.saw_step(100, 4, 1.1)
        assert fresh.length(100, Guess(range(3), 8), right(8, 0.9)) == 3

    def test_what_was_dear_is_tried_again_in_the_end(self) -> None:
        pace, odds, tried = learned(DEAR), right(8, 0.95), 0
        for _ in range(4000):
            rows = 1 + pace.length(100, SURE, odds)
            tried += rows > 1
            pace.saw_step(100, rows, DEAR[rows])
        assert 0 < tried < 200


def generated(scheduler: Scheduler, request: Request) -> tuple[list[int], int]:
    """Tokens of `request` from an empty cache, and how many drafted ones held."""
    scheduler.forget(request.slot)
    stream = scheduler.stream(request)
    tokens = [token.id for token in stream]
    assert stream.statistics is not None
    return tokens, stream.statistics.accepted_tokens


class TestWhatComesOut:
    @pytest.mark.parametrize("healed", ["", "rad"])
    def test_greedy_is_the_same_token_for_token(
        self, plain: Scheduler, drafting: Scheduler, healed: str
    ) -> None:
        held = 0
        for tail in ("x", "radius", "self, other", "日"):
            prompt = (*PROMPT[:-1], Segment(f"{PROMPT[-1].text}{tail}"))
            request = Request(prompt, Sampling(max_tokens=250), healed=healed, slot="a")
            expected, none = generated(plain, request)
            drafted, accepted = generated(drafting, request)
            assert drafted == expected
            assert none == 0
            held += accepted
        assert held > 50  # noise, greedily chosen, soon goes round in circles

    def test_drawn_tokens_fall_as_they_do_without_drafts(self, plain: Scheduler, drafting: Scheduler) -> None:
        """Pearson's test of homogeneity on the last two of three tokens.

        What is drafted is what another seed drew after the same tokens, so it is right now and then.
        """
        counts: list[Counter[tuple[int, ...]]] = []
        accepted = 0
        for scheduler, seeds in ((plain, range(600)), (drafting, range(600, 1200))):
            seen: Counter[tuple[int, ...]] = Counter()
            for seed in seeds:
                sampling = Sampling(temperature=1.0, top_k=3, seed=seed, max_tokens=3)
                stream = scheduler.stream(Request(PROMPT, sampling, slot="a"))
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
        self, plain: Scheduler, drafting: Scheduler
    ) -> None:
        same, accepted = 0, 0
        for seed in range(20):
            sampling = Sampling(temperature=0.3, seed=seed, max_tokens=40)
            request = Request(PROMPT, sampling, slot="a")
            expected, _ = generated(plain, request)
            drafted, held = generated(drafting, request)
            same += expected == drafted
            accepted += held
        assert accepted > 10
        assert same >= 18  # a draw may fall on either side of a rounding error

    def test_limits_and_ends_hold_inside_a_draft(self, drafting: Scheduler) -> None:
        for most in range(1, 12):
            request = Request(PROMPT, Sampling(max_tokens=most), slot="a")
            assert len(generated(drafting, request)[0]) == most
        whole = (Segment("x y " * 120),)
        room = drafting.info.context_length - len(drafting.tokenize(whole)) + 1
        tokens, accepted = generated(drafting, Request(whole, Sampling(max_tokens=10**6), slot="a"))
        assert len(tokens) == room
        assert accepted > 0

    def test_a_draft_that_fails_leaves_nothing_in_the_cache(self, drafting: Scheduler) -> None:
        request = Request(PROMPT, Sampling(temperature=1.0, seed=1, max_tokens=40), slot="a")
        tokens, _ = generated(drafting, request)
        (held,) = (one.tokens for one in drafting._decoder._cache.streams if one.owner == "a")
        everything = [*drafting.tokenize(PROMPT), *tokens]
        assert held == everything[: len(held)]
        assert len(held) >= len(everything) - 1  # the last one need not be read

    def test_what_was_struck_is_kept_for_its_own_document_alone(self, drafting: Scheduler) -> None:
        def struck(slot: str, tail: str) -> list[int]:
            prompt = (*PROMPT[:-1], Segment(f"{PROMPT[-1].text}{tail}"))
            list(drafting.stream(Request(prompt, Sampling(max_tokens=5), slot=slot)))
            (stream,) = (one for one in drafting._decoder._cache.streams if one.owner == slot)
            return stream.struck

        assert struck("a", "radius, circle, square") == []
        assert struck("a", "other, one, two")
        assert struck("b", "third") == []  # copied from the first one
        assert struck("c", "fourth") == []  # takes the place of the first one
        assert struck("a", "fifth") == []

    def test_several_at_once_come_out_as_each_alone(self, plain: Scheduler, drafting: Scheduler) -> None:
        requests = [
            Request((*PROMPT, Segment(tail)), Sampling(max_tokens=120), slot=tail) for tail in ("a", "b")
        ]
        streams = [drafting.stream(request) for request in requests]
        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(lambda stream: [token.id for token in stream], streams))
        assert found == [generated(plain, request)[0] for request in requests]
        assert drafting.statistics().accepted_tokens > 0

    @pytest.mark.parametrize("speculation", ["on", "off"])
    def test_drafts_can_be_asked_for_and_forbidden(self, tiny_gguf: Path, speculation: Speculation) -> None:
        scheduler = Scheduler(tiny_gguf, threads=1, lanes=1, slots=1, speculation=speculation)
        list(scheduler.stream(Request(PROMPT, Sampling(max_tokens=60))))
        assert (scheduler.statistics().drafted_tokens > 0) == (speculation == "on")
        scheduler.close()
