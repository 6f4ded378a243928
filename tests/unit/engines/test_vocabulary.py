"""Spelling look-ups and token texts, against brute force over invented vocabularies."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from linewise.engines.token_text import TokenText
from linewise.engines.vocabulary import SpellingIndex, Vocabulary

pieces = st.lists(
    st.binary(min_size=0, max_size=4) | st.text("ab\xff\u20ac", max_size=4).map(str.encode),
    min_size=1,
    max_size=40,
)


def vocabulary(pieces: list[bytes], control: frozenset[int] = frozenset()) -> Vocabulary:
    return Vocabulary(tuple(pieces), control, {}, frozenset(), frozenset())


@given(pieces, st.binary(min_size=1, max_size=6) | st.text("ab\xff", min_size=1).map(str.encode), st.data())
def test_allowed_tokens_are_those_that_spell_the_rest_or_go_beyond_it(
    pieces: list[bytes], rest: bytes, data: st.DataObject
) -> None:
    control = data.draw(st.frozensets(st.integers(0, len(pieces) - 1)))
    expected = [
        id_
        for id_, piece in enumerate(pieces)
        if piece and id_ not in control and (rest.startswith(piece) or piece.startswith(rest))
    ]
    assert SpellingIndex(vocabulary(pieces, control)).allowed(rest).tolist() == expected


def test_the_greatest_byte_has_no_successor_and_still_works() -> None:
    index = SpellingIndex(vocabulary([b"\xff", b"\xff\xff", b"\xfe\xff", b"a"]))
    assert index.allowed(b"\xff\xff").tolist() == [0, 1]
    assert index.allowed(b"\xfe").tolist() == [2]


@given(
    st.lists(st.binary(min_size=1, max_size=3) | st.text(min_size=1, max_size=2).map(str.encode), max_size=20)
)
def test_token_texts_join_to_the_decoded_bytes_and_none_is_lost(pieces: list[bytes]) -> None:
    text = TokenText(vocabulary(pieces))
    tokens = [token for id_ in range(len(pieces)) for token in text.push(id_, -1.0)]
    tokens += text.finish()
    assert [token.id for token in tokens] == list(range(len(pieces)))
    assert "".join(token.text for token in tokens) == b"".join(pieces).decode("utf-8", "replace")


def test_a_character_in_two_tokens_appears_with_its_second() -> None:
    text = TokenText(vocabulary(["é".encode()[:1], "é".encode()[1:]]))
    assert text.push(0, -1.0) == []
    assert [token.text for token in text.push(1, -2.0)] == ["", "é"]


def test_a_special_token_ends_an_incomplete_character_and_keeps_its_literal_text() -> None:
    text = TokenText(vocabulary([b"\xe2\x82", b"<|diff|>", b"\xac"], frozenset({1})))
    assert text.push(0, -1.0) == []
    tokens = text.push(1, -2.0)
    assert [(token.text, token.special) for token in tokens] == [("\ufffd", False), ("<|diff|>", True)]
    assert [token.text for token in text.push(2, -1.0)] == ["\ufffd"]
