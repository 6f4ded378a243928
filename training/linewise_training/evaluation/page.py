"""An evaluation as one HTML page: curves, a table, and the failures to look at one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from linewise_training.execution import Status
from linewise_training.report.curve import Curve, curves
from linewise_training.report.html import document, section, table, tiles
from linewise_training.report.printable import printable
from linewise_training.sampling import Sample

SHOWN_FAILURES = 200
"""Problems of which a failure is shown; the results file has all."""

_NAMES = {"docstring": "docstring completion", "instruction": "plain language"}


def page(report: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], samples: Sequence[Sample]) -> str:
    """The page of `report` (report.json), with failures from `rows` and the `samples` that they grade."""
    model, settings = report["model"], report["settings"]
    subject = f"{model['name']} ({model['form']}) on {settings['benchmark']}"
    body = [
        *_warnings(report),
        _main_figures(report),
        _curves(report),
        _scores(report),
        _costs(report),
        _failures(rows, samples),
        _settings(report),
    ]
    return document("Evaluation", subject, "\n".join(body))


def _warnings(report: Mapping[str, Any]) -> Iterator[str]:
    for warning in report["warnings"]:
        yield f'<p class="fault">{escape(printable(warning))}</p>'
    if report["data_known"] is False:
        yield "<p>It is not known whether the model's training data held these problems.</p>"


def _main_figures(report: Mapping[str, Any]) -> str:
    cells = []
    for shape, found in report["shapes"].items():
        name, score = next(iter(found["scores"].items()))
        better = ", the better one" if report["better"] == shape else ""
        cells.append((_percent(score["value"]), f"{name}, {_NAMES[shape]}{better}"))
        cells.append(
            (f"{found['solved']} of {found['problems']}", f"problems solved at all, {_NAMES[shape]}")
        )
    return tiles(cells)


def _curves(report: Mapping[str, Any]) -> str:
    chart = [
        Curve(
            _NAMES[shape],
            [(_k(name), 100 * score["value"]) for name, score in found["scores"].items()],
            [(100 * score["low"], 100 * score["high"]) for score in found["scores"].values()],
        )
        for shape, found in report["shapes"].items()
    ]
    drawn = curves(chart, "k", "pass@k in percent", log_x=True, y_from_zero=True)
    text = "The share of problems that at least one of k samples solves. Bands: 95 % over problems."
    return section("pass@k", drawn, text)


def _scores(report: Mapping[str, Any]) -> str:
    rows = [
        (
            _NAMES[shape],
            name,
            _percent(score["value"]),
            f"{_percent(score['low'])} to {_percent(score['high'])}",
        )
        for shape, found in report["shapes"].items()
        for name, score in found["scores"].items()
    ]
    told = ""
    if report["better"]:
        told = f"The better shape is {_NAMES[report['better']]}; it was chosen by this benchmark itself."
    return section("Scores", table(("prompt", "score", "value", "95 % interval"), rows, 2), told)


def _costs(report: Mapping[str, Any]) -> str:
    rows = []
    for shape, found in report["shapes"].items():
        rows += [
            (_NAMES[shape], "tokens a sample", f"{found['tokens_per_sample']:,.1f}"),
            (_NAMES[shape], "tokens a prompt", f"{found['prompt_tokens_per_problem']:,.1f}"),
            (_NAMES[shape], "FLOPs a sample (2 N a token)", f"{found['flops_per_sample']:.3g}"),
        ]
        if found["hunks_per_sample"] is not None:
            rows.append((_NAMES[shape], "hunks a sample", f"{found['hunks_per_sample']:.2f}"))
            rows.append((_NAMES[shape], "hunks that apply", _percent(found["well_formed_hunks"])))
        for what in ("statuses", "endings"):
            rows += [
                (
                    _NAMES[shape],
                    f"{name} ({'programs' if what == 'statuses' else 'text ended'})",
                    f"{count:,}",
                )
                for name, count in found[what].items()
            ]
    return section("What samples cost, and how they ended", table(("prompt", "figure", "value"), rows, 2))


def _failures(rows: Sequence[Mapping[str, Any]], samples: Sequence[Sample]) -> str:
    drawn = {(sample.task, sample.shape, sample.sample): sample for sample in samples}
    failed = [
        (row, graded)
        for row in rows
        for graded in [next((one for one in row["samples"] if one["status"] != Status.PASS.value), None)]
        if graded is not None
    ]
    shown = "\n".join(
        _failure(row, graded, drawn[row["task"], row["shape"], graded["sample"]])
        for row, graded in failed[:SHOWN_FAILURES]
    )
    text = f"The first failed sample of each problem: {len(failed):,}"
    text += f", of which {SHOWN_FAILURES} are shown." if len(failed) > SHOWN_FAILURES else "."
    return section("Failures", shown or "<p>Every sample passed.</p>", text)


def _failure(row: Mapping[str, Any], graded: Mapping[str, Any], sample: Sample) -> str:
    edits = "hunks" in graded
    parts = [
        ("Prompt", sample.prompt),
        ("Edits" if edits else "Text", sample.text),
        ("State after the edits" if edits else "Program", graded["program"]),
        ("Tests", f"{graded['passed']} of {graded['tests']} passed\n{graded['message']}\n{graded['output']}"),
    ]
    body = "\n".join(
        f"<p><b>{name}</b></p>\n<pre>{escape(printable_lines(text))}</pre>" for name, text in parts
    )
    title = f"{row['task']}, {_NAMES[row['shape']]}: {graded['status']}"
    return f"<details><summary>{escape(printable(title))}</summary>\n{body}\n</details>"


def _settings(report: Mapping[str, Any]) -> str:
    told = {**report["settings"], **{f"model {name}": value for name, value in report["model"].items()}}
    return section(
        "Settings", table(("setting", "value"), [(name, str(value)) for name, value in told.items()], 2)
    )


def printable_lines(text: str) -> str:
    """`text` with its lines, and whatever cannot be printed in them made visible."""
    return "\n".join(printable(line.replace("\t", "    ")) for line in text.split("\n"))


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _k(name: str) -> int:
    return int(name.partition("@")[2])
