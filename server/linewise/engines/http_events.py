"""Reads the events of an answer to `/v1/completions`: one chunk for each token, where the server tells them.

Servers differ in what an event has of its tokens: vLLM their ids beside OpenAI's log-probabilities, llama.cpp
a list of its own, `linewise serve` no ids. Several tokens may come in one event, since servers gather them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of an answer; `id` is its token's, if it is one token whose id the server tells.

    Of tokens whose own texts are not told, the first has all of the text.
    """

    text: str
    id: int | None = None
    logprob: float = math.nan


class Events:
    """The events of one answer of at most `limit` tokens, and what they say of its length."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._count = 0
        self._told: int | None = None
        self._is_cut = False

    def read(self, data: str) -> Iterator[Chunk]:
        """The chunks of the event `data`. Raises ValueError with the reason where it is none, or an error."""
        try:
            event = json.loads(data)
        except ValueError:
            raise ValueError("sends an event that is no JSON") from None
        if not isinstance(event, dict):
            raise ValueError("sends an event that is no JSON object")
        if event.get("error") is not None:
            raise ValueError(f"ends the answer with an error ({str(event['error'])[:200]})")
        usage = event.get("usage")
        if isinstance(usage, dict) and isinstance(usage.get("completion_tokens"), int):
            self._told = usage["completion_tokens"]
        for choice in event.get("choices") or []:
            try:
                found = _chunks(choice)
            except (AttributeError, TypeError):
                raise ValueError(f"sends a choice of another form ({str(choice)[:200]})") from None
            self._is_cut = self._is_cut or choice.get("finish_reason") == "length"
            for chunk in found:
                self._count += 1
                yield chunk

    def untold(self) -> Iterator[Chunk]:
        """At the end: empty chunks for the tokens that came together with others.

        Only of an answer that ended at its limit, which is known by the number of its tokens; in others the
        token that ended them counts.
        """
        if self._is_cut and self._told is not None:
            for _ in range(min(self._told, self._limit) - self._count):
                yield Chunk("")


def _chunks(choice: Mapping[str, Any]) -> Sequence[Chunk]:
    text = str(choice.get("text") or "")
    ids = list(choice.get("token_ids") or [])
    logprobs = choice.get("logprobs") or {}
    if content := logprobs.get("content"):  # llama.cpp's
        ids = [one.get("id") for one in content]
        values = [one.get("logprob") for one in content]
        texts = [one.get("token") for one in content]
    else:
        values = list(logprobs.get("token_logprobs") or [])
        texts = list(logprobs.get("tokens") or [])
    count = max(len(ids), len(values), len(texts))
    if count <= 1:
        if not text and len(ids) != 1:
            return ()
        return (Chunk(text, ids[0] if ids else None, _number(values[0] if values else None)),)
    if len(texts) != count or not all(isinstance(one, str) for one in texts) or "".join(texts) != text:
        return (Chunk(text), *(Chunk("") for _ in range(count - 1)))
    ids = ids if len(ids) == count else [None] * count
    values = values if len(values) == count else [None] * count
    return [Chunk(*one[:2], _number(one[2])) for one in zip(texts, ids, values, strict=True)]


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
