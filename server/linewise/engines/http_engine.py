"""An engine on another process or machine: any server that speaks OpenAI's completions.

With the model's tokenizer.json, prompts go out as token ids: nothing in a document can then be taken for a
control token, and lengths are exact. Servers of vLLM and llama.cpp take ids. Without it prompts are text with
the names of control tokens in it, which the server must read as such; a document that holds such a name is
refused, and each byte of a prompt counts as a token.

A server cannot be held to healed text. So the prompt is sent without it, and what comes back must begin with
it; where it does not, it is sent again with that text at its end. Nor can it be kept from a token at the
beginning alone, so `Request.forbidden` is not sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from linewise.engines.generation import Plan, plan_of
from linewise.engines.http_events import Chunk
from linewise.engines.http_servers import Prompt, Served, Servers, Stream
from linewise.engines.protocol import CancelSignal, HttpOptions, ModelInfo, Request, Segment, Token
from linewise.engines.tokenizer_json import Tokenization, begin_token, fim_tokens, read_tokenizer
from linewise.engines.tokenizer_json import read_vocabulary as vocabulary_of
from linewise.errors import EngineError, ModelError

_NAMED = re.compile(r"<[^<>\s]{1,40}>\Z")
UNKNOWN_ID = -1
"""A token's id where neither the server nor a tokenizer tells it."""


class HttpEngine:
    """A model behind `options.addresses`; implements `linewise.engines.protocol.Engine`."""

    def __init__(self, options: HttpOptions) -> None:
        """Ask the servers what they serve.

        Raises EngineError where none answers, or where something must be set that none of them says.
        """
        if not options.addresses:
            raise EngineError("No server is named: set http.addresses.")
        self._tokenization: Tokenization | None = None
        fim, begin, size = None, "", 0
        if options.tokenizer is not None:
            path = options.tokenizer
            tokenizer = read_tokenizer(path / "tokenizer.json" if path.is_dir() else path)
            vocabulary = vocabulary_of(tokenizer, ())
            begin = begin_token(tokenizer, vocabulary)
            fim, size = fim_tokens(vocabulary.special.keys(), begin), len(vocabulary.pieces)
            self._tokenization = Tokenization(options.model or "the model", tokenizer, vocabulary)
        self._servers = Servers(
            options.addresses,
            key=options.key,
            timeout=options.timeout,
            connect_timeout=options.connect_timeout,
            retries=options.retries,
        )
        try:
            served = self._servers.find(options.model)
            self._info = _info(options, served, size)
        except BaseException:
            self._servers.close()
            raise
        self._info = replace(self._info, fim=fim, begin=begin)
        if self._info.format in (None, "fim") and fim is None:
            self._servers.close()
            raise ModelError(
                f"{served.address} does not say on which format {served.model} was trained: set http.format, "
                "and http.tokenizer for a model that fills in the middle."
            )

    @property
    def info(self) -> ModelInfo:
        """What the first server says of its model, and the settings say."""
        return self._info

    def tokenize(self, segments: Sequence[Segment]) -> tuple[int, ...]:
        """Token ids of `segments`; without a tokenizer one number for each byte, more than there are tokens.

        Raises EngineError for an unknown special token.
        """
        if self._tokenization is not None:
            return self._tokenization.tokenize(segments)
        ids: list[int] = []
        for segment in segments:
            if segment.special:
                ids.append(self._special(segment.text))
            else:
                ids += _clean(segment.text).encode()
        return tuple(ids)

    def stream(self, request: Request, cancel: CancelSignal | None = None) -> Iterator[Token]:
        """Generate, at the server that serves the request's slot as long as it is well.

        Raises EngineError when the prompt is empty or does not fit, when no server answers, or when one
        fails in the middle; BusyError when all say that they are.
        """
        self._servers.require_open()
        if request.ids and self._tokenization is None:
            raise EngineError("Token ids cannot be sent to this server: set http.tokenizer.")
        size = self._info.vocabulary_size
        plan = plan_of(request, self.tokenize, self._special, self._info.context_length, size)
        self._prompt(request, plan, "")  # says what cannot be sent
        return self._generate(request, plan, cancel)

    def close(self) -> None:
        """End all connections. A generation in progress ends with EngineError."""
        self._servers.close()

    def _generate(self, request: Request, plan: Plan, cancel: CancelSignal | None) -> Iterator[Token]:
        budget = min(plan.max_tokens, self._info.context_length - len(plan.prompt) + 1)
        if budget <= 0:
            return
        healed = request.healed
        with self._open(request, plan, "", budget, cancel) as stream:
            tokens = self._tokens(stream, request)
            begun = _begun(tokens, healed)
            if begun is not None:
                yield from begun
                yield from tokens
                return
        if cancel is not None and cancel.is_set():
            return
        given = self._given(healed)
        yield from given
        if len(given) < budget:
            with self._open(request, plan, healed, budget - len(given), cancel) as stream:
                yield from self._tokens(stream, request)

    def _open(
        self, request: Request, plan: Plan, given: str, budget: int, cancel: CancelSignal | None
    ) -> Stream:
        sampling = replace(request.sampling, max_tokens=budget)
        return self._servers.stream(self._prompt(request, plan, given), sampling, request.slot, cancel)

    def _prompt(self, request: Request, plan: Plan, given: str) -> Prompt:
        """What is sent: `given` at the prompt's end. Raises EngineError for text that would be misread."""
        names = _names(request)
        if self._tokenization is not None:
            more = self.tokenize((Segment(given),)) if given else ()
            stops = tuple(sorted(plan.stops))
            return Prompt((*plan.prompt, *more), names=names, stop=request.stop, stop_ids=stops)
        parts = []
        for segment in (*request.prompt, Segment(given)):
            found = None if segment.special else next((name for name in names if name in segment.text), None)
            if found is not None:
                raise EngineError(
                    f"The document holds the text {found!r}, which the server would take for a control "
                    "token: set http.tokenizer to the model's tokenizer.json."
                )
            parts.append(_clean(segment.text))
        return Prompt("".join(parts), names=names, stop=request.stop)

    def _tokens(self, stream: Stream, request: Request) -> Iterator[Token]:
        """The tokens of an answer, up to a stop token."""
        control = self._tokenization.vocabulary.control if self._tokenization is not None else frozenset()
        names = _names(request)
        if self._tokenization is not None:
            special = self._tokenization.vocabulary
            names = tuple(name for name, id_ in special.special.items() if id_ in control)
        pattern = re.compile("(" + "|".join(map(re.escape, sorted(names, key=len, reverse=True))) + ")")
        for chunk in stream:
            for token in self._split(chunk, pattern if names else None, control):
                if token.special and token.text in request.stop:
                    return
                yield token

    def _split(
        self, chunk: Chunk, pattern: re.Pattern[str] | None, control: frozenset[int]
    ) -> Iterable[Token]:
        id_ = UNKNOWN_ID if chunk.id is None else chunk.id
        plain = chunk.id is not None and bool(control) and chunk.id not in control
        if pattern is None or plain or pattern.search(chunk.text) is None:
            return (Token(id_, chunk.text, chunk.logprob),)
        parts = [part for part in pattern.split(chunk.text) if part]
        tokens = []
        for part in parts:
            special = pattern.fullmatch(part) is not None
            known = self._special(part) if special and self._tokenization is not None else UNKNOWN_ID
            tokens.append(Token(known, part, chunk.logprob if len(parts) == 1 else float("nan"), special))
        return tokens

    def _given(self, healed: str) -> list[Token]:
        """The healed text as tokens: the model was given it, so they have no probability."""
        ids = self.tokenize((Segment(healed),)) if self._tokenization is not None else ()
        text = [Token(id_, "", float("nan")) for id_ in (ids or (UNKNOWN_ID,))]
        return [replace(text[0], text=healed), *text[1:]]

    def _special(self, text: str) -> int:
        if self._tokenization is not None:
            return self._tokenization.special(text)
        if not _NAMED.match(text):
            raise EngineError(
                f"{self._info.name} has no special token {text!r}: use the format it was trained on."
            )
        return UNKNOWN_ID


def _names(request: Request) -> tuple[str, ...]:
    """Names of the control tokens that the request speaks of."""
    special = (segment.text for segment in request.prompt if segment.special)
    return tuple(dict.fromkeys((*special, *request.stop)))


def _begun(tokens: Iterator[Token], healed: str) -> list[Token] | None:
    """The first tokens, once they spell `healed`; None where they spell something else."""
    seen: list[Token] = []
    text = ""
    while not text.startswith(healed):
        token = next(tokens, None)
        if token is None or token.special:
            return None
        seen.append(token)
        text += token.text
        if not healed.startswith(text) and not text.startswith(healed):
            return None
    return seen


def _clean(text: str) -> str:
    """`text` without lone surrogates, which no server takes."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


def _info(options: HttpOptions, served: Served, size: int) -> ModelInfo:
    context_length = options.context_length or served.context_length
    if context_length is None:
        raise EngineError(
            f"{served.address} does not say how long the context of {served.model} is: set "
            "http.context_length."
        )
    return ModelInfo(
        name=served.model,
        architecture="unknown",
        context_length=context_length,
        vocabulary_size=size,
        parameters=served.parameters or 0,
        size_bytes=served.size_bytes or 0,
        format=options.format or served.format,
        metadata={"address": served.address, "server": served.kind},
        lanes=options.lanes,
    )
