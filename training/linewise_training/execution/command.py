"""`linewise run-tests`: runs a file of programs with their tests, and writes what came of each."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import click

from linewise.errors import LinewiseError
from linewise_training.execution.job import DEFAULT_TIMEOUT, Job, Verdict
from linewise_training.execution.runner import Runner
from linewise_training.lock import open_alone
from linewise_training.progress import Progress

BAD_LINE = "bad_line"
_FIELDS = ("code", "tests", "language", "timeout")
_NAMED = 20  # bad lines that the last message names
_PATH = click.Path(path_type=Path, dir_okay=False)


@click.command("run-tests")
@click.option("--in", "source", type=_PATH, required=True, help='JSONL of {"code", "tests"}.')
@click.option("--out", type=_PATH, required=True, help="JSONL: each line of the input and what came of it.")
@click.option(
    "--workers", type=click.IntRange(min=1), help="Processes.  [default: as many as there are processors]"
)
@click.option("--restart", is_flag=True, help="Begin anew where a run that was cut would be gone on with.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts as one JSON line at the end.")
def run_tests_command(source: Path, out: Path, workers: int | None, *, restart: bool, as_json: bool) -> None:
    """Run programs with their tests in a sandbox.

    A line is {"code", "tests": [...], "language": "python", "timeout": 5}; other keys are kept. It is written
    with "status", "results" (one for each test), "output", "message" and "seconds" added. A run that was cut
    goes on where it was when the same command is given again. Exit status 1 if a line could not be read.
    """
    try:
        if not source.is_file():
            raise LinewiseError(f"{source} is not a file; --in names the JSONL of programs to run")
        if out.exists() and source.exists() and out.samefile(source):
            raise LinewiseError(f"{out} is both --in and --out; choose another --out")
        with source.open("rb") as lines, open_alone(out) as sink, Runner(workers) as runner:
            tally = _Tally()
            done = 0 if restart else _lines_done(lines, sink, out, tally)
            if done:
                click.echo(f"going on after line {done} of {source}", err=True)
            else:
                sink.truncate(0)
            _warn(runner)
            _run(runner, lines, done, sink, tally, _count(source))
    except LinewiseError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(
            f"{error.strerror or error} ({error.filename or out}); what was done is kept: give the same "
            "command again to go on"
        ) from error
    _tell(tally, source, out, as_json)


class _Tally:
    """What a run has come to."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.statuses: Counter[str] = Counter()
        self.bad: list[int] = []


def _lines_done(lines: BinaryIO, sink: BinaryIO, out: Path, tally: _Tally) -> int:
    """How many lines of the input the output has; a torn last one is cut off, and both files stand there.

    Raises:
        LinewiseError: The output is not of this input.
    """
    sink.seek(0)
    done, end = 0, 0
    for written in sink:
        if not written.endswith(b"\n"):
            break
        given = lines.readline()
        if not given:
            raise LinewiseError(
                f"{out} has more lines than the input, which ends after line {done}; begin anew "
                "with --restart, or choose another --out"
            )
        if not _is_of(written, given):
            raise LinewiseError(
                f"line {done + 1} of {out} is not what came of that line of the input; "
                "begin anew with --restart, or choose another --out"
            )
        done, end = done + 1, end + len(written)
        status = str(json.loads(written)["status"])
        if status == BAD_LINE:
            tally.bad.append(done)
        else:
            tally.statuses[status] += 1
    sink.truncate(end)
    sink.seek(end)
    return done


def _is_of(written: bytes, given: bytes) -> bool:
    try:
        row = json.loads(written)
        if row["status"] == BAD_LINE:
            return isinstance(_parse(given), str)
        asked = json.loads(given)
        return all(row.get(name) == asked.get(name) for name in _FIELDS)
    except (ValueError, KeyError, TypeError, AttributeError):
        return False


def _parse(line: bytes) -> tuple[dict[str, Any], Job] | str:
    """A line's row and job, or what is wrong with it."""
    try:
        row = json.loads(line)
        if not isinstance(row, dict):
            raise ValueError("not a JSON object")
        code, tests = row.get("code"), row.get("tests")
        language, timeout = row.get("language", "python"), row.get("timeout", DEFAULT_TIMEOUT)
        if not isinstance(code, str):
            raise ValueError('"code" is not a string')
        if not isinstance(tests, list) or not all(isinstance(test, str) for test in tests):
            raise ValueError('"tests" is not a list of strings')
        if isinstance(timeout, bool) or not isinstance(timeout, int | float):
            raise ValueError('"timeout" is not a number')
        return row, Job(code, tuple(tests), language, float(timeout))
    except json.JSONDecodeError as error:
        return f"not JSON: {error}"
    except (ValueError, RecursionError, OverflowError, TypeError) as error:
        return str(error)


def _run(runner: Runner, lines: BinaryIO, done: int, sink: BinaryIO, tally: _Tally, total: int) -> None:
    waiting: deque[dict[str, Any] | tuple[int, str]] = deque()

    def jobs() -> Iterator[Job]:
        for number, line in enumerate(lines, done + 1):
            parsed = _parse(line)
            if isinstance(parsed, str):
                waiting.append((number, parsed))
            else:
                waiting.append(parsed[0])
                yield parsed[1]

    with Progress("running", total, completed=done) as progress:
        with contextlib.closing(runner.run(jobs())) as verdicts:
            for verdict in verdicts:
                _write_bad(waiting, sink, tally)
                row = waiting.popleft()
                assert isinstance(row, dict)
                _write(sink, {**row, **_told(verdict)})
                tally.statuses[verdict.status.value] += 1
                progress.advance(1)
        _write_bad(waiting, sink, tally)
    os.fsync(sink.fileno())


def _told(verdict: Verdict) -> dict[str, Any]:
    return {
        "status": verdict.status.value,
        "results": [asdict(test) for test in verdict.tests],
        "output": verdict.output,
        "message": verdict.message,
        "seconds": round(verdict.seconds, 4),
    }


def _write_bad(waiting: deque[dict[str, Any] | tuple[int, str]], sink: BinaryIO, tally: _Tally) -> None:
    while waiting and isinstance(waiting[0], tuple):
        number, reason = waiting[0]
        waiting.popleft()
        _write(sink, {"status": BAD_LINE, "line": number, "message": reason})
        tally.bad.append(number)
        click.echo(f"line {number}: {reason}", err=True)


def _write(sink: BinaryIO, row: dict[str, Any]) -> None:
    sink.write(json.dumps(row).encode() + b"\n")
    sink.flush()


def _count(source: Path) -> int:
    with source.open("rb") as stream:
        return sum(1 for _ in stream)


def _warn(runner: Runner) -> None:
    missing = [layer for layer in runner.layers() if not layer.active]
    if missing:
        names = ", ".join(layer.name for layer in missing)
        click.echo(
            f"warning: the sandbox lacks {names} ({missing[0].detail}); run only code that you trust",
            err=True,
        )


def _tell(tally: _Tally, source: Path, out: Path, as_json: bool) -> None:
    seconds = time.monotonic() - tally.began
    jobs = tally.statuses.total()
    if as_json:
        counts = {"jobs": jobs, **tally.statuses, BAD_LINE: len(tally.bad), "seconds": round(seconds, 3)}
        click.echo(json.dumps(counts))
    else:
        told = ", ".join(f"{count} {status}" for status, count in tally.statuses.most_common())
        click.echo(f"{jobs} jobs in {seconds:.1f} s{f': {told}' if told else ''}")
    if tally.bad:
        named = ", ".join(str(number) for number in tally.bad[:_NAMED])
        more = ", …" if len(tally.bad) > _NAMED else ""
        raise click.ClickException(
            f"{len(tally.bad)} lines of {source} hold no job: line {named}{more}; {out} says why, there"
        )
