"""The `lintseq` command: turn a file of programs into one of edit sequences."""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
from collections.abc import Callable, Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from linewise.errors import LinewiseError
from linewise.verify import VERIFIERS, get_verifier
from linewise.verify.syntax import LANGUAGES
from linewise_training.lintseq.driver import Program
from linewise_training.lintseq.on_ray import require_ray, sample_on_ray
from linewise_training.lintseq.output import Counts, Output, files_of
from linewise_training.lintseq.plan import BLANK_LINES, PYTHON, Plan
from linewise_training.lintseq.pool import sample_in_processes
from linewise_training.lintseq.progress import RunProgress
from linewise_training.lintseq.records import Record, Unreadable, extent, file_identity, read_records
from linewise_training.lintseq.worker import Outcome, Written

_PATH = click.Path(path_type=Path, dir_okay=False)
_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
_BACKENDS = {"local": sample_in_processes, "ray": sample_on_ray}


@click.command("lintseq")
@click.option(
    "--in", "source", type=_PATH, required=True, help='{"instruction", "program"}: JSONL, or .parquet.'
)
@click.option(
    "--out", type=_PATH, required=True, help="JSONL, or .parquet; what is skipped goes to OUT.skipped.jsonl."
)
@click.option("--samples", type=click.IntRange(min=1), default=5, show_default=True, help="Per program.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same file.")
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes.")
@click.option(
    "--backend",
    type=click.Choice(list(_BACKENDS)),
    default="local",
    show_default=True,
    help="ray: the cluster that RAY_ADDRESS names, or one of --workers processors on this machine.",
)
@click.option(
    "--method",
    type=click.Choice(["lintseq", "randseq", "whole"]),
    default="lintseq",
    show_default=True,
    help="randseq: random lines, no linter, the paper's ablation; whole: one edit for each program.",
)
@click.option("--linter", type=click.Choice(VERIFIERS), default="pylint", show_default=True)
@click.option(
    "--language",
    type=click.Choice([PYTHON, *LANGUAGES]),
    default=PYTHON,
    show_default=True,
    help="Others are checked by their grammar, not by --linter, and their blocks are told by brackets.",
)
@click.option("--repeats", type=click.Choice(["keep", "drop"]), default="keep", show_default=True)
@click.option("--ignore-imports", is_flag=True, help="Do not draw lines of import statements.")
@click.option("--ignore-comments", is_flag=True, help="Do not draw lines that are comments or blank.")
@click.option("--ignore-globals", is_flag=True, help="Do not draw lines inside a global constant's value.")
@click.option(
    "--blank-lines",
    type=click.Choice(BLANK_LINES),
    default="alone",
    show_default=True,
    help="alone: drawn like others, as in the paper; with-next: each goes with the line it leads to.",
)
@click.option("--max-lines", type=click.IntRange(min=1), default=1000, show_default=True)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds without an answer after which the linter is stopped and the program skipped.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Read this many lines only.")
@click.option("--restart", is_flag=True, help="Begin anew where an unfinished run would be gone on with.")
@click.option("--report", type=_PATH, help="HTML page of figures to write.  [default: OUT.report.html]")
@click.option("--no-report", is_flag=True, help="Write no page of figures.")
@click.option("--tokenizer", type=_FOLDER, help="Folder that `tokenizer` wrote: the page counts tokens, too.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts as one JSON line at the end.")
def lintseq_command(
    source: Path,
    out: Path,
    samples: int,
    seed: int,
    workers: int,
    backend: str,
    method: str,
    linter: str,
    language: str,
    repeats: str,
    *,
    ignore_imports: bool,
    ignore_comments: bool,
    ignore_globals: bool,
    blank_lines: str,
    max_lines: int,
    timeout: float,
    limit: int | None,
    restart: bool,
    report: Path | None,
    no_report: bool,
    tokenizer: Path | None,
    as_json: bool,
) -> None:
    """Sample edit sequences that write programs without passing through an error (LintSeq).

    A run that was cut goes on where it was when the same command is given again.
    """
    page = _page(source, out, report, no_report)
    if language != PYTHON:
        linter = _grammar_check(language, linter, ignore_imports or ignore_comments or ignore_globals)
    plan = Plan(
        samples,
        seed,
        method,
        repeats == "drop",
        ignore_imports,
        ignore_comments,
        ignore_globals,
        language,
        blank_lines,
    )
    settings = {
        "input": str(source.resolve()),
        "input_identity": None,
        **{name: getattr(plan, name) for name in Plan.__slots__},
        "linter": linter,
        "max_lines": max_lines,
        "limit": limit,
    }
    make_verifier = functools.partial(get_verifier, linter if method == "lintseq" else "none")
    try:
        make_verifier()  # A verifier that is not installed says so here, before anything is written.
        if backend == "ray":
            require_ray()
        conclude = _conclusion(out, page, tokenizer)
        settings["input_identity"] = file_identity(source)
        whole = extent(source)  # asked in any case: it raises where the file cannot be read
        with (
            Output(out, settings, restart=restart) as output,
            RunProgress(limit or whole, output.counts) as progress,
        ):
            if output.next:
                click.echo(f"going on after line {output.next} of {source}", err=True)
            reader = _Reader(source, output, limit, max_lines)
            with contextlib.closing(
                _BACKENDS[backend](reader.programs(), make_verifier, plan, workers=workers, timeout=timeout)
            ) as outcomes:
                for outcome in outcomes:
                    reader.write(outcome)
                    progress.at(outcome.index + 1 if limit else reader.position, output.counts)
            reader.skip_before(None)
            progress.conclude("writing the report" if page else "done")
            output.finish(conclude)
    except LinewiseError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(_failed(error, out)) from error
    except KeyboardInterrupt as error:
        click.echo("stopped; give the same command again to go on", err=True)
        raise click.Abort from error
    _tell(output.counts, as_json)
    if page and not as_json:
        click.echo(f"figures: {page}")


def _page(source: Path, out: Path, report: Path | None, no_report: bool) -> Path | None:
    """The page of figures to write, None for none; usage errors where a file would take another's place."""
    if no_report and report:
        raise click.UsageError("--report and --no-report do not go together; leave one out")
    page = None if no_report else report or out.with_name(out.name + ".report.html")
    written = files_of(out)
    if any(_same(source, path) for path in [*written, *([page] if page else [])]):
        raise click.UsageError(
            f"the run would write over its input {source}; choose another --out or --report"
        )
    if page and any(_same(page, path) for path in written):
        raise click.UsageError(f"--report {page} is a file of the run itself; name another file")
    if page and not page.parent.is_dir():
        raise click.UsageError(f"--report {page}: there is no folder {page.parent}; make it, or name another")
    if page and not os.access(page.parent, os.W_OK):
        # Said now, not after hours of sampling.
        raise click.UsageError(
            f"--report {page}: nothing can be written in {page.parent}; name another folder"
        )
    return page


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve() or (one.exists() and other.exists() and one.samefile(other))


def _conclusion(out: Path, page: Path | None, tokenizer: Path | None) -> Callable[[], object]:
    """What writes the page of figures on `out`. Raises LinewiseError for a folder without tokenizer."""
    if page is None:
        return lambda: None
    # Here, because the report's modules read this package's.
    from linewise_training.report import units, write_report  # noqa: PLC0415

    return functools.partial(write_report, out, page, units(tokenizer))


def _failed(error: OSError, out: Path) -> str:
    """What a fault of the disk says to the user."""
    what = f"{error.filename or out}: {error.strerror or error}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"{what}; what was done is kept: give the same command again, with room on the disk, to go on"
    return f"{what}; name a file that can be read for --in and a folder that can be written for --out"


def _grammar_check(language: str, linter: str, ignores: bool) -> str:
    """The name of the verifier for a language other than Python; usage errors for what is Python's alone."""
    given = click.get_current_context().get_parameter_source("linter") is not ParameterSource.DEFAULT
    if given and linter != "none":
        raise click.UsageError(f"--linter {linter} checks Python; leave it out with --language {language}")
    if ignores:
        raise click.UsageError(
            f"--ignore-... options are Python's; leave them out with --language {language}"
        )
    return linter if given else f"syntax:{language}"


class _Reader:
    """Reads an input file as programs, keeps what stands beside them, and writes all in the input's order."""

    def __init__(self, source: Path, output: Output, limit: int | None, max_lines: int) -> None:
        self._records = takewhile(
            lambda record: limit is None or record.index < limit, read_records(source, output.next)
        )
        self._output = output
        self._max_lines = max_lines
        self._under_way: dict[int, Record] = {}
        self._bad: dict[int, Unreadable] = {}
        self.position = 0

    def programs(self) -> Iterator[Program]:
        """The programs that can be worked on; what cannot be waits for its turn to be named."""
        for record in self._records:
            if isinstance(record, Unreadable):
                self._bad[record.index] = record
            elif (lines := record.program.count("\n") + 1) > self._max_lines:
                reason = f"the program is too long: {lines} lines, more than --max-lines {self._max_lines}"
                self._bad[record.index] = Unreadable(record.index, record.position, reason)
            else:
                self._under_way[record.index] = record
                yield Program(record.index, record.program)
            if not self._under_way:
                self.skip_before(None)

    def write(self, outcome: Outcome) -> None:
        """Write what a program gave, after the bad lines before it."""
        self.skip_before(outcome.index)
        record = self._under_way.pop(outcome.index)
        self.position = record.position
        if not isinstance(outcome, Written):
            self._output.skip(outcome.index, outcome.reason)
            return
        rows: list[Mapping[str, Any]] = [
            {
                "instruction": record.instruction,
                "program": record.program,
                "edits": list(edits),
                "source": outcome.index,
                "sample": sample,
            }
            for sample, edits in outcome.sequences
        ]
        self._output.add(outcome.index, rows)

    def skip_before(self, index: int | None) -> None:
        """Name the bad lines before `index`, or all."""
        for bad in [at for at in self._bad if index is None or at < index]:
            self._output.skip(bad, self._bad.pop(bad).reason)


def _tell(counts: Counts, as_json: bool) -> None:
    if as_json:
        told = {
            "programs": counts.programs,
            "sequences": counts.sequences,
            "skipped": counts.skipped.total(),
            "seconds": round(counts.seconds, 3),
        }
        click.echo(json.dumps(told))
        return
    click.echo(
        f"{counts.sequences} sequences of {counts.programs} programs in {counts.seconds:.1f} s; "
        f"{counts.skipped.total()} skipped"
    )
    for kind, count in counts.skipped.most_common():
        click.echo(f"  {count} of: {kind}")
