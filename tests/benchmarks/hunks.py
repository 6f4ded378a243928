"""How many of a model's hunks parse and are clean, and how many of its programs compile.

    python tests/benchmarks/hunks.py --pairs RUN/corpus/pairs.jsonl [--model FILE] [--limit 100]

Writes by each held-out instruction of a corpus into an empty file, without sampling a dropped hunk again, and
prints one JSON object. A hunk that did not end within the tokens of a write did not parse. Held-out items are
those that training leaves out by the hash of their text.
"""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice
from pathlib import Path
from statistics import median

import click

from linewise.assistant import Document, HunkDropped, HunkLanded, WriteDone, WriteOptions, verifier_for, write
from linewise.edits import join_lines
from linewise.engines import load_engine
from linewise.formats import get_format
from linewise.models import default_model_path
from linewise_training.mix import held_out
from linewise_training.token_file import read_jsonl


def compiles(source: str) -> bool:
    """Whether `source` is Python."""
    try:
        compile(source, "x.py", "exec")
    except (SyntaxError, ValueError):
        return False
    return True


@click.command()
@click.option("--pairs", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--model", type=click.Path(path_type=Path, exists=True))
@click.option("--limit", type=int, default=100, show_default=True)
@click.option("--max-edits", type=int, default=16, show_default=True)
@click.option("--temperature", type=float, default=0.0, show_default=True)
@click.option("--check-early/--no-check-early", default=True, show_default=True)
def main(
    pairs: Path, model: Path | None, limit: int, max_edits: int, temperature: float, check_early: bool
) -> None:
    """Measure hunks."""
    engine = load_engine(model or default_model_path())
    verifier = verifier_for("x.py", "pylint")
    rows = list(islice((row for row in read_jsonl(pairs) if held_out(str(row["program"]))), limit))
    hunks: Counter[str] = Counter()
    programs: Counter[str] = Counter()
    speeds = []
    turned = averted = 0
    for row in rows:
        document = Document("main.py")
        options = WriteOptions(
            max_edits=max_edits,
            max_tries=1,
            max_tokens=700,
            temperature=temperature,
            check_early=check_early,
        )
        for event in write(
            document, str(row["instruction"]), engine=engine, format=get_format(engine.info.format),
            verifier=verifier, options=options,
        ):  # fmt: skip
            if isinstance(event, HunkLanded):
                hunks["landed"] += 1
            elif isinstance(event, HunkDropped):
                kind = "unclean" if event.problems else "no change" if event.hunk else "malformed"
                hunks[kind] += 1
            elif isinstance(event, WriteDone):
                programs[event.reason] += 1
                hunks["unfinished"] += event.reason == "max_tokens"
                turned += event.turned
                averted += event.averted
                speeds.append(event.tokens / event.seconds)
        text = join_lines(document.snapshot().lines)
        programs["not empty"] += bool(text.strip())
        programs["compile"] += bool(text.strip()) and compiles(text)
    total = sum(hunks.values())
    parsed = total - hunks["malformed"] - hunks["unfinished"]
    click.echo(
        json.dumps(
            {
                "instructions": len(rows),
                "hunks": total,
                "parse_and_apply": round(parsed / max(1, total), 3),
                "clean_of_those": round(hunks["landed"] / max(1, parsed), 3),
                "by_outcome": dict(hunks),
                "ways_out_of_loops": turned,
                "ways_around_problems": averted,
                "programs": dict(programs),
                "median_tokens_per_second": round(median(speeds), 1),
            }
        )
    )


if __name__ == "__main__":
    main()
