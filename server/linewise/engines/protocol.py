"""What an engine is: tokens in, tokens out. Nothing here knows of edits, documents or editors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, runtime_checkable


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a prompt that is tokenized alone, so that its tokens can be cached.

    `special` text is one control token, such as `<|diff|>`; other text never yields a control token, so
    a document that contains the characters `<|diff|>` cannot forge one.
    """

    text: str
    special: bool = False


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen. `temperature` 0 is greedy; the same `seed` repeats the same text.

    `alternatives` is how many of the likeliest tokens are told with each.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int = 0
    max_tokens: int = 256
    alternatives: int = 0


Priority: TypeAlias = Literal["inline", "next edit", "write"]
"""What a generation is for. An engine that runs several at once takes them in this order."""


@dataclass(frozen=True, slots=True)
class Request:
    """One generation.

    `healed` is text that the first generated tokens must spell before they are free: the last, partial
    word of what was typed, which must not be tokenized on its own (token healing). It comes back as part
    of the generated text. Generation ends before the first of `stop` special tokens (their text), at end
    of sequence, or after `sampling.max_tokens`.

    `forbidden` are ids that the first generated token must not be: what led astray the last time. A back end
    on another machine may not be able to hold to it; whether the first token keeps it is seen by its `id`.

    `ids`, where there are any, are the prompt in the model's own token ids, control tokens and all; then
    `prompt` is empty.

    `slot` names what the prompt is of, such as one open document: an engine with several cache slots keeps
    one for each name. A new inline request ends an older one of its slot; the empty name is nobody's.
    """

    prompt: tuple[Segment, ...]
    sampling: Sampling = field(default_factory=Sampling)
    healed: str = ""
    stop: tuple[str, ...] = ()
    slot: str = ""
    priority: Priority = "write"
    forbidden: tuple[int, ...] = ()
    ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Token:
    """One generated token.

    `text` is what it adds to the decoded text: empty while a character is incomplete, and the literal
    text of a special token (with `special` true) such as `<|diff|>`. `logprob` is the natural logarithm
    of its probability under the model, before temperature and truncation, and not a number where the back end
    does not say. `id` is -1 where it does not say that. A special token also tells
    `end_logprob`, the same for generation ending in its place; None where the back end does not say.
    `alternatives` are the likeliest tokens in its place by their texts, each with its log-probability, the
    likeliest first; other servers are not asked for any.
    """

    id: int
    text: str
    logprob: float
    special: bool = False
    end_logprob: float | None = None
    alternatives: tuple[tuple[str, float], ...] = ()


FimOrder: TypeAlias = Literal["psm", "spm"]
"""Prefix, suffix, middle; or suffix first, then prefix and middle in one."""


@dataclass(frozen=True, slots=True)
class FimTokens:
    """The special tokens, by their text, with which a model fills in the middle.

    `begin` is the token that every prompt of the model begins with, empty where there is none. `ends` are
    further tokens that a middle never holds, such as those that part files.
    """

    prefix: str
    suffix: str
    middle: str
    begin: str = ""
    ends: tuple[str, ...] = ()
    order: FimOrder = "psm"


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a model says of itself.

    `format` is the name of the Format that it was trained on, if known; `fim` are its fill-in-the-middle
    tokens, if it has any; `begin` is the special token that every text begins with, by its text, empty
    where there is none. `lanes` is how many generations its engine runs at once.
    """

    name: str
    architecture: str
    context_length: int
    vocabulary_size: int
    parameters: int
    size_bytes: int
    format: str | None
    metadata: Mapping[str, str]
    fim: FimTokens | None = None
    begin: str = ""
    lanes: int = 1


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """What must be known of the servers. Times are in seconds; `key` is sent to each as bearer token.

    `model`, `format` and `context_length` are asked of the first server that answers, where they are None.
    `tokenizer` is a tokenizer.json or its folder; `retries` further tries are made of what failed before its
    first token. `lanes` is how many generations are to run at once.
    """

    addresses: tuple[str, ...]
    model: str | None = None
    format: str | None = None
    tokenizer: Path | None = None
    context_length: int | None = None
    key: str | None = None
    timeout: float = 30.0
    connect_timeout: float = 3.0
    retries: int = 2
    lanes: int = 4


class CancelSignal(Protocol):
    """Anything with `is_set`, such as `threading.Event`: when true, generation ends within one token."""

    def is_set(self) -> bool:
        """Whether the caller has lost interest."""
        ...


@runtime_checkable
class CountsTokens(Protocol):
    """An engine that is far away, where `tokenize` may cost a round trip, but a bound never does."""

    def tokens_at_most(self, segments: Sequence[Segment]) -> int:
        """No fewer than `tokenize` gives for `segments`: exact for those that it knows."""
        ...


@runtime_checkable
class KeepsDocuments(Protocol):
    """An engine that keeps something of each slot from one request to the next."""

    def forget(self, slot: str) -> None:
        """The document `slot` was closed: keep nothing of it. Never fails; what is unknown is forgotten."""
        ...


class Engine(Protocol):
    """A loaded model. It runs `info.lanes` generations at once; a further caller waits."""

    @property
    def info(self) -> ModelInfo:
        """What the model says of itself."""
        ...

    def tokenize(self, segments: Sequence[Segment]) -> tuple[int, ...]:
        """Token ids of `segments`, each tokenized alone. Raises EngineError for an unknown special token."""
        ...

    def stream(self, request: Request, cancel: CancelSignal | None = None) -> Iterator[Token]:
        """Generate. Prompt tokens shared with the call before of the same slot are not read again.

        Raises EngineError when the prompt does not fit the context, or the back end fails; BusyError when
        too many wait already.
        """
        ...

    def close(self) -> None:
        """Free the model's memory. The engine cannot be used afterwards."""
        ...
