"""A prompt whose beginning is known is whole again, and never another slot's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewise.engines.protocol import Segment
from linewise.serving.http.prompts import Prompts, UnknownPrefixError
from linewise.serving.wire import NO_SEGMENTS, longer

SEGMENTS = st.lists(st.builds(Segment, st.sampled_from("abc"), st.booleans()), max_size=6)


def name_of(segments: list[Segment]) -> str:
    name = NO_SEGMENTS
    for segment in segments:
        name = longer(name, segment)
    return name


@given(SEGMENTS, SEGMENTS, st.integers(0, 6))
def test_a_known_beginning_and_the_rest_are_the_prompt(
    first: list[Segment], rest: list[Segment], count: int
) -> None:
    prompts = Prompts()
    assert prompts.complete("a", NO_SEGMENTS, 0, first) == tuple(first)
    kept = first[:count]
    assert prompts.complete("a", name_of(kept), len(kept), rest) == (*kept, *rest)
    whole = [*kept, *rest]
    assert prompts.complete("a", name_of(whole), len(whole), []) == tuple(whole)


@given(SEGMENTS, SEGMENTS, st.integers(-3, 9))
def test_a_beginning_of_another_text_is_unknown(
    first: list[Segment], other: list[Segment], count: int
) -> None:
    prompts = Prompts()
    prompts.complete("a", NO_SEGMENTS, 0, first)
    if other and first[: len(other)] != other:
        with pytest.raises(UnknownPrefixError):
            prompts.complete("a", name_of(other), count, [])
        with pytest.raises(UnknownPrefixError):
            prompts.complete("b", name_of(other), len(other), [])


def test_slots_used_longest_ago_are_forgotten_first() -> None:
    prompts = Prompts(prompts=2)
    for slot in ("a", "b"):
        prompts.complete(slot, NO_SEGMENTS, 0, [Segment(slot)])
    prompts.complete("a", name_of([Segment("a")]), 1, [])
    prompts.complete("c", NO_SEGMENTS, 0, [Segment("c")])
    assert [slot for slot, _ in prompts.items()] == ["a", "c"]


def test_no_more_characters_are_held_than_allowed() -> None:
    prompts = Prompts(characters=10)
    prompts.complete("a", NO_SEGMENTS, 0, [Segment("12345")])
    prompts.complete("b", NO_SEGMENTS, 0, [Segment("123456")])
    assert [slot for slot, _ in prompts.items()] == ["b"]
    assert prompts.complete("c", NO_SEGMENTS, 0, [Segment("x" * 11)])
    assert prompts.items() == []
    prompts.complete("a", NO_SEGMENTS, 0, [Segment("12345")])
    assert len(prompts.items()) == 1


def test_nobodys_prompt_is_not_held() -> None:
    prompts = Prompts()
    prompts.complete("", NO_SEGMENTS, 0, [Segment("a")])
    assert prompts.items() == []
