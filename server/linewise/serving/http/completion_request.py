"""Reads the body of OpenAI's `/v1/completions`: what is asked, or a refusal that names the parameter."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from linewise.engines.protocol import FimTokens, ModelInfo, Request, Sampling, Segment
from linewise.serving.http.exchange import RefusedError

Prompt: TypeAlias = str | tuple[int, ...]
"""A prompt as text, or in the model's token ids."""

IsSpecial: TypeAlias = Callable[[str], bool]
"""Whether the model has a special token of this name."""

MOST_CHOICES = 64
"""Prompts times choices of each in one request."""

MOST_ALTERNATIVES = 5
"""Likeliest tokens that are told with each: OpenAI's limit, too."""

MOST_STOPS = 16
LONGEST_STOP = 1024
"""Characters; after each token, every end of the text is looked at that could be the beginning of one."""

_UNSUPPORTED: Mapping[str, tuple[object, ...]] = {
    "frequency_penalty": (None, 0),
    "presence_penalty": (None, 0),
    "logit_bias": (None, {}),
}
"""Parameters of OpenAI that are taken only with the values that change nothing."""

_IGNORED = frozenset({"user", "metadata"})
"""Parameters that do not bear on the answer."""


@dataclass(frozen=True, slots=True)
class Completion:
    """A request for completions; `requests` are its choices: all of the first prompt, then the next's.

    Of a prompt of token ids, `prompts` has no text.
    """

    model: str
    prompts: tuple[str, ...]
    requests: tuple[Request, ...]
    choices_each: int
    stop: tuple[str, ...]
    stream: bool
    include_usage: bool
    echo: bool
    logprobs: bool


def read_completion(
    body: Mapping[str, Any], info: ModelInfo, names: frozenset[str], is_special: IsSpecial
) -> Completion:
    """What `body` asks of the model `info`, whose accepted `names` are given.

    `parse_special`, which OpenAI has not, makes special tokens of their names in prompts, as `is_special`
    knows them. Raises RefusedError for what cannot be had.
    """
    fields = _Fields(dict(body))
    model = fields.text("model")
    if model not in names:
        raise RefusedError(
            404, f"The model {model[:100]!r} is not served here; GET /v1/models names the one that is.",
            code="model_not_found", param="model",
        )  # fmt: skip
    prompts = fields.prompts("prompt", most=MOST_CHOICES)
    has_ids = any(not isinstance(prompt, str) for prompt in prompts)
    suffix = fields.text("suffix", "")
    if suffix and has_ids:
        raise RefusedError(400, "suffix cannot be had with a prompt of token ids.", param="suffix")
    special = fields.flag("parse_special")
    choices = fields.integer("n", 1, 1, MOST_CHOICES)
    best_of = fields.integer("best_of", choices, 1, MOST_CHOICES)
    if best_of != choices:
        raise RefusedError(400, "best_of must be what n is: samples are not ranked here.", param="best_of")
    if len(prompts) * choices > MOST_CHOICES:
        raise RefusedError(400, f"One request gives at most {MOST_CHOICES} completions.", param="n")
    logprobs = fields.optional_integer("logprobs", 0, MOST_ALTERNATIVES)
    seed = fields.integer("seed", secrets.randbits(31), 0, (1 << 63) - 1)
    sampling = Sampling(
        temperature=fields.number("temperature", 1.0, 0.0, 100.0),
        top_p=fields.number("top_p", 1.0, 0.0, 1.0, above=True),
        top_k=fields.integer("top_k", 0, 0, 1 << 30),
        min_p=fields.number("min_p", 0.0, 0.0, 1.0),
        max_tokens=fields.integer("max_tokens", 16, 0, 1 << 30),
        alternatives=logprobs or 0,
    )
    echo = fields.flag("echo")
    if echo and logprobs is not None:
        raise RefusedError(400, "echo cannot be had with logprobs: prompts are not scored.", param="echo")
    if echo and has_ids:
        raise RefusedError(400, "echo cannot be had with a prompt of token ids: send text.", param="echo")
    options = fields.mapping("stream_options")
    stop = fields.texts("stop", most=MOST_STOPS)
    if any(not text for text in stop):
        raise RefusedError(400, "A stop text is empty.", param="stop")
    if any(len(text) > LONGEST_STOP for text in stop):
        raise RefusedError(400, f"A stop text is longer than {LONGEST_STOP} characters.", param="stop")
    completion = Completion(
        model=model,
        prompts=tuple(prompt if isinstance(prompt, str) else "" for prompt in prompts),
        requests=_requests(prompts, suffix, is_special if special else None, info, sampling, seed, choices),
        choices_each=choices,
        stop=stop,
        stream=fields.flag("stream"),
        include_usage=bool(options.get("include_usage", False)),
        echo=echo,
        logprobs=logprobs is not None,
    )
    fields.require_nothing_else()
    return completion


def _requests(
    prompts: tuple[Prompt, ...],
    suffix: str,
    is_special: IsSpecial | None,
    info: ModelInfo,
    sampling: Sampling,
    seed: int,
    choices: int,
) -> tuple[Request, ...]:
    fim = info.fim
    if suffix and fim is None:
        raise RefusedError(400, f"{info.name} cannot fill in the middle: leave `suffix` out.", param="suffix")
    requests = []
    for prompt in prompts:
        segments: list[Segment] = []
        ids: tuple[int, ...] = ()
        ends: tuple[str, ...] = ()
        if not isinstance(prompt, str):
            ids = prompt
        elif suffix and fim is not None:
            segments = _middle(prompt, suffix, fim)
            ends = (fim.prefix, fim.suffix, fim.middle, *fim.ends)
        else:
            parts = [Segment(prompt)] if prompt else []
            if is_special is not None:
                parts = _special_parts(prompt, info, is_special)
            begins = bool(info.begin) and Segment(info.begin, special=True) not in parts[:1]
            segments = [Segment(info.begin, special=True), *parts] if begins else parts
        for choice in range(choices):
            drawn = replace(sampling, seed=seed + choice)
            requests.append(Request(tuple(segments), drawn, stop=ends, ids=ids))
    return tuple(requests)


def _middle(prefix: str, suffix: str, tokens: FimTokens) -> list[Segment]:
    """Segments of a fill-in-the-middle prompt, in the model's order."""
    order = [(tokens.prefix, prefix), (tokens.suffix, suffix), (tokens.middle, "")]
    if tokens.order == "spm":
        order = [(tokens.prefix, ""), (tokens.suffix, suffix), (tokens.middle, prefix)]
    parts = [(tokens.begin, "")] if tokens.begin else []
    segments = []
    for special, text in [*parts, *order]:
        segments.append(Segment(special, special=True))
        if text:
            segments.append(Segment(text))
    return segments


def _special_parts(prompt: str, info: ModelInfo, is_special: IsSpecial) -> list[Segment]:
    """`prompt` split at the special tokens that the model has; what only looks like one stays text."""
    own = () if info.fim is None else (info.fim.prefix, info.fim.suffix, info.fim.middle)
    pattern = "|".join([*map(re.escape, own), r"<\|[^<>|]*\|>"])
    segments: list[Segment] = []
    text = ""
    for number, part in enumerate(re.split(f"({pattern})", prompt)):
        if number % 2 and is_special(part):
            segments += (
                [Segment(text), Segment(part, special=True)] if text else [Segment(part, special=True)]
            )
            text = ""
        else:
            text += part
    return [*segments, Segment(text)] if text else segments


class _Fields:
    """The body's fields, each taken once, so that one that nobody takes is known."""

    def __init__(self, body: dict[str, Any]) -> None:
        self._body = body

    def text(self, name: str, default: str | None = None) -> str:
        value = self._body.pop(name, None)
        if value is None and default is not None:
            return default
        if value is None:
            raise _missing(name)
        if not isinstance(value, str):
            raise RefusedError(400, f"`{name}` must be a string.", param=name)
        return _encodable(value, name)

    def texts(self, name: str, *, most: int) -> tuple[str, ...]:
        value = self._body.pop(name, None)
        found = [] if value is None else [value] if isinstance(value, str) else value
        if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
            raise RefusedError(400, f"`{name}` must be a string or a list of strings.", param=name)
        if len(found) > most:
            raise RefusedError(400, f"`{name}` must have at most {most} texts.", param=name)
        return tuple(_encodable(item, name) for item in found)

    def prompts(self, name: str, *, most: int) -> tuple[Prompt, ...]:
        value = self._body.pop(name, None)
        if value is None:
            raise _missing(name)
        found = [value] if isinstance(value, str) or (value and _are_ids(value)) else value
        if not isinstance(found, list) or not all(isinstance(one, str) or _are_ids(one) for one in found):
            what = f"`{name}` must be a text, a list of token ids, or a list of texts or of such lists."
            raise RefusedError(400, what, param=name)
        if not 1 <= len(found) <= most:
            raise RefusedError(400, f"`{name}` must have 1 to {most} prompts.", param=name)
        if [] in found:
            raise RefusedError(
                400, f"`{name}` has an empty list: a prompt has at least one token.", param=name
            )
        return tuple(_encodable(one, name) if isinstance(one, str) else tuple(one) for one in found)

    def flag(self, name: str) -> bool:
        value = self._body.pop(name, None)
        if value is not None and not isinstance(value, bool):
            raise RefusedError(400, f"`{name}` must be true or false.", param=name)
        return bool(value)

    def optional_integer(self, name: str, low: int, high: int) -> int | None:
        value = self._body.pop(name, None)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise RefusedError(400, f"`{name}` must be a whole number from {low} to {high}.", param=name)
        return value

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        value = self.optional_integer(name, low, high)
        return default if value is None else value

    def number(self, name: str, default: float, low: float, high: float, *, above: bool = False) -> float:
        value = self._body.pop(name, None)
        if value is None:
            return default
        # A whole number of any size compares with a float, and NaN with nothing.
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not low <= value <= high or (above and value == low):
            start = "above" if above else "from"
            raise RefusedError(400, f"`{name}` must be a number {start} {low:g} to {high:g}.", param=name)
        return float(value)

    def mapping(self, name: str) -> Mapping[str, Any]:
        value = self._body.pop(name, None)
        if value is not None and not isinstance(value, dict):
            raise RefusedError(400, f"`{name}` must be an object.", param=name)
        return value or {}

    def require_nothing_else(self) -> None:
        """Refuse what is not known: to answer as if it were would be wrong."""
        for name, value in self._body.items():
            if name in _IGNORED or value in _UNSUPPORTED.get(name, ()):
                continue
            why = "is not supported" if name in _UNSUPPORTED else "is not known"
            raise RefusedError(
                400, f"The parameter {name[:100]!r} {why} here: leave it out.", param=name[:100]
            )


def _are_ids(value: object) -> bool:
    """Whether it is a list of whole numbers and nothing else; true and false are none."""
    return isinstance(value, list) and all(type(one) is int for one in value)


def _missing(name: str) -> RefusedError:
    return RefusedError(400, f"`{name}` is missing: a request for a completion must have it.", param=name)


def _encodable(text: str, name: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise RefusedError(400, f"`{name}` has a lone surrogate, which is not text.", param=name) from None
    return text
