"""LintSeq's backward walk over one program, as a generator that yields the states it wants linted.

From the LintSeq paper (Piterbarg et al., 2024, section 2): delete a line chosen uniformly at random, and the
indented block under it if it opens one; lint; delete every line that the new errors name, with its block;
repeat until the state is clean; go on from there until nothing is left. Read backward, the clean states are
a way to write the program so that no step brings an error. Errors that the program itself has are expected.

What the paper leaves open is as in its code:

- Every line is drawn, blank ones too. With `blanks_lead` (ours) blank lines are not drawn: each goes with the
  line that it leads to, since an edit that writes a blank line says nothing.
- A blank line, and a line of a single character, counts as indented like the line above it.
- Where a syntax error's message names the header whose block is missing, that header is the line at fault.
- An edit that would only write blank lines at the beginning or the end of the file is none (the code compares
  texts without them): they come with the edit before it.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from itertools import pairwise
from typing import TypeAlias

from linewise.edits import Edit, Hunk, Lines
from linewise.verify import CRASH, SYNTAX_CODES, Problem, blamed_line
from linewise_training.lintseq.errors import UnusableProgramError

# The lines of the program that a state keeps, by their 0-based number in the program, ascending.
State: TypeAlias = tuple[int, ...]
Walk: TypeAlias = Generator[State, tuple[Problem, ...], tuple[State, ...]]
# For each line of a program the lines that go with it.
Blocks: TypeAlias = Callable[[Lines], Sequence[range]]


def walk(
    lines: Lines,
    rng: random.Random,
    ignored: frozenset[int] = frozenset(),
    *,
    blocks_of: Blocks,
    blanks_lead: bool = False,
) -> Walk:
    """Yield states to be linted, take their problems, return the clean states from empty to whole.

    `ignored` lines are not drawn; `blocks_of` tells what goes with a line; with `blanks_lead` the blank lines
    that lead to it go, too. Raises UnusableProgramError when the program itself has a syntax error, or when
    the verifier fails on a state.
    """
    whole = tuple(range(len(lines)))
    own = yield whole
    for problem in own:
        if problem.code in SYNTAX_CODES:
            raise UnusableProgramError(
                f"the program has a syntax error: line {problem.line + 1}: {problem.message}"
            )
    _check(own)
    expected = Counter(_key(problem, whole) for problem in own)
    blocks = blocks_of(lines)
    leads = leading_blanks(lines) if blanks_lead else ((),) * len(lines)

    state = whole
    clean = [whole]
    while state:
        drawn = [line for line in state if _drawn(line, lines, ignored, blanks_lead)]
        if not drawn:
            clean.append(())
            break
        faulty = [rng.choice(drawn)]
        while faulty:
            gone = {member for line in faulty for member in (line, *blocks[line])}
            gone.update(blank for line in gone.copy() for blank in leads[line])
            state = tuple(line for line in state if line not in gone)
            if not state:
                break
            problems = yield state
            _check(problems)
            faulty = [_line_at_fault(p, state) for p in _unexpected(problems, state, expected)]
        clean.append(state)
    return _written(lines, clean)


def random_walk(
    lines: Lines,
    rng: random.Random,
    ignored: frozenset[int] = frozenset(),
    *,
    blanks_lead: bool = False,
) -> Walk:
    """RandSeq, the paper's ablation (section 3.4): the same walk with random sets of lines, and no verifier.

    As in the paper's code, a set's size is drawn uniformly from one to all but one of the lines left.
    """
    leads = leading_blanks(lines) if blanks_lead else ((),) * len(lines)
    drawn = [line for line in range(len(lines)) if _drawn(line, lines, ignored, blanks_lead)]
    kept = set(range(len(lines)))
    clean = [tuple(range(len(lines)))]
    while drawn:
        gone = frozenset(rng.sample(drawn, rng.randint(1, max(1, len(drawn) - 1))))
        drawn = [line for line in drawn if line not in gone]
        kept.difference_update(gone, *(leads[line] for line in gone))
        clean.append(tuple(sorted(kept)))
    if clean[-1]:
        clean.append(())
    return _written(lines, clean)
    yield ()  # Nothing is asked; this makes it a generator, as every walk is.


def whole_walk(lines: Lines) -> Walk:
    """The whole program in one edit: what the paper compares edit sequences with (section 3.3)."""
    return (), tuple(range(len(lines)))
    yield ()  # Nothing is asked; this makes it a generator, as every walk is.


def _drawn(line: int, lines: Lines, ignored: frozenset[int], blanks_lead: bool) -> bool:
    return line not in ignored and not (blanks_lead and not lines[line].strip())


def _written(lines: Lines, states: Sequence[State]) -> tuple[State, ...]:
    """The states from whole to empty, in the order of writing and without those that no edit leads to."""
    kept = [states[-1]]
    for state in reversed(states[:-1]):
        if _trimmed(lines, state) != _trimmed(lines, kept[-1]):
            kept.append(state)
        elif kept[-1]:
            kept[-1] = state
    return tuple(kept)


def _trimmed(lines: Lines, state: State) -> State:
    """The state without the blank lines at its beginning and end."""
    first, end = 0, len(state)
    while first < end and not lines[state[first]].strip():
        first += 1
    while first < end and not lines[state[end - 1]].strip():
        end -= 1
    return state[first:end]


def _check(problems: Sequence[Problem]) -> None:
    for problem in problems:
        if problem.code == CRASH:
            raise UnusableProgramError(f"the linter failed: {problem.message}")


def edits(lines: Lines, states: Sequence[State]) -> tuple[Edit, ...]:
    """The insertion-only edits that lead through `states`, each a superset of the one before."""
    return tuple(insertions(lines, before, after) for before, after in pairwise(states))


def insertions(lines: Lines, before: State, after: State) -> Edit:
    """The edit that adds the lines that `after` has and `before` lacks."""
    # A general diff may delete and insert again where lines repeat; what was inserted is known here.
    kept = frozenset(before)
    hunks: list[Hunk] = []
    added: list[str] = []
    seen = 0
    for line in after:
        if line in kept:
            if added:
                hunks.append(Hunk(seen, (), tuple(added)))
                added = []
            seen += 1
        else:
            added.append(lines[line])
    if added:
        hunks.append(Hunk(seen, (), tuple(added)))
    return Edit(tuple(hunks))


def indented_blocks(lines: Sequence[str], shortest: int = 2) -> tuple[range, ...]:
    """For each line the lines of the block that it opens: those below it that are indented deeper.

    A line of fewer than `shortest` characters after its indentation (with 1 a blank one, with 2 a closing
    bracket, too) counts as indented like the line above it. A tab counts as one character, as in the paper's
    code: what may stand in one block cannot mix tabs and spaces.
    """
    indents: list[int] = []
    for line in lines:
        text = line.lstrip()
        above = indents[-1] if indents else 0
        indents.append(len(line) - len(text) if len(text) >= shortest else above)
    blocks = []
    for at, indent in enumerate(indents):
        end = at + 1
        while end < len(lines) and indents[end] > indent:
            end += 1
        blocks.append(range(at + 1, end))
    return tuple(blocks)


def leading_blanks(lines: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """For each line that is not blank the blank lines directly above it; the last has those below, too."""
    leads: list[tuple[int, ...]] = [()] * len(lines)
    blanks: list[int] = []
    last = None
    for at, line in enumerate(lines):
        if line.strip():
            leads[at] = tuple(blanks)
            blanks = []
            last = at
        else:
            blanks.append(at)
    if last is not None:
        leads[last] += tuple(blanks)
    return tuple(leads)


def _key(problem: Problem, state: State) -> tuple[int, str]:
    return (_program_line(problem.line, state), problem.code)


def _unexpected(
    problems: Sequence[Problem], state: State, expected: Counter[tuple[int, str]]
) -> list[Problem]:
    left = expected.copy()
    fresh = []
    for problem in problems:
        key = _key(problem, state)
        if left[key]:
            left[key] -= 1
        else:
            fresh.append(problem)
    return fresh


def _line_at_fault(problem: Problem, state: State) -> int:
    return _program_line(blamed_line(problem), state)


def _program_line(line: int, state: State) -> int:
    # The parser reports an unexpected end of file on the line after the last one.
    return state[min(max(line, 0), len(state) - 1)]
