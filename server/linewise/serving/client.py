"""The engine of a language server whose model lives in the model server: an Engine over the socket."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any
from urllib.parse import quote

from linewise.engines.protocol import CancelSignal, ModelInfo, Request, Segment, Token
from linewise.errors import EngineError, LinewiseError, ModelError, ServerError
from linewise.serving import wire
from linewise.serving.connection import Address, CancelledError, Connection, LostConnectionError
from linewise.serving.starting import Reached, Starter

_ATTEMPTS = 3
"""How often a request is made that got no token, where servers end under it."""

_REMEMBERED_PROMPTS = 256
_FORGET_SECONDS = 2.0
_CACHED_TOKENS = 1 << 18


@dataclass(frozen=True, slots=True)
class _Sent:
    """A prompt that the server has; `names[i]` is the name of its first i segments."""

    segments: tuple[Segment, ...]
    names: tuple[str, ...]


class ServerEngine:
    """Implements `linewise.engines.protocol.Engine`; thread-safe.

    A server that has gone is started again: a request that had no token yet is made again, one that had
    some ends with ServerError. A server that has another model by now is not used: the caller holds this
    model's format.
    """

    def __init__(self, starter: Starter, cancel: CancelSignal | None = None) -> None:
        """Reach the server. Raises ServerError where it cannot be had, CancelledError when cancelled."""
        self._starter = starter
        self._lock = threading.Lock()
        self._free: list[Connection] = []
        self._sent: OrderedDict[str, _Sent] = OrderedDict()
        self._ids: OrderedDict[Segment, tuple[int, ...]] = OrderedDict()
        self._ids_size = 0
        self._is_closed = False
        reached = starter.reach(cancel)
        self._fingerprint = str(reached.hello["fingerprint"])
        self._info = wire.info_in(reached.hello["info"])
        self._address: Address | None = reached.address
        self._refill()

    @property
    def info(self) -> ModelInfo:
        """What the model says of itself."""
        return self._info

    def tokenize(self, segments: Sequence[Segment]) -> tuple[int, ...]:
        """Token ids of `segments`, each tokenized alone; the server is asked for those that are new.

        Raises EngineError for an unknown special token, ServerError when the server cannot be had.
        """
        with self._lock:
            known = {segment: ids for segment in segments if (ids := self._ids.get(segment)) is not None}
            for segment in known:
                self._ids.move_to_end(segment)
        new = list(dict.fromkeys(segment for segment in segments if segment not in known))
        if new:
            found = dict(zip(new, self._tokenize(new), strict=True))
            self._remember(found)
            known |= found
        return tuple(chain.from_iterable(known[segment] for segment in segments))

    def tokens_at_most(self, segments: Sequence[Segment]) -> int:
        """No fewer than `tokenize` gives, without asking the server.

        A token stands for at least one byte; some tokenizers begin a text with a space of their own.
        """
        return sum(
            len(known) if (known := self._ids.get(segment)) is not None else _most_tokens(segment)
            for segment in segments
        )

    def stream(self, request: Request, cancel: CancelSignal | None = None) -> Iterator[Token]:
        """Generate. Closing the iterator, as a set `cancel`, ends the generation within one token.

        Raises EngineError as the server's engine does, BusyError when too many wait there, ServerError
        when the server cannot be had or ended after it had given tokens.
        """
        if self._is_closed:
            raise EngineError("The engine was closed: connect to the model server again to go on.")
        return self._stream(request, cancel)

    def forget(self, slot: str) -> None:
        """Let the server keep nothing of a document that was closed; one that is not there keeps nothing."""
        with self._lock:
            self._sent.pop(slot, None)
            address = self._address
        if address is None or self._is_closed:
            return
        # By a connection of its own: those that are kept would start a server that has gone.
        with suppress(LinewiseError, LostConnectionError):
            connection = Connection(address)
            try:
                connection.ask("DELETE", f"{wire.DOCUMENTS}/{quote(slot)}", silence=_FORGET_SECONDS)
            finally:
                connection.close()

    def close(self) -> None:
        """Hang up. The server lives on for others, and for a while for nobody."""
        with self._lock:
            self._is_closed = True
            free, self._free = self._free, []
        for connection in free:
            connection.close()

    def _remember(self, found: Mapping[Segment, tuple[int, ...]]) -> None:
        with self._lock:
            for segment, ids in found.items():
                if len(ids) <= _CACHED_TOKENS and segment not in self._ids:
                    self._ids[segment] = ids
                    self._ids_size += len(ids)
            while self._ids_size > _CACHED_TOKENS:
                _, oldest = self._ids.popitem(last=False)
                self._ids_size -= len(oldest)

    def _stream(self, request: Request, cancel: CancelSignal | None) -> Generator[Token, None, None]:
        given = False
        try:
            for attempt in range(_ATTEMPTS):
                try:
                    for tokens in self._generate(request, cancel):
                        for token in tokens:
                            given = True
                            yield token
                    self._starter.went_well()
                    return
                except LostConnectionError as error:
                    self._forget_server()
                    if given:
                        raise ServerError(
                            "The model server ended in the middle of an answer; ask again."
                        ) from error
                    if attempt == _ATTEMPTS - 1:
                        raise _gone(error) from error
        except CancelledError:
            return

    def _generate(self, request: Request, cancel: CancelSignal | None) -> Iterator[list[Token]]:
        """One attempt: the tokens as they come. Raises LostConnectionError when the server goes."""
        connection = self._connection(cancel)
        try:
            while connection.begin("POST", wire.GENERATE, self._body(request), cancel=cancel) != 200:
                self._raise_or_forget(connection, request, cancel)
            rest = b""
            while part := connection.read(cancel):
                *lines, rest = (rest + part).split(b"\n")
                tokens: list[Token] = []
                for line in lines:
                    found = json.loads(line) if line else []
                    if isinstance(found, list):
                        tokens.extend(map(wire.token_in, found))
                        continue
                    yield tokens
                    if "error" in found:
                        raise wire.error_in(*found["error"])
                    # The end: the last bytes say nothing more, and the connection is free for the next.
                    connection.read(cancel)
                    return
                if cancel is not None and cancel.is_set():
                    return
                yield tokens
            raise LostConnectionError("the answer has no end")
        finally:
            self._give_back(connection)

    def _raise_or_forget(self, connection: Connection, request: Request, cancel: CancelSignal | None) -> None:
        """After a refusal: its error, unless only the prompt's beginning was unknown, which is mended."""
        answer = connection.rest(cancel)
        if answer.get("error", {}).get("code") != wire.UNKNOWN_PREFIX:
            raise _refusal(answer)
        with self._lock:
            self._sent.pop(request.slot, None)

    def _body(self, request: Request) -> dict[str, object]:
        """The request as it goes over the wire: of the prompt, only what the server has not."""
        sent = self._sent.get(request.slot) if request.slot else None
        count, names = 0, [wire.NO_SEGMENTS]
        if sent is not None:
            pairs = zip(sent.segments, request.prompt, strict=False)
            count = next(
                (place for place, (ours, theirs) in enumerate(pairs) if ours != theirs),
                min(len(sent.segments), len(request.prompt)),
            )
            names = list(sent.names[: count + 1])
        prefix = names[-1]
        if request.slot:
            for segment in request.prompt[count:]:
                names.append(wire.longer(names[-1], segment))
            with self._lock:
                self._sent[request.slot] = _Sent(request.prompt, tuple(names))
                self._sent.move_to_end(request.slot)
                while len(self._sent) > _REMEMBERED_PROMPTS:
                    self._sent.popitem(last=False)
        return {
            "to": wire.peer(self._fingerprint),
            "slot": request.slot,
            "priority": request.priority,
            "prefix": prefix,
            "count": count,
            "rest": wire.segments_out(request.prompt[count:]),
            "sampling": wire.sampling_out(request.sampling),
            "healed": request.healed,
            "stop": request.stop,
            "forbidden": request.forbidden,
            "ids": request.ids,
        }

    def _tokenize(self, segments: Sequence[Segment]) -> list[tuple[int, ...]]:
        body = {"to": wire.peer(self._fingerprint), "segments": wire.segments_out(segments)}
        for _ in range(_ATTEMPTS):
            connection = self._connection(None)
            try:
                status, answer = connection.ask("POST", wire.TOKENIZE, body)
                if status != 200:
                    raise _refusal(answer)
            except LostConnectionError as error:
                lost = error
                connection.close()
                self._forget_server()
                continue
            finally:
                self._give_back(connection)
            return [tuple(ids) for ids in answer["ids"]]
        raise _gone(lost) from lost

    def _connection(self, cancel: CancelSignal | None) -> Connection:
        """A connection to the server, which is started if it has gone."""
        with self._lock:
            if self._is_closed:
                raise EngineError("The engine was closed: connect to the model server again to go on.")
            if self._free:
                return self._free.pop()
            address = self._address
        if address is not None:
            with suppress(LostConnectionError):
                return Connection(address)
        reached = self._reach(cancel)
        try:
            return Connection(reached.address)
        except LostConnectionError as error:
            raise _gone(error) from error

    def _reach(self, cancel: CancelSignal | None) -> Reached:
        reached = self._starter.reach(cancel)
        if reached.hello.get("fingerprint") != self._fingerprint:
            raise ModelError("The model file has changed: restart the language server to use the new one.")
        with self._lock:
            self._address = reached.address
            self._sent.clear()
        return reached

    def _forget_server(self) -> None:
        """Free connections most likely went with it, and whoever listens now is asked who it is."""
        with self._lock:
            free, self._free = self._free, []
            self._address = None
        for connection in free:
            connection.close()

    def _give_back(self, connection: Connection) -> None:
        """Keep a connection for the next request; one that was cut off in mid-answer ends its generation."""
        if connection.is_open:
            with self._lock:
                if not self._is_closed and len(self._free) <= self._info.lanes:
                    self._free.append(connection)
                    return
        connection.close()
        self._refill()

    def _refill(self) -> None:
        """Have a connection ready, so that the next request need not wait for one; it shows presence, too."""
        with self._lock:
            address = None if self._free or self._is_closed else self._address
        if address is None:
            return
        try:
            connection = Connection(address)
        except LostConnectionError:
            return
        with self._lock:
            if not self._is_closed and self._address == address:
                self._free.append(connection)
                return
        connection.close()


def _refusal(answer: Mapping[str, Any]) -> EngineError | LostConnectionError:
    """What an answer says whose status is not 200."""
    error = answer.get("error", {})
    if error.get("code") == wire.OTHER_SERVER:
        return LostConnectionError("another server has taken its place")
    return wire.error_in(str(error.get("code")), str(error.get("message")))


def _most_tokens(segment: Segment) -> int:
    return 1 if segment.special else len(segment.text.encode("utf-8", "surrogatepass")) + 1


def _gone(error: LostConnectionError) -> ServerError:
    return ServerError(f"The model server keeps ending ({error}); see `linewise serve logs`.")
