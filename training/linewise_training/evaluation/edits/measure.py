"""How good a suggestion is, in numbers; each is 0 to 1 unless said otherwise."""

from __future__ import annotations

from collections.abc import Sequence

from sacrebleu.metrics.chrf import CHRF

from linewise.assistant.repetition import telling
from linewise.edits import Lines, join_lines
from linewise.formats.edit_log_parser import bare
from linewise.verify import new_problems
from linewise.verify.protocol import Problem, Verifier
from linewise_training.evaluation.edits.suggest import Suggestion
from linewise_training.evaluation.edits.tasks import CursorTask

LOOK_AHEAD = 3  # lines after the cursor whose repetition counts
_CHRF = CHRF()


def chrf(hypothesis: str, reference: str) -> float:
    """Character n-gram F-score of two texts, n up to 6, beta 2 (Popović, 2015; sacrebleu's chrF2)."""
    return float(_CHRF.sentence_score(hypothesis, [reference]).score) / 100


def result_of(lines: Lines, line: int, suggestion: Suggestion) -> Lines:
    """The document's lines after a suggestion in `line` was accepted."""
    if suggestion.text is None:
        return lines
    current = lines[line] if lines else ""
    changed = current[: suggestion.start] + suggestion.text + current[suggestion.end :]
    return (*lines[:line], *changed.split("\n"), *lines[line + 1 :])


def score(
    task: CursorTask, lines: Lines, base: Lines, suggestion: Suggestion, verifier: Verifier | None
) -> dict[str, float]:
    """Scores of a suggestion for `task` in the document `lines`, whose state without the line in progress is
    `base`.

    - `exact`: the needed lines came out right (the rest of the line; at a line end the next line);
      `exact all`: so did all that was missing, as far as the task knows it.
    - `unanswered`: the model could not be asked, since the document does not fit it or its Format;
    - `suggested`: there was a suggestion. The following are only there where it was:
    - `chrf` of the inserted text against the missing text;
    - `repeats suffix`: the model wrote one of the next lines of the document again, and `shows repeat`: the
      suggestion has it still;
    - `clean`: it brings no problem that the document without the line in progress, or the wanted one, has
      not; the wanted lines that it leaves out may follow it. Needs a verifier;
    - `reversal`: share of its lines that the change in progress has removed, where it removed any.
    - `tokens` generated, and `accepted lines`, those right from the first on: counts.
    - `parses`: what the model wrote is a hunk that applies.
    """
    at = task.cursor.line
    after = [bare(line).rstrip() for line in result_of(lines, at, suggestion)]
    right = [bare(line).rstrip() for line in (*task.wanted, *lines[at + 1 :])]
    text = suggestion.text
    lines_shown = [] if text is None else _lines_shown(after, at, text, task)
    accepted = _common(lines_shown, right[task.needed - 1 :])
    scores = {
        "exact": float(text is not None and after[at : at + task.needed] == right[: task.needed]),
        "exact all": float(
            text is not None and after[at : at + len(task.wanted)] == right[: len(task.wanted)]
        ),
        "suggested": float(text is not None),
        "unanswered": float(bool(suggestion.unanswered)),
        "tokens": float(suggestion.tokens),
        "accepted lines": float(accepted if text is not None else 0),
    }
    if suggestion.parses is not None:
        scores["parses"] = float(suggestion.parses)
    following = _following(lines[at + 1 :])
    ours = {line.rstrip() for line in task.wanted}
    again = {line for line in following if line not in ours}
    raw_lines = [bare(line).rstrip() for line in suggestion.raw[task.needed - 1 :]]
    scores["repeats suffix"] = float(any(line in again for line in raw_lines))
    if text is None:
        return scores
    scores["chrf"] = chrf(text, _missing(task, lines))
    scores["shows repeat"] = float(any(line in again for line in lines_shown))
    if task.undone:
        told = [line for line in lines_shown if telling(line)]
        scores["reversal"] = sum(line.strip() in task.undone for line in told) / max(1, len(told))
    if verifier is not None:
        scores["clean"] = float(_clean(task, lines, base, suggestion, verifier))
    return scores


def _clean(task: CursorTask, lines: Lines, base: Lines, suggestion: Suggestion, verifier: Verifier) -> bool:
    """Whether a suggestion brings no new problem, as it is or with the wanted lines that it left out."""
    at = task.cursor.line
    result = result_of(lines, at, suggestion)
    shown = 1 + (suggestion.text or "").count("\n")
    gone_on = (*result[: at + shown], *task.wanted[shown:], *result[at + shown :])
    wanted = (*lines[:at], *task.wanted, *lines[at + 1 :])
    found: dict[Lines, tuple[Problem, ...]] = {}
    for before, after in ((base, result), (wanted, gone_on), (wanted, result), (base, gone_on)):
        # Nearly always the first says it, and linting a long file takes a second.
        missing = [state for state in dict.fromkeys((before, after)) if state not in found]
        found |= zip(missing, verifier.problems(list(map(join_lines, missing))), strict=True)
        if not new_problems(before, after, found[before], found[after]):
            return True
    return False


def _lines_shown(after: Sequence[str], at: int, text: str, task: CursorTask) -> list[str]:
    """The lines that a suggestion makes, from the first that was needed."""
    last = at + text.count("\n")
    return list(after[at + task.needed - 1 : last + 1])


def _common(lines: Sequence[str], right: Sequence[str]) -> int:
    count = 0
    for line, wanted in zip(lines, right, strict=False):
        if line != wanted:
            break
        count += 1
    return count


def _following(lines: Sequence[str]) -> list[str]:
    told = [bare(line).rstrip() for line in lines if telling(line)]
    return told[:LOOK_AHEAD]


def _missing(task: CursorTask, lines: Lines) -> str:
    """The text that is missing at the cursor."""
    current = lines[task.cursor.line] if lines else ""
    tail = current[task.cursor.column :]
    text = "\n".join(task.wanted)[task.cursor.column :]
    return text[: len(text) - len(tail)] if tail else text
