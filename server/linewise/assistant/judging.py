"""Why a hunk must not land, seen from what the write did before."""

from __future__ import annotations

from dataclasses import dataclass, field

from linewise.assistant.checking import Checker
from linewise.assistant.document import Landing
from linewise.assistant.repetition import repetition
from linewise.edits import Hunk, invert_hunk
from linewise.verify.protocol import Problem


@dataclass
class Judge:
    """Judges one write's hunks, and remembers those that landed."""

    checker: Checker
    landed: list[Hunk] = field(default_factory=list)
    states: set[int] = field(default_factory=set)  # hashes of the states that this write has seen

    def fault(self, landing: Landing) -> tuple[str, tuple[Problem, ...]]:
        """Why `landing` must not land, with the problems it would bring; an empty reason if it may."""
        hunk = landing.hunk
        if landing.changes_nothing:
            return "the hunk changes nothing", ()
        inverse = invert_hunk(hunk)
        taken_back = any(
            (old.start, old.removed, old.added) == (inverse.start, inverse.removed, inverse.added)
            for old in self.landed
        )
        if taken_back or hash(landing.after) in self.states:
            return "the hunk takes back what this write did", ()
        if repeated := repetition(landing.before, hunk, self.landed):
            return repeated, ()
        problems = self.checker.new_problems(landing.before, landing.after)
        if problems:
            first = problems[0]
            return f"new problem at line {first.line + 1}: {first.message} ({first.code})", problems
        return "", ()

    def remember(self, landing: Landing, landed: Hunk) -> None:
        """Keep what is needed to see a landed hunk taken back, or repeated."""
        self.states |= {hash(landing.before), hash(landing.after)}
        self.landed = [
            Hunk(old.start + landed.growth, old.removed, old.added) if old.start >= landed.end else old
            for old in self.landed
        ]
        self.landed.append(landed)
