"""What every evaluation leaves in its output folder, so that it can be gone on with and compared.

`settings.json` is written first: what was asked of which model. `results.jsonl` has one line an item, with
at least `task` (its name), `shape` (a variant of the task, "" where there is one only; "gap, line end" is
compared with all of "gap", too) and `scores`, numbers by name, None where a score has no meaning for the
item. `report.json` comes last: `benchmark`, `settings`, `model` and figures. Two folders can be compared
when their settings are equal.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linewise.errors import LinewiseError

SETTINGS, SAMPLES, RESULTS = "settings.json", "samples.jsonl", "results.jsonl"
REPORT, PAGE = "report.json", "report.html"
_FILES = (SETTINGS, SAMPLES, RESULTS, REPORT, PAGE)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A finished evaluation: its report, and the rows of its results."""

    folder: Path
    report: Mapping[str, Any]
    rows: tuple[Mapping[str, Any], ...]


def open_folder(
    out: Path, settings: Mapping[str, Any], model: Mapping[str, Any], *, restart: bool = False
) -> None:
    """Make `out` ready for a run with `settings` of `model` (JSON values), new or cut short.

    Raises LinewiseError where another run's output is there, unless `restart`, which removes it.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LinewiseError(f"{out} cannot be made ({error.strerror}); choose another --out") from None
    if restart:
        for name in _FILES:
            (out / name).unlink(missing_ok=True)
    asked = {"settings": dict(settings), "model": dict(model)}
    path = out / SETTINGS
    if path.exists():
        _require_same(out, _object(path), asked)
        return
    there = [name for name in _FILES if (out / name).exists()]
    if there:
        raise LinewiseError(f"{out} holds {there[0]} of an unknown run; choose another --out, or --restart")
    write_json(path, asked)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write `value` to `path` in one piece."""
    fresh = path.with_name(path.name + ".tmp")
    fresh.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    fresh.replace(path)


def read_evaluation(folder: Path) -> Evaluation:
    """The evaluation in `folder`. Raises LinewiseError where there is none, or it is not finished."""
    if not (folder / REPORT).is_file():
        unfinished = (folder / SETTINGS).exists()
        raise LinewiseError(
            f"{folder} holds an evaluation that is not finished; run its command again to go on"
            if unfinished
            else f"{folder} has no {REPORT}; name the --out folder of an evaluation"
        )
    report = _object(folder / REPORT)
    rows = []
    for number, line in enumerate(_lines(folder / RESULTS), 1):
        try:
            row = json.loads(line)
            row["task"], row["scores"].items()
        except (ValueError, KeyError, TypeError, AttributeError):
            raise LinewiseError(
                f"{folder / RESULTS}, line {number}: not a result; run the evaluation again"
            ) from None
        rows.append(row)
    return Evaluation(folder, report, tuple(rows))


def digest(path: Path) -> str:
    """SHA-256 of a file; of a folder's files, by name, those in folders of it left out.

    Raises LinewiseError when it cannot be read.
    """
    files = sorted(one for one in path.iterdir() if one.is_file()) if path.is_dir() else [path]
    found = hashlib.sha256()
    try:
        for file in files:
            if path.is_dir():
                found.update(f"{file.name}\n{file.stat().st_size}\n".encode())
            with file.open("rb") as stream:
                while block := stream.read(1 << 20):
                    found.update(block)
    except OSError as error:
        raise LinewiseError(f"{error.filename} cannot be read ({error.strerror}); check the path") from None
    return found.hexdigest()


def differences(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[str]:
    """What differs between two mappings, each as "name: left, not right"."""
    names = sorted(left.keys() | right.keys())
    return [
        f"{name} {left.get(name)!r}, not {right.get(name)!r}"
        for name in names
        if left.get(name) != right.get(name)
    ]


def _require_same(out: Path, there: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    other = differences(there.get("settings", {}), asked["settings"])
    # Where the model lies is no part of what it is.
    models = [
        {name: value for name, value in one.get("model", {}).items() if name != "path"}
        for one in (there, asked)
    ]
    other += [f"model {told}" for told in differences(*models)]
    if other:
        raise LinewiseError(
            f"{out} holds a run with {'; '.join(other)}; go on with that, choose another --out, or --restart"
        )


def _object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LinewiseError(f"{path} cannot be read ({error}); choose another --out, or --restart") from None
    if not isinstance(value, dict):
        raise LinewiseError(f"{path} is not a JSON object; choose another --out, or --restart")
    return value


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text(encoding="utf-8", errors="surrogatepass").split("\n") if line]
    except OSError as error:
        raise LinewiseError(f"{path} cannot be read ({error.strerror}); run the evaluation again") from None
