"""Held-out code: files and histories of a corpus that training leaves out, or a folder of Python files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from linewise.edits import apply_edit, parse_sequence, split_lines
from linewise.errors import EditError, LinewiseError
from linewise_training.evaluation.edits.tasks import SourceFile, SourceHistory
from linewise_training.mix import held_out, history_held_out, places_held_out, without_licence_header

SHORTEST = 8  # lines of a file
LONGEST = 400_000  # characters


def read_sources(paths: Sequence[Path]) -> tuple[list[SourceFile], list[SourceHistory]]:
    """The held-out files and histories of `paths`: JSONL files of a corpus, or folders.

    Of a corpus only what training leaves out is taken: a file by the hash of its text, a history where its
    file is, by the files.jsonl beside it. Of a folder every .py file is. Raises LinewiseError for what cannot
    be read, and where nothing is left.
    """
    files: list[SourceFile] = []
    histories: list[SourceHistory] = []
    for path in paths:
        if path.is_dir():
            files += _of_folder(path)
            continue
        places: Mapping[tuple[str, str], bool] | None = None
        for number, row in read_rows(path):
            try:
                if "text" in row:
                    file = SourceFile(str(row.get("path", f"line {number}")), str(row["text"]))
                    if held_out(file.text):
                        files.append(file)
                    continue
                if places is None:
                    beside = path.with_name("files.jsonl")
                    places = places_held_out(beside) if beside.is_file() else {}
                if history_held_out(row, places):
                    histories.append(_history(row))
            except (KeyError, TypeError, EditError) as error:
                raise LinewiseError(
                    f"{path}, line {number}: neither a file (text, path) nor a history (path, origin, "
                    f"start, edits) of a corpus ({error}); name files.jsonl or histories.jsonl"
                ) from None
    files = [_shown(file) for file in files if len(file.text) <= LONGEST]
    files = [file for file in files if file.text.count("\n") >= SHORTEST]
    if not files and not histories:
        raise LinewiseError(
            f"{', '.join(map(str, paths))}: no held-out file of {SHORTEST} lines or more, and no history; "
            "name a larger corpus (one file in a hundred is held out), or a folder of Python files"
        )
    return files, histories


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number, from 1, and object of each line of a JSONL file. Raises LinewiseError naming a broken one."""
    number = 0
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise LinewiseError(f"{path}, line {number}: not a JSON object; make the file again")
                yield number, row
    except OSError as error:
        raise LinewiseError(f"{path} cannot be read ({error.strerror}); check the path") from None
    except UnicodeDecodeError:
        raise LinewiseError(f"{path} is not UTF-8 after line {number}; make the file again") from None
    except json.JSONDecodeError as error:
        raise LinewiseError(f"{path}, line {number}: not JSON ({error}); make the file again") from None


def _of_folder(folder: Path) -> Iterable[SourceFile]:
    for path in sorted(folder.rglob("*.py")):
        try:
            yield SourceFile(path.relative_to(folder).as_posix(), path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):
            continue  # a folder of other people's files may hold some that are no text


def _history(row: Mapping[str, Any]) -> SourceHistory:
    """The history of a row. Raises EditError where its edits do not apply."""
    edits = tuple(edit for text in row["edits"] for edit in parse_sequence(text).edits)
    state = split_lines(row["start"])
    for edit in edits:
        state = apply_edit(state, edit)
    return SourceHistory(str(row["path"]), row["start"], edits)


def _shown(file: SourceFile) -> SourceFile:
    """`file` as training shows files: without a licence at its top, with ordinary line ends."""
    text = without_licence_header(file.text.replace("\r\n", "\n"))
    return SourceFile(file.path, text)


def training_texts(path: Path) -> Iterator[str]:
    """The texts of a corpus's files.jsonl that training may see. Raises LinewiseError for a broken file."""
    for number, row in read_rows(path):
        text = row.get("text")
        if not isinstance(text, str):
            raise LinewiseError(f"{path}, line {number}: no text; name the files.jsonl of a corpus")
        if not held_out(text):
            yield without_licence_header(text)
