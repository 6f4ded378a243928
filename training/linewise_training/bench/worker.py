"""Measures one model and prints the figures as JSON: a process of its own, so that its memory is its own.

It imports neither torch nor transformers, which would count.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from linewise.errors import LinewiseError
from linewise_training.bench import measurement
from linewise_training.bench.measurement import Measurement, Plan, Subject, measure


def measured(path: Path, plan: Plan, text: Path | None) -> Measurement:
    """The figures of the GGUF file or CTranslate2 folder at `path`. Raises LinewiseError."""
    context = max(plan.window, plan.prompt + plan.generated + 2)
    subject: Subject
    if path.is_dir():
        from linewise_training.bench.ctranslate_subject import CTranslateSubject  # noqa: PLC0415

        subject = CTranslateSubject(path, context)
        size = sum(file.stat().st_size for file in path.iterdir() if file.is_file())
    else:
        from linewise_training.bench.gguf_subject import GgufSubject  # noqa: PLC0415

        subject = GgufSubject(path, context)
        size = path.stat().st_size
    speed_text = Path(measurement.__file__).read_text(encoding="utf-8")
    content = None if text is None else text.read_text(encoding="utf-8")
    return measure(subject, size, plan, speed_text, content)


def main() -> None:
    """`worker MODEL PLAN TEXT`: paths and the plan as JSON; TEXT may be empty."""
    path, plan, text = sys.argv[1:]
    try:
        found = measured(Path(path), Plan(**json.loads(plan)), Path(text) if text else None)
    except (LinewiseError, OSError, UnicodeDecodeError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
    sys.stdout.write(json.dumps(asdict(found)) + "\n")


if __name__ == "__main__":
    main()
