"""What Linewise's own client and server say to each other, as JSON; both sides read and write it here.

A prompt goes as what is new in it. Every beginning of a prompt has a name, made of the segments in it one
after another; the client names the longest beginning that it sent before for the same slot, and adds the
rest. A server that does not know the name says so, and gets the whole prompt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from linewise.engines.protocol import FimTokens, ModelInfo, Sampling, Segment, Token
from linewise.errors import BusyError, ContextError, EngineError, ModelError, ServerError

PROTOCOL = 2
"""Raised whenever an older client or server could misunderstand the other."""

HELLO, GENERATE, TOKENIZE, STOP = (
    f"/v1/linewise/{word}" for word in ("hello", "generate", "tokenize", "stop")
)
DOCUMENTS = "/v1/documents"

NO_SEGMENTS = ""
"""Name of the empty beginning."""

UNKNOWN_PREFIX = "unknown_prefix"
OTHER_SERVER = "other_server"
"""Codes of refusals that a client mends by itself."""
_ERRORS: Mapping[str, type[EngineError]] = {
    "busy": BusyError,
    "model": ModelError,
    "context": ContextError,
    "server": ServerError,
    "engine": EngineError,
}


def peer(fingerprint: str) -> str:
    """Names the protocol and the state of the model file: who a request is for.

    A server can have made room for another one at the same address since its client last heard of it.
    """
    return f"{PROTOCOL} {fingerprint}"


def longer(name: str, segment: Segment) -> str:
    """Name of a prompt's beginning that is longer by `segment` than the one named `name`."""
    text = segment.text.encode("utf-8", "surrogatepass")
    kind = b"s" if segment.special else b"t"
    return hashlib.blake2b(name.encode() + kind + text, digest_size=16).hexdigest()


def segments_out(segments: Sequence[Segment]) -> list[str | list[str]]:
    """Plain text as a string, a special token as a list with its text."""
    return [[segment.text] if segment.special else segment.text for segment in segments]


def segments_in(found: object) -> list[Segment]:
    """Read `segments_out`. Raises ValueError for anything else."""
    if not isinstance(found, list):
        raise ValueError("segments are not a list")
    segments = []
    for item in found:
        if isinstance(item, str):
            segments.append(Segment(item))
        elif isinstance(item, list) and len(item) == 1 and isinstance(item[0], str):
            segments.append(Segment(item[0], special=True))
        else:
            raise ValueError("a segment is neither a text nor a list with one text")
    return segments


def token_out(token: Token) -> list[Any]:
    """A token as a list; what few tokens have is left off the others."""
    if token.alternatives:
        return [token.id, token.text, token.logprob, token.special, token.end_logprob, token.alternatives]
    if token.special or token.end_logprob is not None:
        return [token.id, token.text, token.logprob, token.special, token.end_logprob]
    return [token.id, token.text, token.logprob]


def token_in(found: Sequence[Any]) -> Token:
    """Read `token_out`."""
    if len(found) <= 5:
        return Token(*found)
    *rest, alternatives = found
    return replace(Token(*rest), alternatives=tuple((text, logprob) for text, logprob in alternatives))


def sampling_out(sampling: Sampling) -> dict[str, Any]:
    """Every field by its name, but for one that says nothing, which an older server does not know."""
    return {name: value for name, value in asdict(sampling).items() if value or name != "alternatives"}


def info_out(info: ModelInfo) -> dict[str, Any]:
    """Every field by its name."""
    return {**asdict(info), "metadata": dict(info.metadata)}


def info_in(found: Mapping[str, Any]) -> ModelInfo:
    """Read `info_out`. Raises TypeError for what another version wrote."""
    fim = found["fim"]
    tokens = None if fim is None else FimTokens(**{**fim, "ends": tuple(fim["ends"])})
    return ModelInfo(**{**found, "fim": tokens})


def error_out(error: EngineError) -> tuple[str, str]:
    """The kind of an error and its sentence."""
    kind = next((kind for kind, of in _ERRORS.items() if isinstance(error, of)), "engine")
    return kind, str(error)


def error_in(kind: str, message: str) -> EngineError:
    """Read `error_out`."""
    return _ERRORS.get(kind, EngineError)(message)
