"""How a problem is put to a model, and how what the model wrote becomes a program.

Two shapes of prompt, as in the LintSeq paper (appendix B.1): `docstring`, code with a docstring that is to
be completed, and `instruction`, plain language. What each form of model is given:

- `edit-log/1`: for `docstring` a document with the code, and the hunk in progress after it, as when an
  editor asks at the cursor; for `instruction` an empty document and the instruction.
- `lintseq`: the code or the instruction, then the diff token, as in the paper; the document is empty.
- `fim`: the code as the text before the cursor, nothing after it; it knows no instructions, so it is given
  those as plain text.
- `plain`: the code, to be continued; or the instruction and the beginning of a fenced block of code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from linewise.edits import (
    DiffParser,
    EditCompleted,
    EditLog,
    Lines,
    Malformed,
    StreamingParser,
    apply_edit,
    join_lines,
)
from linewise.engines.protocol import ModelInfo, Segment
from linewise.formats import Cursor, Format, get_format
from linewise.formats.protocol import Prompt
from linewise_training.evaluation.functions import braced_body, fenced, python_body
from linewise_training.evaluation.models import FIM, PLAIN
from linewise_training.evaluation.problems import Problem

Shape: TypeAlias = Literal["docstring", "instruction"]
SHAPES: tuple[Shape, ...] = get_args(Shape)

_EXTENSIONS = {"python": "py", "java": "java", "javascript": "js", "typescript": "ts", "go": "go"}
_FENCE_NAMES = {"python": "python", "java": "java", "javascript": "js", "typescript": "ts", "go": "go"}


@dataclass(frozen=True, slots=True)
class Written:
    """A program, and how many hunks of what the model wrote applied and how many were malformed.

    Both are None for models that write no edits.
    """

    program: str
    hunks: int | None = None
    malformed: int | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """One problem in one shape: what the model reads, when it has written enough, and what that is."""

    prompt: Prompt
    finished: Callable[[str], bool] | None
    read: Callable[[str], Written]

    @property
    def text(self) -> str:
        """The prompt as text, special tokens in their literal form."""
        return "".join(segment.text for segment in self.prompt.segments) + self.prompt.healed


def ask(problem: Problem, shape: Shape, form: str, model: ModelInfo, begin: Sequence[Segment] = ()) -> Asked:
    """`problem` in `shape` for a model that writes in `form`; `begin` is what its plain prompts begin with.

    Raises ModelError where the model lacks the tokens of `form`.
    """
    if form == PLAIN or (form == FIM and shape == "instruction"):
        return _continued(problem, shape, begin)
    if form == FIM:
        # A model that was not trained here does not know the file's name in a prompt.
        named = FIM if model.format == FIM or model.fim is None else None
        return _filled_in(problem, get_format(named, model.fim))
    format = get_format(form, model.fim)
    if shape == "docstring" and form != "lintseq":
        return _completed(problem, format)
    return _edited(problem, shape, format)


def _continued(problem: Problem, shape: Shape, begin: Sequence[Segment]) -> Asked:
    if shape == "docstring":
        prompt, cut = problem.prompt, _function_cut(problem)
        start = problem.prompt
    else:
        prompt = f"{problem.instruction}\n```{_FENCE_NAMES[problem.language]}\n"
        cut, start = fenced, problem.preamble
    return Asked(
        Prompt((*begin, Segment(prompt)), given="", healed="", stop=()),
        finished=lambda text: cut(text)[1],
        read=lambda text: Written(start + cut(text)[0]),
    )


def _filled_in(problem: Problem, format: Format) -> Asked:
    cut = _function_cut(problem)
    return Asked(
        _at_the_end(problem, format)[1],
        finished=lambda text: cut(text)[1],
        read=lambda text: Written(problem.prompt + cut(text)[0]),
    )


def _completed(problem: Problem, format: Format) -> Asked:
    log, prompt = _at_the_end(problem, format)

    def read(text: str) -> Written:
        parser = format.parser(log.closed_lines)
        parser.feed(prompt.given)
        return _resolved(log.closed_lines, parser, text)

    return Asked(prompt, finished=None, read=read)


def _edited(problem: Problem, shape: Shape, format: Format) -> Asked:
    instruction = problem.prompt if shape == "docstring" else problem.instruction
    prompt = format.write_prompt(EditLog.open(""), _file_name(problem), instruction)

    def read(text: str) -> Written:
        # The paper's resolver, so that a score is comparable with the paper's.
        parser = DiffParser((), lenient=True) if format.name == "lintseq" else format.parser(())
        written = _resolved((), parser, text)
        return Written(problem.preamble + written.program, written.hunks, written.malformed)

    return Asked(prompt, finished=None, read=read)


def _at_the_end(problem: Problem, format: Format) -> tuple[EditLog, Prompt]:
    """A document with the problem's code, and the prompt with the cursor on the empty line after it."""
    log = EditLog.open(problem.prompt.rstrip("\n") + "\n")
    cursor = Cursor(len(log.lines) - 1, 0)
    return log, format.inline_prompt(log, _file_name(problem), cursor)


def _resolved(lines: Lines, parser: StreamingParser, text: str) -> Written:
    """The document after all edits of `text` that apply to `lines`; what is malformed is passed over."""
    hunks = malformed = 0
    state = lines
    for event in (*parser.feed(text), *parser.finish()):
        if isinstance(event, EditCompleted):
            state = apply_edit(state, event.edit)
            hunks += len(event.edit.hunks)
        elif isinstance(event, Malformed):
            malformed += 1
    return Written(join_lines(state), hunks, malformed)


def _function_cut(problem: Problem) -> Callable[[str], tuple[str, bool]]:
    if problem.language == "python":
        return python_body
    return lambda text: braced_body(text, problem.prompt)


def _file_name(problem: Problem) -> str:
    return f"solution.{_EXTENSIONS[problem.language]}"
