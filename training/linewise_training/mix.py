"""What a training stage reads: how much of each kind of example, drawn repeatably from a corpus."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linewise.edits import parse_sequence, split_lines
from linewise.errors import LinewiseError
from linewise_training.changes import read_code
from linewise_training.corpus.harvest import is_test
from linewise_training.examples import (
    EDIT_LOG,
    Example,
    Form,
    body_example,
    changing_example,
    continuing_example,
    editing_example,
    form_called,
    function_example,
    history_example,
    plain_examples,
    rephrase,
    writing_example,
)
from linewise_training.examples.writing import file_name
from linewise_training.token_file import read_jsonl

VALIDATION_SHARE = 0.01  # of files and of programs, chosen by the hash of their text


@dataclass(frozen=True, slots=True)
class Mix:
    """Shares of a stage's data.

    `plain_characters` of files as they are; `writing` passes over the LintSeq sequences, each pass with
    instructions phrased anew, and `continuing` examples for each that begin half-way; `editing`, `function`
    and `body` examples per file of the corpus; `history` examples per edit of its histories; `changing`
    examples per file and per program of the sequences. No example shows more than `window_characters` of a
    file. Files of one origin (a package) are used up to `origin_characters`, so that a few large packages do
    not drown the others, and of test files the share `tests`. `format` is the Format that the examples are
    written in; the tasks are the same in all.
    """

    plain_characters: int = 0
    writing: int = 1
    editing: float = 1.0
    function: float = 0.5
    body: float = 0.0
    continuing: float = 0.0
    history: float = 0.0
    changing: float = 0.0
    tests: float = 1.0
    window_characters: int = 2000
    origin_characters: int = 2_500_000
    format: str = EDIT_LOG.name

    def __post_init__(self) -> None:
        form_called(self.format)
        if not 0 <= self.tests <= 1:
            raise ValueError(f"tests = {self.tests} is not a share from 0 to 1")


def held_out(text: str) -> bool:
    """Whether an item belongs to the validation set: decided by its text alone, so it holds across runs."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:4], "big") < VALIDATION_SHARE * 2**32


_FILE = ("origin", "path", "text")
_SEQUENCE = ("instruction", "program", "edits")


def places_held_out(files: Path) -> dict[tuple[str, str], bool]:
    """Whether each file of a corpus's `files` is held out, by its origin and path."""
    return {
        (str(row["origin"]), str(row["path"])): held_out(str(row["text"]))
        for row in read_jsonl(files, *_FILE)
    }


def history_held_out(row: Mapping[str, object], places: Mapping[tuple[str, str], bool]) -> bool:
    """Whether a history goes to the validation set: where its file does, or it would give the file away."""
    place = str(row["origin"]), str(row["path"])
    return places.get(place, held_out("/".join(place)))


def examples(
    files: Path,
    sequences: Path | None,
    mix: Mix,
    seed: int,
    *,
    validation: bool,
    limit: int | None = None,
) -> Iterator[Example]:
    """Examples of a mix in random order, repeatable from `seed`.

    `files` is a corpus's files.jsonl, `sequences` the output of `linewise train lintseq`. With `validation`
    only held-out items are used, otherwise only the others; with `limit`, so many files, sequences and
    histories drawn at random.
    """
    rng = random.Random(seed)
    form = form_called(mix.format)
    streams = [list(_of_files(files, mix, rng, form, validation, limit))]
    if sequences is not None:
        rows = [
            row for row in read_jsonl(sequences, *_SEQUENCE) if held_out(str(row["program"])) is validation
        ]
        if limit is not None:
            rows = rng.sample(rows, min(limit, len(rows)))
        for _ in range(mix.writing if not validation else 1):
            streams.append([_of_sequence(row, rng, form) for row in rows])
        streams.append(list(_halves(rows, mix, rng, form)))
        streams.append(list(_changed_programs(rows, mix, rng, form)))
    if mix.history:
        streams.append(list(_of_histories(files, mix, rng, form, validation, limit)))
    everything = [example for stream in streams for example in stream]
    rng.shuffle(everything)
    yield from everything


def _of_files(
    files: Path, mix: Mix, rng: random.Random, form: Form, validation: bool, limit: int | None
) -> Iterable[Example]:
    rows = [row for row in read_jsonl(files, *_FILE) if held_out(str(row["text"])) is validation]
    rng.shuffle(rows)
    if limit is not None:
        del rows[limit:]
    plain_left = mix.plain_characters
    used: Counter[str] = Counter()
    for row in rows:
        text, path, origin = without_licence_header(str(row["text"])), str(row["path"]), str(row["origin"])
        if mix.tests < 1 and is_test(path) and rng.random() >= mix.tests:
            continue
        used[origin] += len(text)
        if used[origin] > mix.origin_characters:
            continue
        name = "/".join(path.split("/")[-2:]) if rng.random() < 0.5 else path.rsplit("/", maxsplit=1)[-1]
        if plain_left > 0:
            plain_left -= len(text)
            yield from plain_examples(text, name, mix.window_characters, form)
        lines = split_lines(text.rstrip("\n"))
        for _ in range(_times(mix.editing, rng)):
            example = editing_example(name, lines, mix.window_characters, rng, form)
            if example:
                yield example
        for _ in range(_times(mix.function, rng)):
            example = function_example(name, text, mix.window_characters, rng, form)
            if example:
                yield example
        for _ in range(_times(mix.body, rng)):
            example = body_example(name, text, mix.window_characters, rng, form)
            if example:
                yield example
        yield from _changed(name, text, mix, rng, form)


def _of_histories(
    files: Path, mix: Mix, rng: random.Random, form: Form, validation: bool, limit: int | None
) -> Iterable[Example]:
    """Examples of the histories beside `files`; those of a held-out file are held out."""
    histories = files.with_name("histories.jsonl")
    if not histories.is_file():
        raise LinewiseError(
            f"the mix asks for history examples, and {histories} is not there; make the corpus with "
            "--repository, or leave `history` out"
        )
    known = places_held_out(files)
    rows = list(read_jsonl(histories, "origin", "path", "start", "edits", "messages"))
    if limit is not None:
        rows = rng.sample(rows, min(limit, len(rows)))
    for row in rows:
        if history_held_out(row, known) is not validation:
            continue
        start, texts, messages = str(row["start"]), _texts(row["edits"]), _texts(row["messages"])
        edits = [edit for text in texts for edit in parse_sequence(text).edits]
        name = str(row["path"]).rsplit("/", maxsplit=1)[-1]
        for _ in range(_times(mix.history * len(edits), rng)):
            example = history_example(name, start, edits, messages, mix.window_characters, rng, form)
            if example:
                yield example


def _texts(value: object) -> list[str]:
    return [str(text) for text in value] if isinstance(value, list) else []


def without_licence_header(text: str) -> str:
    """`text` without a comment block at its top that speaks of copyright: ever the same few texts."""
    lines = text.split("\n")
    end = next((i for i, line in enumerate(lines) if line and not line.startswith("#")), 0)
    header = "\n".join(lines[:end]).lower()
    return "\n".join(lines[end:]) if "copyright" in header or "license" in header else text


def _of_sequence(row: dict[str, Any], rng: random.Random, form: Form) -> Example:
    edits = [edit for text in row["edits"] for edit in parse_sequence(text).edits]
    return writing_example(rephrase(row["instruction"], rng), row["program"], edits, rng, form)


def _halves(rows: Iterable[dict[str, Any]], mix: Mix, rng: random.Random, form: Form) -> Iterable[Example]:
    for row in rows:
        for _ in range(_times(mix.continuing, rng)):
            edits = [edit for text in row["edits"] for edit in parse_sequence(text).edits]
            example = continuing_example(str(row["program"]), edits, mix.window_characters, rng, form)
            if example:
                yield example


def _changed_programs(
    rows: Iterable[dict[str, Any]], mix: Mix, rng: random.Random, form: Form
) -> Iterable[Example]:
    for row in rows if mix.changing else ():
        program = str(row["program"])
        yield from _changed(file_name(program, rng), program, mix, rng, form)


def _changed(name: str, text: str, mix: Mix, rng: random.Random, form: Form) -> Iterable[Example]:
    """Changes of a file or program, each another one; nothing is drawn for a mix without any."""
    times = _times(mix.changing, rng) if mix.changing else 0
    code = read_code(text) if times else None
    if code is None:
        return
    for _ in range(times):
        example = changing_example(name, code, mix.window_characters, rng, form)
        if example:
            yield example


def _times(mean: float, rng: random.Random) -> int:
    whole = int(mean)
    return whole + (rng.random() < mean - whole)
