"""The last prompt of each slot, so that the slot's next request sends only what is new."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from linewise.engines.protocol import Segment
from linewise.errors import EngineError
from linewise.serving.wire import NO_SEGMENTS, longer

PROMPTS = 512
"""Slots whose prompts are held."""

CHARACTERS = 1 << 26
"""Characters that are held in all; the slots used longest ago go first."""


class UnknownPrefixError(EngineError):
    """A beginning of a prompt that was named is not held: send the whole prompt."""


@dataclass(frozen=True, slots=True)
class HeldPrompt:
    """A slot's last prompt: `names[i]` names its first i segments. `used` is in monotonic seconds."""

    segments: tuple[Segment, ...]
    names: tuple[str, ...]
    used: float
    characters: int


class Prompts:
    """Holds the last prompt of each slot, within bounds."""

    def __init__(self, *, prompts: int = PROMPTS, characters: int = CHARACTERS) -> None:
        self._most, self._most_characters = prompts, characters
        self._held: OrderedDict[str, HeldPrompt] = OrderedDict()
        self._characters = 0

    def items(self) -> list[tuple[str, HeldPrompt]]:
        """Slots and their prompts, used longest ago first."""
        return list(self._held.items())

    def complete(self, slot: str, prefix: str, count: int, rest: Sequence[Segment]) -> tuple[Segment, ...]:
        """The whole prompt of a request: `count` segments named `prefix`, and `rest`.

        It is held for the next request of `slot`; the empty slot holds nothing. Raises UnknownPrefixError.
        """
        kept: tuple[Segment, ...] = ()
        names: tuple[str, ...] = (NO_SEGMENTS,)
        if prefix != NO_SEGMENTS or count:
            held = self._held.get(slot)
            if held is None or not 0 <= count < len(held.names) or held.names[count] != prefix:
                raise UnknownPrefixError(f"The beginning {prefix!r} of the prompt is not known here.")
            kept, names = held.segments[:count], held.names[: count + 1]
        added = []
        name = names[-1]
        for segment in rest:
            name = longer(name, segment)
            added.append(name)
        prompt = (*kept, *rest)
        if slot:
            self.drop(slot)
            size = sum(len(segment.text) for segment in prompt)
            self._held[slot] = HeldPrompt(prompt, (*names, *added), time.monotonic(), size)
            self._characters += size
            while self._held and (len(self._held) > self._most or self._characters > self._most_characters):
                self.drop(next(iter(self._held)))
        return prompt

    def drop(self, slot: str) -> bool:
        """Forget what is held of `slot`; whether anything was."""
        held = self._held.pop(slot, None)
        if held is None:
            return False
        self._characters -= held.characters
        return True
