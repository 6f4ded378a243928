"""Do edit sequences help? One base, tuned on the same programs whole, in random edits, in lint-clean edits.

    python tests/benchmarks/sequences.py --pairs CORPUS/pairs.jsonl --base DIR --tokenizer DIR --out DIR
        --humaneval FILE --mbpp FILE [--samples 50] [--limit N] [--recipe FILE]

The LintSeq paper's comparison (sections 3.3 and 3.4), for as many steps on each form: pass@k with intervals
on HumanEval and MBPP, the share of samples that wrote nothing, and of the others the share in which pylint
finds an error. `--base` is a model that has seen files only, such as `out/pretrain/model` of formats.py
beside this. Every step is a command of the product, goes on where it was cut and is done once.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from linewise.verify import get_verifier

METHODS = ("whole", "randseq", "lintseq")
RECIPE = Path(__file__).with_suffix(".toml")
KS = (1, 5, 10, 20, 50)


def linewise(*arguments: object, out: Path) -> None:
    """Run one of the product's commands, unless what it makes is there."""
    if not out.exists():
        subprocess.run([sys.executable, "-m", "linewise", *map(str, arguments)], check=True)


def train(told: argparse.Namespace, method: str) -> Path:
    """The model of one form of the programs; returns its GGUF file."""
    folder: Path = told.out / method
    folder.mkdir(parents=True, exist_ok=True)
    sequences, tuned, model = folder / "sequences.jsonl", folder / "sft", folder / "model.gguf"
    samples = 1 if method == "whole" else 5
    linewise(
        "train", "lintseq", "--in", told.pairs, "--out", sequences, "--method", method, "--samples", samples,
        "--linter", "fast", "--workers", 2, out=folder / "sequences.jsonl.report.html",
    )  # fmt: skip
    files = told.out / "no-files"
    files.mkdir(exist_ok=True)
    (files / "files.jsonl").touch()
    linewise(
        "train", "sft", "--recipe", told.recipe, "--corpus", files, "--tokenizer", told.tokenizer,
        "--sequences", sequences, "--model", told.base, "--out", tuned, out=tuned / "result.json",
    )  # fmt: skip
    linewise(
        "train", "export", "--model", tuned / "model", "--out", model, "--quantize", "f16",
        "--format", "lintseq", out=model,
    )  # fmt: skip
    return model


def evaluate(told: argparse.Namespace, model: Path, benchmark: str) -> tuple[dict[str, Any], list[str]]:
    """The figures of a benchmark, and all programs that were sampled."""
    folder = model.parent / benchmark
    limit = ("--limit", told.limit) if told.limit else ()
    linewise(
        "eval", benchmark, "--data", getattr(told, benchmark), "--model", model, "--out", folder,
        "--samples", told.samples, "--k", ",".join(str(k) for k in KS if k <= told.samples),
        "--prompt", "instruction", "--max-tokens", 256, *limit, out=folder / "report.json",
    )  # fmt: skip
    (figures,) = json.loads((folder / "report.json").read_text())["shapes"].values()
    rows = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    return figures, [str(sample["program"]) for row in rows for sample in row["samples"]]


def with_errors(programs: Sequence[str]) -> float:
    """Share of programs in which pylint finds an error, or cannot read on."""
    found = get_verifier("pylint").problems(programs)
    return sum(any(problem.code[0] in "EF" for problem in one) for one in found) / max(1, len(programs))


def main() -> None:
    """Train, evaluate, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("pairs", "base", "tokenizer", "out", "humaneval", "mbpp"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    parser.add_argument("--samples", type=int, default=50)
    parser.add_argument("--limit", type=int)
    told = parser.parse_args()
    names = [f"pass@{k}" for k in KS if k <= told.samples]
    print(f"| benchmark | programs | {' | '.join(names)} | nothing | pylint errors | tokens |")
    print("| --- " * (len(names) + 5) + "|")
    for method in METHODS:
        model = train(told, method)
        for benchmark in ("humaneval", "mbpp"):
            figures, programs = evaluate(told, model, benchmark)
            written = [program for program in programs if program.strip()]
            scores = [figures["scores"][name] for name in names]
            cells = [f"{one['value']:.1%} ({one['low']:.1%} to {one['high']:.1%})" for one in scores]
            cells += [f"{1 - len(written) / len(programs):.1%}", f"{with_errors(written):.1%}"]
            cells += [f"{figures['tokens_per_sample']:.0f}"]
            print(f"| {' | '.join([benchmark, method, *cells])} |", flush=True)


if __name__ == "__main__":
    main()
