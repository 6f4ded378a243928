"""Run many LintSeq walks side by side, so that a verifier is called once for hundreds of states.

The walks of one program share what the verifier said of its states. Results come in the order of the
programs, and each depends on the plan, the program's index and the sample's number alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from linewise.edits import Edit, Lines, join_lines, split_lines
from linewise.verify import Problem, Verifier
from linewise_training.lintseq.errors import UnusableProgramError
from linewise_training.lintseq.plan import Plan
from linewise_training.lintseq.sampler import State, Walk, edits


@dataclass(frozen=True, slots=True)
class Program:
    """A program to be taken apart. `index` is its place in the input, 0-based."""

    index: int
    source: str


@dataclass(frozen=True, slots=True)
class Sampled:
    """One edit sequence of program `index`, the `sample`-th."""

    index: int
    sample: int
    edits: tuple[Edit, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """Program `index` has no edit sequences, for `reason`."""

    index: int
    reason: str


@dataclass(slots=True)
class _Task:
    """A program under way: its walks, what they wait for, what was said of its states, what came out."""

    program: Program
    lines: Lines
    waiting: dict[int, tuple[Walk, State]] = field(default_factory=dict)
    verdicts: dict[State, tuple[Problem, ...]] = field(default_factory=dict)
    done: dict[int, Sampled] = field(default_factory=dict)
    failure: Failed | None = None


def sample_sequences(
    programs: Iterable[Program], verifier: Verifier, plan: Plan, *, batch: int = 256
) -> Iterator[Sampled | Failed]:
    """Edit sequences of `programs`, in order: the plan's number for each program, or one Failed.

    About `batch` states go into each call of the verifier.
    """
    source = iter(programs)
    under_way: deque[_Task] = deque()
    exhausted = False
    while True:
        # A slow program at the head must not stop the others, nor let finished ones pile up without end.
        active = sum(len(task.waiting) for task in under_way)
        while not exhausted and active < batch and len(under_way) < 4 * batch:
            program = next(source, None)
            if program is None:
                exhausted = True
            else:
                under_way.append(_begin(program, plan))
                active += len(under_way[-1].waiting)
        if not under_way:
            return
        _lint(under_way, verifier)
        for task in under_way:
            _advance(task)
        while under_way and not under_way[0].waiting:
            task = under_way.popleft()
            if task.failure is not None:
                yield task.failure
            else:
                yield from _results(task, plan)


def _results(task: _Task, plan: Plan) -> Iterator[Sampled]:
    seen: set[tuple[Edit, ...]] = set()
    for sample in sorted(task.done):
        result = task.done[sample]
        if not (plan.drop_repeats and result.edits in seen):
            yield result
        seen.add(result.edits)


def _begin(program: Program, plan: Plan) -> _Task:
    task = _Task(program, split_lines(program.source))
    if not any(line.strip() for line in task.lines):
        task.failure = Failed(program.index, "the program is empty")
        return task
    for sample in range(plan.samples):
        try:
            steps = plan.begin(task.lines, program.index, sample)
            task.waiting[sample] = (steps, next(steps))
        except StopIteration as stop:  # It asks no verifier.
            task.done[sample] = Sampled(program.index, sample, edits(task.lines, stop.value))
        except UnusableProgramError as error:
            task.waiting.clear()
            task.failure = Failed(program.index, str(error))
            break
    return task


def _lint(tasks: Iterable[_Task], verifier: Verifier) -> None:
    """Ask the verifier for the states that walks wait for and nobody asked for before."""
    wanted: dict[tuple[int, State], tuple[_Task, State]] = {}
    for task in tasks:
        for _, state in task.waiting.values():
            if state not in task.verdicts:
                wanted[task.program.index, state] = (task, state)
    if wanted:
        texts = [join_lines([task.lines[line] for line in state]) for task, state in wanted.values()]
        for (task, state), problems in zip(wanted.values(), verifier.problems(texts), strict=True):
            task.verdicts[state] = problems


def _advance(task: _Task) -> None:
    """Move each walk of a program on to the next state that is not known yet, or to its end."""
    for sample, (steps, asked) in list(task.waiting.items()):
        state = asked
        try:
            while state in task.verdicts:
                state = steps.send(task.verdicts[state])
            task.waiting[sample] = (steps, state)
        except StopIteration as stop:
            del task.waiting[sample]
            task.done[sample] = Sampled(task.program.index, sample, edits(task.lines, stop.value))
        except UnusableProgramError as error:
            task.waiting.clear()
            task.failure = Failed(task.program.index, str(error))
            return
