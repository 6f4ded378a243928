"""Take benchmark problems out of any JSONL of code, and ask whether a model's data held some.

A row is compared by every text in it that is code or asks for code: code as `overlap` compares a file,
function by function where it parses; a response as it is, and the program in it; an instruction with the
problems' own descriptions; a history by its first and last states.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from linewise.edits import apply_edit, join_lines, parse_sequence, split_lines
from linewise.errors import EditError, LinewiseError
from linewise_training.corpus.harvest import parsed
from linewise_training.corpus.instructions import code_of
from linewise_training.corpus.overlap import THRESHOLD, Decontaminator, Match
from linewise_training.corpus.problem_sets import benchmark_problems, wording

INSTRUCTIONS = ("instruction", "query", "description", "question")
TEXTS = (
    "text",
    "program",
    "code",
    "content",
    "response",
    "output",
    "completion",
    "solution",
    "canonical_solution",
)
"""Keys of a row whose texts are compared; those of INSTRUCTIONS with descriptions, these with code."""

MANIFEST = "manifest.json"
BENCHMARKS = "benchmarks"
"""Key of a manifest: SHA-256 of each benchmark file, by name, that was kept out of the data."""


@dataclass(frozen=True, slots=True)
class Contaminated:
    """A row that is too like a problem: `line` from 1, `key` of the text, the problem, the similarity."""

    line: int
    key: str
    benchmark: str
    task: str
    similarity: float


@dataclass(frozen=True, slots=True)
class _Problem:
    benchmark: str
    task: str
    code: str
    description: str


class Filter:
    """The problems of some benchmarks, ready to be compared with rows.

    Raises LinewiseError for a file that is no benchmark.
    """

    def __init__(self, benchmarks: Sequence[Path], threshold: float = THRESHOLD) -> None:
        self._problems = [problem for path in benchmarks for problem in _problems(path)]
        if not self._problems:
            raise LinewiseError(
                "the benchmarks have no problem to keep out; give them as their authors publish them"
            )
        self._code = Decontaminator((problem.code for problem in self._problems), threshold)
        self._words = Decontaminator((problem.description for problem in self._problems), threshold)

    def __len__(self) -> int:
        return len(self._problems)

    def found_in(self, row: Mapping[str, Any], line: int) -> Contaminated | None:
        """The first text of `row` that is too like a problem. Raises LinewiseError for a row without any."""
        texts = list(_texts(row, line))
        if not texts:
            keys = ", ".join((*TEXTS, *INSTRUCTIONS))
            raise LinewiseError(
                f"line {line}: it has none of the keys {keys}, nor start and edits; "
                "give a JSONL of code or of instructions"
            )
        for key, text in texts:
            match = self._words.match(text) if key in INSTRUCTIONS else self._match(text)
            if match is not None:
                problem = self._problems[match.item]
                return Contaminated(line, key, problem.benchmark, problem.task, round(match.similarity, 3))
        return None

    def _match(self, text: str) -> Match | None:
        tree = parsed(text)
        if tree is not None:
            return self._code.file_match(text, tree)
        return self._code.match(text)


def decontaminate(source: Path, filter_: Filter, out: Path | None) -> tuple[int, list[Contaminated]]:
    """Copy the rows of the JSONL file `source` that are no problems to `out` (None: nowhere), byte for byte.

    Returns how many rows there are, and those left out. `out` appears when it is whole; what was left out
    stands in `out`.dropped.jsonl. Raises LinewiseError for a file that cannot be read, naming the line.
    """
    dropped: list[Contaminated] = []
    count = 0
    fresh = None if out is None else out.with_name(out.name + ".unfinished")
    stream = None
    try:
        if fresh is not None:
            stream = fresh.open("wb")
        for line, (raw, row) in enumerate(_lines(source), 1):
            if row is None:
                continue
            count += 1
            try:
                found = filter_.found_in(row, line)
            except LinewiseError as error:
                raise LinewiseError(f"{source}, {error}") from None
            if found is not None:
                dropped.append(found)
            elif stream is not None:
                stream.write(raw if raw.endswith(b"\n") else raw + b"\n")
        if out is not None and fresh is not None and stream is not None:
            stream.close()
            beside = out.with_name(out.name + ".dropped.jsonl")
            beside.write_text("".join(json.dumps(asdict(one)) + "\n" for one in dropped), encoding="utf-8")
            fresh.replace(out)
    finally:
        if stream is not None:
            stream.close()
        if fresh is not None:
            fresh.unlink(missing_ok=True)
    return count, dropped


@dataclass(frozen=True, slots=True)
class SharedItems:
    """What is known of a model's data and a benchmark: `tasks` are the problems that the data hold.

    `known` is false where neither the data nor a word on this benchmark lie beside the model.
    """

    tasks: tuple[str, ...]
    known: bool


def shared_items(place: Path, benchmark: Path, threshold: float = THRESHOLD) -> SharedItems:
    """Which problems of `benchmark` are in the data of the model, run or corpus at `place`.

    A manifest (`manifest.json` of the corpus, or MODEL.data.json beside a GGUF file) that says the very file
    was kept out is believed; otherwise the corpus is read, which takes about a minute for 100 MB. Raises
    LinewiseError for files that cannot be read.
    """
    digest = file_digest(benchmark)
    place = Path(os.path.abspath(place))  # noqa: PTH100 -- "." has no name and no parent, ".." another one
    corpus = _corpus_of(place)
    manifests = [place.with_suffix(".data.json"), *([corpus / MANIFEST] if corpus else [])]
    for manifest in manifests:
        if manifest.is_file() and digest in _kept_out(manifest).values():
            return SharedItems((), known=True)
    if corpus is None:
        return SharedItems((), known=False)
    filter_ = Filter([benchmark], threshold)
    found = [
        one.task
        for name in ("pairs.jsonl", "files.jsonl", "histories.jsonl")
        if (corpus / name).is_file()
        for one in decontaminate(corpus / name, filter_, None)[1]
    ]
    return SharedItems(tuple(dict.fromkeys(found)), known=True)


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hex. Raises LinewiseError when it cannot be read."""
    try:
        with path.open("rb") as stream:
            found = hashlib.sha256()
            while block := stream.read(1 << 20):
                found.update(block)
    except OSError as error:
        raise LinewiseError(f"{path} cannot be read ({error.strerror}); check the path") from None
    return found.hexdigest()


def _corpus_of(place: Path) -> Path | None:
    """The corpus folder of a corpus, a run, or a file or folder of a run."""
    for folder in (place, place / "corpus", place.parent / "corpus", place.parent.parent / "corpus"):
        if (folder / MANIFEST).is_file() and any(
            (folder / f"{name}.jsonl").is_file() for name in ("files", "pairs")
        ):
            return folder
    return None


def _kept_out(manifest: Path) -> Mapping[str, str]:
    try:
        value = json.loads(manifest.read_text(encoding="utf-8"))
        kept = value.get(BENCHMARKS, {})
        return {str(name): str(digest) for name, digest in kept.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise LinewiseError(
            f"{manifest} is no data manifest ({error}); take it away or make it again"
        ) from None


def _problems(path: Path) -> Iterator[_Problem]:
    for number, (row, code) in enumerate(benchmark_problems(path), 1):
        yield _Problem(path.name, str(row.get("task_id", f"problem {number}")), code, wording(row))


def _texts(row: Mapping[str, Any], line: int) -> Iterator[tuple[str, str]]:
    for key in (*TEXTS, *INSTRUCTIONS):
        value = row.get(key)
        if isinstance(value, str) and value.strip():
            yield key, value
            if key in ("response", "output", "completion") and (code := code_of(value)):
                yield key, code
    if isinstance(row.get("prompt"), str):
        solutions = (row.get(key) for key in ("canonical_solution", "completion", "solution"))
        rest = next((text for text in solutions if isinstance(text, str)), "")
        yield "prompt", f"{row['prompt']}{rest}"
    if isinstance(row.get("start"), str) and isinstance(row.get("edits"), list):
        yield from (("edits", text) for text in _states(row["start"], row["edits"], line))


def _states(start: str, edits: Iterable[object], line: int) -> Iterator[str]:
    """The first and the last state of a history."""
    try:
        state = split_lines(start)
        for text in edits:
            for edit in parse_sequence(str(text)).edits:
                state = apply_edit(state, edit)
    except EditError as error:
        raise LinewiseError(f"line {line}: its edits do not apply ({error}); make the file again") from None
    yield from (text for text in (start, join_lines(state)) if text.strip())


def _lines(path: Path) -> Iterator[tuple[bytes, dict[str, Any] | None]]:
    """Each line as it is, and its object; None for a blank one."""
    number = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
            for number, raw in enumerate(stream, 1):
                row = json.loads(raw) if raw.strip() else None
                if row is not None and not isinstance(row, dict):
                    raise LinewiseError(f"{path}, line {number}: not a JSON object; give a JSONL file")
                yield raw, row
    except (OSError, EOFError) as error:
        raise LinewiseError(
            f"{path} cannot be read after line {number} ({error}); give a whole file"
        ) from None
    except ValueError as error:
        raise LinewiseError(f"{path}, line {number}: not JSON ({error}); mend or remove it") from None
