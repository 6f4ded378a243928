"""Does the format hold? One base, the same tasks and steps for each format, and what an editor's user gets.

    python tests/benchmarks/formats.py --corpus CORPUS --out DIR [--recipe FILE] [--limit 200]

CORPUS is what `linewise train corpus` wrote. Every step is a command of the product, goes on where it was cut
and is done once: a tokenizer and a base that has seen whole files only, then for each format the fine-tuning,
the export and `linewise eval edits` on what training left out. The table has, by the cursor's place, exact
match, repeated suffixes, hunks that apply, clean ones, and tokens; `linewise eval compare` then says by how
much a format differs from `fim`, paired by task.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

FORMATS = ("edit-log/1", "lintseq", "fim")
RECIPE = Path(__file__).with_suffix(".toml")


def linewise(*arguments: object, out: Path | None = None) -> None:
    """Run one of the product's commands, unless what it makes is there."""
    if out is not None and out.exists():
        return
    subprocess.run([sys.executable, "-m", "linewise", *map(str, arguments)], check=True)


def train(recipe: Path, corpus: Path, out: Path, form: str) -> Path:
    """The model of one format; returns its GGUF file."""
    folder = out / form.replace("/", "-")
    folder.mkdir(parents=True, exist_ok=True)
    told = folder / "recipe.toml"
    told.write_text(recipe.read_text().replace("[sft.mix]\n", f'[sft.mix]\nformat = "{form}"\n'))
    empty = out / "no-sequences.jsonl"
    empty.touch()
    common = ("--recipe", told, "--corpus", corpus, "--tokenizer", out / "tokenizer")
    tuned = folder / "sft"
    linewise(
        "train", "sft", *common, "--sequences", empty, "--model", out / "pretrain" / "model", "--out", tuned,
        out=tuned / "result.json",
    )  # fmt: skip
    model = folder / "model.gguf"
    linewise(
        "train", "export", "--model", tuned / "model", "--out", model, "--quantize", "f16", "--format", form,
        out=model,
    )  # fmt: skip
    return model


def scores(corpus: Path, model: Path, limit: int) -> Path:
    """Evaluate; returns the folder."""
    folder = model.parent / "edits"
    linewise(
        "eval", "edits", "--data", corpus / "files.jsonl", "--model", model, "--out", folder,
        "--limit", limit, "--verifier", "fast", out=folder / "report.json",
    )  # fmt: skip
    return folder


def table_rows(form: str, report: Path) -> list[str]:
    """A row for each kind of task."""
    rows = []
    for shape, figures in json.loads(report.read_text())["shapes"].items():
        told = figures["scores"]
        cells = [
            f"{told[name]['value']:.1%} ({told[name]['low']:.1%} to {told[name]['high']:.1%})"
            if name in told
            else ""
            for name in ("exact", "repeats suffix", "parses", "clean")
        ]
        kind, tokens = f"{shape}, {figures['tasks']}", f"{figures['means']['tokens']:.0f}"
        rows.append(f"| {' | '.join([form, kind, *cells, tokens])} |")
    return rows


def main() -> None:
    """Train, evaluate, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--formats", nargs="+", default=FORMATS, choices=FORMATS)
    told = parser.parse_args()
    told.out.mkdir(parents=True, exist_ok=True)
    linewise(
        "train", "tokenizer", "--in", told.corpus / "files.jsonl", "--out", told.out / "tokenizer",
        out=told.out / "tokenizer" / "tokenizer.json",
    )  # fmt: skip
    linewise(
        "train", "pretrain", "--recipe", told.recipe, "--corpus", told.corpus,
        "--tokenizer", told.out / "tokenizer", "--out", told.out / "pretrain",
        out=told.out / "pretrain" / "result.json",
    )  # fmt: skip
    rows = ["| format | tasks | exact | repeats suffix | parses | clean | tokens |", "| --- " * 7 + "|"]
    for form in told.formats:
        folder = scores(told.corpus, train(told.recipe, told.corpus, told.out, form), told.limit)
        rows += table_rows(form, folder / "report.json")
    print("\n".join(rows))
    if "fim" in told.formats:
        for form in told.formats:
            if form != "fim":
                subprocess.run(
                    [sys.executable, "-m", "linewise", "eval", "compare", str(told.out / "fim" / "edits"),
                     str(told.out / form.replace("/", "-") / "edits")],
                    check=True,
                )  # fmt: skip


if __name__ == "__main__":
    main()
