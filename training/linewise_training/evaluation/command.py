"""`linewise eval`: how good a model is. Each benchmark is a command of this group."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from linewise_training.evaluation.edits import edits_command

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_FOLDER = click.Path(path_type=Path, file_okay=False)
_POSITIVE = click.IntRange(min=1)

_BENCHMARKS: Mapping[str, str] = {
    "humaneval": "pass@k on HumanEval (openai/human-eval's HumanEval.jsonl.gz).",
    "mbpp": "pass@k on MBPP's problems 11 to 510 (amazon-science/mxeval's mbpp_release_v1.jsonl).",
    "leetcode": "pass@k on LeetCodeDataset (newfacade/LeetCodeDataset).",
    "humaneval-x": "pass@k on HumanEval in other languages (amazon-science/mxeval's files).",
}


@click.group("eval")
def evaluate() -> None:
    """Measure a model on a benchmark, or compare two measurements."""


def _ks(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, ...]:
    """The numbers of `--k`, in order."""
    try:
        numbers = tuple(sorted({int(part) for part in value.split(",")}))
    except ValueError:
        numbers = ()
    if not numbers or numbers[0] < 1:
        raise click.BadParameter(f"{value!r} is not a list of whole numbers such as 1,5,10", ctx, param)
    return numbers


def _command(benchmark: str, told: str) -> click.Command:
    """The command that evaluates on `benchmark`."""
    from linewise_training.evaluation.models import form_option, model_option  # noqa: PLC0415

    @click.option("--data", type=_FILE, required=True, help="The benchmark's file, plain or .gz.")
    @click.option(
        "--out", type=_FOLDER, required=True, help="Folder to write to; a run that was cut goes on there."
    )
    @click.option("--samples", type=_POSITIVE, default=10, show_default=True, help="Samples a prompt.")
    @click.option(
        "--temperature",
        type=click.FloatRange(0),
        default=1.0,
        show_default=True,
        help="0 is greedy, with one sample a prompt.",
    )
    @click.option("--top-p", type=click.FloatRange(0, 1, min_open=True), default=0.95, show_default=True)
    @click.option("--k", "ks", callback=_ks, default="1,5,10,50,100", show_default=True, help="For pass@k.")
    @click.option("--limit", type=_POSITIVE, help="Only the first problems of the file.")
    @click.option(
        "--prompt",
        type=click.Choice(["docstring", "instruction", "both"]),
        default="docstring" if benchmark == "humaneval-x" else "both",
        show_default=True,
        help="Code with a docstring, plain language, or each by itself.",
    )
    @click.option("--max-tokens", type=_POSITIVE, default=512, show_default=True, help="Tokens a sample.")
    @click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
    @click.option(
        "--timeout",
        type=click.FloatRange(0, min_open=True),
        default=10.0,
        show_default=True,
        help="Seconds for all tests of a program.",
    )
    @click.option("--workers", type=_POSITIVE, help="Processes that run programs. Default: all processors.")
    @click.option("--batch", type=_POSITIVE, default=16, show_default=True, help="Samples drawn at once.")
    @click.option(
        "--data-check/--no-data-check",
        default=True,
        show_default=True,
        help="Look for the problems in the model's training data, where these lie beside it.",
    )
    @click.option("--restart", is_flag=True, help="Begin anew where another run's output is.")
    @click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
    @model_option
    @form_option
    def run(
        *,
        data: Path,
        out: Path,
        samples: int,
        temperature: float,
        top_p: float,
        ks: tuple[int, ...],
        limit: int | None,
        prompt: str,
        max_tokens: int,
        seed: int,
        timeout: float,
        workers: int | None,
        batch: int,
        data_check: bool,
        restart: bool,
        as_json: bool,
        model_path: Path | None,
        form: str | None,
    ) -> None:
        from linewise_training.evaluation.folder import digest  # noqa: PLC0415
        from linewise_training.evaluation.models import loaded  # noqa: PLC0415
        from linewise_training.evaluation.problems import read_problems  # noqa: PLC0415
        from linewise_training.evaluation.run import Settings  # noqa: PLC0415
        from linewise_training.evaluation.run import evaluate as run_evaluation  # noqa: PLC0415
        from linewise_training.evaluation.writing import SHAPES  # noqa: PLC0415

        samples = samples if temperature > 0 else 1
        settings = Settings(
            benchmark=benchmark,
            data=digest(data),
            limit=limit,
            shapes=tuple(shape for shape in SHAPES if prompt in (shape, "both")),
            samples=samples,
            temperature=temperature,
            top_p=top_p,
            max_tokens=max_tokens,
            seed=seed,
            timeout=timeout,
            ks=tuple(k for k in ks if k <= samples) or (samples,),
        )
        problems = read_problems(benchmark, data, limit)
        with loaded(model_path, form) as model:
            report = run_evaluation(
                model,
                problems,
                settings,
                out,
                data=data if data_check else None,
                workers=workers,
                lanes=batch,
                restart=restart,
            )
        click.echo(json.dumps(report, indent=2) if as_json else _told(report, out))

    run.__doc__ = f"{told}\n\nWrites samples.jsonl, results.jsonl, report.json and report.html to --out."
    return click.command(benchmark)(run)


def _told(report: Mapping[str, Any], out: Path) -> str:
    """The report in a few lines."""
    model = report["model"]
    lines = [f"warning: {warning}" for warning in report["warnings"]]
    lines.append(
        f"{model['name']} ({model['form']}) on {report['problems']} problems of {report['benchmark']}"
    )
    for shape, found in report["shapes"].items():
        better = " (the better one, as chosen by this benchmark)" if report["better"] == shape else ""
        lines.append(f"{shape} prompts{better}, {found['samples']} samples:")
        for name, score in found["scores"].items():
            interval = f"{100 * score['low']:.2f} to {100 * score['high']:.2f}"
            lines.append(f"  {name:8} {100 * score['value']:6.2f} %   95 %: {interval}")
        statuses = ", ".join(f"{count} {status}" for status, count in found["statuses"].items())
        lines.append(f"  programs: {statuses}")
        lines.append(
            f"  a sample: {found['tokens_per_sample']:.1f} tokens, {found['flops_per_sample']:.3g} FLOPs"
        )
    if report["data_known"] is False:
        lines.append("It is not known whether the model's training data held these problems.")
    lines.append(f"report: {out / 'report.html'}")
    return "\n".join(lines)


@evaluate.command("compare")
@click.argument("a", type=_FOLDER)
@click.argument("b", type=_FOLDER)
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
def compare_command(a: Path, b: Path, *, as_json: bool) -> None:
    """Compare the evaluations in the folders A and B, item by item.

    Says for each score by how much B is higher, with a paired bootstrap interval and Wilcoxon's signed-rank
    test, and whether the data show a difference at all.
    """
    from linewise_training.evaluation.compare import compare  # noqa: PLC0415
    from linewise_training.evaluation.folder import read_evaluation  # noqa: PLC0415

    first, second = read_evaluation(a), read_evaluation(b)
    found = compare(first, second)
    if as_json:
        click.echo(json.dumps([{**asdict(one), "verdict": one.verdict} for one in found], indent=2))
        return
    click.echo(f"A: {_named(first.report)}\nB: {_named(second.report)}")
    for one in found:
        click.echo(
            f"{one.shape} {one.score}".strip() + f": A {one.a:.4f}, B {one.b:.4f}, difference "
            f"{one.difference:+.4f} (95 %: {one.low:+.4f} to {one.high:+.4f}), p = {one.p:.3f}, "
            f"{one.changed} of {one.items} items differ: {one.verdict}"
        )


def _named(report: Mapping[str, Any]) -> str:
    model = report["model"]
    return f"{model.get('name', '?')} on {report['benchmark']}"


for _name, _text in _BENCHMARKS.items():
    evaluate.add_command(_command(_name, _text))
evaluate.add_command(edits_command)
