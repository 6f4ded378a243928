"""`linewise train decontaminate`: put into `linewise train` by its group."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from linewise.errors import LinewiseError

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_SHOWN = 10


@click.command("decontaminate")
@click.option(
    "--in", "source", type=_FILE, required=True, help="JSONL of code or instructions, plain or .gz."
)
@click.option(
    "--benchmark", "benchmarks", type=_FILE, multiple=True, required=True, help="Its problems are kept out."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="JSONL without them; OUT.dropped.jsonl names what went. Without --out it is only looked.",
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.7,
    show_default=True,
    help="Jaccard similarity of token 5-grams from which on a text is too like a problem.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures and what was found as JSON.")
def decontaminate_command(
    source: Path, benchmarks: tuple[Path, ...], out: Path | None, threshold: float, as_json: bool
) -> None:
    """Take benchmark problems out of training data.

    With --out the exit status is 0 when the file was written. Without, it is 1 when anything was found.
    """
    from linewise_training.corpus.decontaminate import Filter, decontaminate  # noqa: PLC0415

    if out is not None and out.resolve() in {path.resolve() for path in (source, *benchmarks)}:
        raise LinewiseError(f"--out {out} is one of the files that are read; name another")
    filter_ = Filter(benchmarks, threshold)
    try:
        count, found = decontaminate(source, filter_, out)
    except OSError as error:
        raise LinewiseError(f"{out} cannot be written ({error.strerror}); choose another --out") from None
    if as_json:
        figures = {"rows": count, "dropped": len(found), "problems": len(filter_)}
        click.echo(json.dumps({**figures, "found": [asdict(one) for one in found]}, indent=2))
    else:
        for one in found[:_SHOWN]:
            like = f"{one.task} of {one.benchmark} ({one.similarity:.2f})"
            click.echo(f"line {one.line}: its {one.key} is too like {like}")
        if len(found) > _SHOWN:
            click.echo(f"and {len(found) - _SHOWN} more")
        done = "" if out is None else f"; the others are in {out}"
        click.echo(f"{len(found)} of {count} rows are too like one of {len(filter_)} problems{done}")
    if out is None and found:
        raise SystemExit(1)
