"""One whole generation: what was asked in token ids, its tokens as they are chosen, and what came of it.

Several of these can run side by side, each with a sampler of its own, so that what one draws never depends
on the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from linewise.engines.protocol import Request, Sampling, Segment, Token
from linewise.engines.sampling import Logits, Sampler
from linewise.engines.token_text import TokenText
from linewise.engines.vocabulary import SpellingIndex, Vocabulary
from linewise.errors import EngineError

Ending: TypeAlias = Literal[
    "end of sequence", "stop token", "stop text", "token limit", "context full", "cancelled", "failed"
]
Finished: TypeAlias = Callable[[str], bool]
"""Whether the text generated so far is all that is wanted."""
FinishedOf: TypeAlias = Callable[[int, str], bool]
"""The same for many requests: the number of the request, from 0, and its text so far."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A request in token ids: `healed` is what must be spelled first, `stops` what generation ends before.

    The first token must not be one of `forbidden`.
    """

    prompt: tuple[int, ...]
    healed: bytes
    stops: frozenset[int]
    max_tokens: int
    forbidden: tuple[int, ...] = ()


def plan_of(
    request: Request,
    tokenize: Callable[[Sequence[Segment]], tuple[int, ...]],
    special: Callable[[str], int],
    limit: int,
    vocabulary_size: int,
) -> Plan:
    """`request` in token ids, for a context of `limit` tokens. Raises EngineError when it cannot be done."""
    prompt = request.ids or tokenize(request.prompt)
    unknown = next((id_ for id_ in request.ids if not 0 <= id_ < vocabulary_size), None)
    if unknown is not None:
        raise EngineError(
            f"The prompt has the token id {unknown}, and the model knows 0 to {vocabulary_size - 1}: "
            "tokenize it with the tokenizer of this model."
        )
    stops = frozenset(special(text) for text in request.stop)
    if not prompt:
        raise EngineError("The prompt is empty: a model needs at least one token to go on from.")
    if len(prompt) > limit:
        raise EngineError(
            f"The prompt has {len(prompt)} tokens and the context holds {limit}: "
            "send less of the document, or take a model with a longer context."
        )
    try:
        healed = request.healed.encode()
    except UnicodeEncodeError:
        raise EngineError(
            f"No token can spell the lone surrogate in {request.healed!r}: do not heal it."
        ) from None
    return Plan(prompt, healed, stops, request.sampling.max_tokens, request.forbidden)


@dataclass(frozen=True, slots=True)
class Generation:
    """A finished generation. `prompt_tokens` counts what was read, whether or not others shared it.

    `end_logprob` is the log-probability of the token that ended it, None where none did.
    """

    tokens: tuple[Token, ...]
    prompt_tokens: int
    ended: Ending
    end_logprob: float | None = None

    @property
    def text(self) -> str:
        """The generated text, special tokens as their literal text."""
        return "".join(token.text for token in self.tokens)

    @property
    def logprob(self) -> float:
        """Natural logarithm of the probability of all generated tokens under the model, the end included."""
        return sum(token.logprob for token in self.tokens) + (self.end_logprob or 0.0)


@dataclass(frozen=True, slots=True)
class Choices:
    """What every generation of a model needs of its vocabulary."""

    name: str
    vocabulary: Vocabulary
    spelling: SpellingIndex
    unused: NDArray[np.intp]

    def first(self, plan: Plan) -> NDArray[np.intp] | None:
        """Ids of the tokens that may come first; None where all may. Raises EngineError where none may."""
        allowed = self.allowed(plan.healed) if plan.healed else None
        if not plan.forbidden:
            return allowed
        everything = np.arange(len(self.vocabulary.pieces)) if allowed is None else allowed
        left = np.setdiff1d(everything, (*plan.forbidden, *self.unused))
        if not left.size:
            raise EngineError(f"All tokens of {self.name} that may come first are forbidden: forbid fewer.")
        return left

    def allowed(self, healed: bytes) -> NDArray[np.intp]:
        """Ids of the tokens that may come next. Raises EngineError where none can spell `healed`."""
        allowed = self.spelling.allowed(healed)
        if not allowed.size:
            text = healed.decode("utf-8", "replace")
            raise EngineError(f"No token of {self.name} begins {text!r}: complete this line without healing.")
        return allowed


class Lane:
    """One generation in progress: give it the logits after its last token, and read what it chooses."""

    def __init__(
        self,
        plan: Plan,
        sampling: Sampling,
        choices: Choices,
        limit: int,
        finished: Finished | None = None,
    ) -> None:
        """`limit` is the context's length in tokens."""
        self._plan = plan
        self._sampler = Sampler(sampling)
        self._alternatives = sampling.alternatives
        self._choices = choices
        self._finished = finished
        # The last token that the context has no room for need not be read, so there is always room for one.
        self._budget = min(plan.max_tokens, limit - len(plan.prompt) + 1)
        self._healed = plan.healed
        self._text = TokenText(choices.vocabulary)
        self._so_far = ""  # what `finished` is asked about
        self._tokens: list[Token] = []
        self._count = 0
        self._end_logprob: float | None = None
        self.ended: Ending | None = None
        self._check_budget()

    @property
    def count(self) -> int:
        """How many tokens were chosen so far."""
        return self._count

    @property
    def tokens(self) -> Sequence[Token]:
        """The tokens so far, without one whose last character is still incomplete."""
        return self._tokens

    @property
    def remaining(self) -> int:
        """How many more tokens may be chosen."""
        return self._budget - self._count

    @property
    def position(self) -> int:
        """Where the token that was chosen last stands, counted from the prompt's first."""
        return len(self._plan.prompt) + self._count - 1

    def choose(self, logits: Logits) -> int:
        """The next token's id. Where generation ends instead, `ended` says why, and the id means nothing.

        `logits` may be written to. Raises EngineError when they are not numbers, or none may be chosen.
        """
        vocabulary = self._choices.vocabulary
        logits[self._choices.unused] = -np.inf
        if self._count:
            allowed = self._choices.allowed(self._healed) if self._healed else None
        else:
            allowed = self._choices.first(self._plan)
        chosen, logprob = self._sampler.choose(logits, allowed)
        if chosen in self._plan.stops or chosen in vocabulary.ends:
            self._end_logprob = logprob
            self.ended = "stop token" if chosen in self._plan.stops else "end of sequence"
            return chosen
        self._healed = self._healed[len(vocabulary.pieces[chosen]) :]
        self._count += 1
        end_logprob = (
            self._end(logits, float(logits[chosen]) - logprob) if chosen in vocabulary.control else None
        )
        alternatives = self._likeliest(logits, float(logits[chosen]) - logprob) if self._alternatives else ()
        ready = self._text.push(chosen, logprob, end_logprob, alternatives)
        self._tokens += ready
        if self._finished is not None:
            self._so_far += "".join(token.text for token in ready)
            if self._finished(self._so_far):
                self.ended = "stop text"
                return chosen
        self._check_budget()
        return chosen

    def generation(self) -> Generation:
        """What was generated. Only once `ended` is set."""
        if self.ended is None:
            raise EngineError("A generation was asked for before it ended: wait until it has.")
        return Generation(
            (*self._tokens, *self._text.finish()), len(self._plan.prompt), self.ended, self._end_logprob
        )

    def _end(self, logits: Logits, log_total: float) -> float | None:
        """Log-probability of ending here; None for a model that has no token for it."""
        ends = np.fromiter(self._plan.stops | self._choices.vocabulary.ends, np.intp)
        return float(np.logaddexp.reduce(logits[ends])) - log_total if ends.size else None

    def _likeliest(self, logits: Logits, log_total: float) -> tuple[tuple[str, float], ...]:
        """The likeliest tokens by their texts, with their log-probabilities."""
        count = min(self._alternatives, logits.size)
        places = np.argpartition(logits, logits.size - count)[logits.size - count :]
        pieces = self._choices.vocabulary.pieces
        return tuple(
            (pieces[place].decode("utf-8", "replace"), float(logits[place]) - log_total)
            for place in places[np.argsort(-logits[places], kind="stable")]
            if np.isfinite(logits[place])
        )

    def _check_budget(self) -> None:
        if self._count >= self._budget:
            self.ended = "token limit" if self._budget == self._plan.max_tokens else "context full"
