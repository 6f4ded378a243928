"""LSP positions, offsets and hunks name the same places in a text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linewise.edits import (
    Hunk,
    LinePositions,
    Place,
    PositionEncoding,
    PositionMap,
    apply_hunk,
    change_to_hunk,
    hunk_to_range,
    join_lines,
    replacement,
    split_lines,
    trim,
)
from linewise.errors import EditError

CHECK = settings.get_profile("edits")
UTF_8, UTF_16, UTF_32 = PositionEncoding
ENCODINGS = st.sampled_from(PositionEncoding)


@CHECK
@given(st.data(), ENCODINGS)
def test_offsets_come_back_from_positions(sources, data, encoding):
    text = data.draw(sources.text)
    places = PositionMap(text)
    for offset in range(len(text) + 1):
        if text[max(0, offset - 1) : offset + 1] != "\r\n":
            assert places.offset(*places.position(offset, encoding), encoding) == offset


@CHECK
@given(st.data())
def test_a_character_counts_the_code_units_of_its_encoding(sources, data):
    text = data.draw(sources.text)
    places = PositionMap(text)
    for offset in range(len(text) + 1):
        line, points = places.position(offset, UTF_32)
        before = text[offset - points : offset] if text[offset - 1 : offset + 1] != "\r\n" else None
        if before is None:
            continue
        # Each code point alone, for a pair of lone surrogates would encode as one character.
        units = sum(len(point.encode("utf-16-le", "surrogatepass")) // 2 for point in before)
        assert places.position(offset, UTF_16) == (line, units)
        assert places.position(offset, UTF_8) == (line, len(before.encode("utf-8", "surrogatepass")))


@pytest.mark.parametrize(
    ("encoding", "characters"),
    [(UTF_8, [0, 1, 3, 6, 10, 11]), (UTF_16, [0, 1, 2, 3, 5, 6]), (UTF_32, [0, 1, 2, 3, 4, 5])],
)
def test_known_widths(encoding, characters):
    places = PositionMap("x\naé€😀b")
    assert [places.position(offset, encoding) for offset in range(2, 8)] == [(1, c) for c in characters]


def test_lines_end_at_each_of_lsps_three_line_ends_and_at_nothing_else():
    places = PositionMap("a\nb\r\nc\rd\u2028\x0ce\n")
    assert places.line_count == 5
    assert [places.offset(line, 0, UTF_16) for line in range(5)] == [0, 2, 5, 7, 12]


def test_the_empty_text_has_one_line():
    assert PositionMap("").line_count == 1
    assert PositionMap("").offset(0, 5, UTF_16) == 0


@pytest.mark.parametrize("text", ["ab\ncd", "ab\r\ncd", "ab\rcd"])
def test_a_character_beyond_the_line_is_the_end_of_the_line(text):
    assert PositionMap(text).offset(0, 99, UTF_16) == 2
    assert PositionMap(text).offset(1, 99, UTF_16) == len(text)


def test_a_place_between_carriage_return_and_newline_is_the_end_of_the_line():
    assert PositionMap("ab\r\nc").position(3, UTF_16) == (0, 2)


@pytest.mark.parametrize(("encoding", "inside"), [(UTF_16, 2), (UTF_8, 2), (UTF_8, 4)])
def test_a_character_inside_a_code_point_is_its_beginning(encoding, inside):
    assert PositionMap("a😀b").offset(0, inside, encoding) == 1


def test_the_line_after_the_last_is_the_end_of_the_text_at_character_0_only():
    assert PositionMap("a\nb").offset(2, 0, UTF_16) == 3
    for line, character in [(2, 1), (3, 0), (-1, 0), (0, -1)]:
        with pytest.raises(EditError, match="outside the document, which has 2 lines"):
            PositionMap("a\nb").offset(line, character, UTF_16)


def test_an_offset_outside_the_text_is_an_error():
    for offset in (-1, 4):
        with pytest.raises(EditError, match="outside the text of 3 characters"):
            PositionMap("a\nb").position(offset, UTF_16)


def replaced(text, change):
    return text[: change.start] + change.text + text[change.end :]


@CHECK
@given(st.data())
def test_a_hunks_range_changes_the_text_exactly_as_the_hunk_changes_the_lines(sources, data):
    lines, edit = data.draw(sources.states_and_edits())
    for hunk in edit.hunks:
        assert replaced(join_lines(lines), hunk_to_range(lines, hunk)) == join_lines(apply_hunk(lines, hunk))


@pytest.mark.parametrize(
    ("lines", "hunk", "change"),
    [
        ((), Hunk(0, (), ("a", "")), (0, 0, "a\n")),
        (("a",), Hunk(1, (), ("b",)), (1, 1, "\nb")),
        (("a", ""), Hunk(1, (), ("b",)), (2, 2, "b\n")),
        (("a", "b"), Hunk(1, ("b",), ()), (1, 3, "")),
        (("a", "b"), Hunk(0, ("a",), ()), (0, 2, "")),
        (("a", "b"), Hunk(0, ("a", "b"), ()), (0, 3, "")),
        (("",), Hunk(1, (), ("x",)), (0, 0, "\nx")),
    ],
)
def test_ranges_at_the_edges_of_a_text(lines, hunk, change):
    assert hunk_to_range(lines, hunk) == change


def test_a_hunk_that_does_not_fit_has_no_range():
    with pytest.raises(EditError, match="line 1 should be 'x'"):
        hunk_to_range(("a",), Hunk(0, ("x",), ()))


@CHECK
@given(st.data())
def test_a_text_change_becomes_the_hunk_that_makes_it(sources, data):
    text, new = data.draw(sources.text), data.draw(sources.text)
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
    lines = split_lines(text)
    hunk = change_to_hunk(lines, start, end, new)
    assert apply_hunk(lines, hunk) == split_lines(text[:start] + new + text[end:])
    assert trim(hunk) == hunk


def test_a_keystroke_is_a_hunk_of_one_line():
    assert change_to_hunk(("ab", "cd", "ef"), 4, 4, "x") == Hunk(1, ("cd",), ("cxd",))


def test_an_emptied_line_is_still_a_line_and_an_emptied_document_has_none():
    assert change_to_hunk(("ab", "c"), 0, 2, "") == Hunk(0, ("ab",), ("",))
    assert change_to_hunk(("ab", "c"), 0, 4, "") == Hunk(0, ("ab", "c"), ())


@pytest.mark.parametrize(("start", "end"), [(0, 4), (-1, 0), (2, 1)])
def test_a_change_outside_the_text_or_backwards_is_an_error(start, end):
    with pytest.raises(EditError, match="offset"):
        change_to_hunk(("a", "b"), start, end, "x")


@CHECK
@given(st.data(), ENCODINGS)
def test_positions_by_line_are_those_of_the_whole_text(sources, data, encoding):
    text = data.draw(sources.text)
    lines, whole = split_lines(text), PositionMap(text)
    assert LinePositions.is_possible(lines) == (whole.line_count == max(1, len(lines)))
    if not LinePositions.is_possible(lines):
        return
    by_line = LinePositions(lines)
    starts = [sum(len(line) + 1 for line in lines[:number]) for number in range(len(lines) or 1)]
    for line in range(-1, whole.line_count + 2):
        for character in range(-1, 8):
            try:
                offset = whole.offset(line, character, encoding)
            except EditError as refused:
                with pytest.raises(EditError) as error:
                    by_line.place(line, character, encoding)
                assert str(error.value) == str(refused)
                continue
            place = by_line.place(line, character, encoding)
            assert starts[place.line] + place.column == offset
            assert by_line.position(place, encoding) == whole.position(offset, encoding)


@CHECK
@given(st.data())
def test_a_replacement_between_places_is_that_between_their_offsets(sources, data):
    text, new = data.draw(sources.text), data.draw(sources.text)
    lines = split_lines(text)
    start, end = sorted(data.draw(st.integers(0, len(text))) for _ in range(2))
    first, last = (Place(text.count("\n", 0, at), at - text.rfind("\n", 0, at) - 1) for at in (start, end))
    assert replacement(lines, first, last, new) == change_to_hunk(lines, start, end, new)
    if start < end:
        with pytest.raises(EditError, match="swap them"):
            replacement(lines, last, first, new)


def test_every_offset_of_a_long_text_is_found():
    lines = tuple("x" * (number % 3) for number in range(300))
    text = join_lines(lines)
    for offset in range(len(text) + 1):
        hunk = change_to_hunk(lines, offset, offset, "NEW")
        assert join_lines(apply_hunk(lines, hunk)) == f"{text[:offset]}NEW{text[offset:]}"
    for offset in (-1, len(text) + 1, len(text) + 1000):
        with pytest.raises(EditError, match=f"offset {offset} is outside the text of {len(text)} characters"):
            change_to_hunk(lines, *sorted((offset, len(text))), "NEW")
