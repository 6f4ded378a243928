"""The cache of many token sequences in one llama.cpp context: a stream for each document used lately.

Each stream has cells of its own, so attention over a document costs what that document is long, whatever
else is open. A stream keeps the tokens that a generation shares with the one before it, from the first
token on: going back to any earlier place costs nothing. A prompt that begins like another stream's is copied
from there instead of being read.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from linewise.engines import llama_library
from linewise.engines.cache_slot import common_prefix
from linewise.engines.cores import Threads
from linewise.engines.llama_library import api
from linewise.engines.sampling import Logits
from linewise.errors import EngineError
from linewise.serving.pace import Pace
from linewise.serving.speculation import LONGEST_DRAFT, Odds
from linewise.serving.threads import ThreadChoice

CHUNK = 64
"""Tokens decoded at once: see `engines.cache_slot.CHUNK`."""

WORTH_COPYING = 64
"""Tokens: llama.cpp copies a stream whole, in about the time of reading this many (embedded model: 1 ms)."""

MOST_STRUCK = 512
"""Tokens taken back that a document keeps for drafts."""


@dataclass(eq=False)
class Stream:
    """One sequence: `tokens` are those whose keys and values the cache holds. `owner` is a document's name.

    `busy` while a generation uses it; `used` grows with each use, so the least is the one used longest ago.
    `struck` are tokens that were taken back in its document lately, `odds` how often guesses held there.
    """

    index: int
    owner: str = ""
    tokens: list[int] = field(default_factory=list)
    busy: bool = False
    used: int = 0
    struck: list[int] = field(default_factory=list)
    odds: Odds = field(default_factory=Odds)


@dataclass(frozen=True, slots=True)
class Piece:
    """Tokens to append to `stream`; logits are wanted after each (`every`), the last (`last`), or none."""

    stream: Stream
    tokens: Sequence[int]
    every: bool = False
    last: bool = True


class StreamCache:
    """`count` streams of `limit` tokens each. Use it from one thread.

    It does not own the model: close it before the model.
    """

    def __init__(
        self,
        model: int,
        vocabulary_size: int,
        *,
        count: int,
        limit: int,
        threads: Threads,
    ) -> None:
        """Raises EngineError where memory is short."""
        self.is_small = llama_library.is_small(model)
        """Whether streams gain little from being read together."""
        self._context = llama_library.open_context(
            model,
            tokens=-(-limit // 256) * 256 * count,
            chunk=CHUNK,
            threads=threads,
            sequences=count,
            flash_attention=not self.is_small,
        )
        self._threads = ThreadChoice(threads)
        self._memory = api.llama_get_memory(self._context)
        self._threads_set = 0  # llama.cpp logs each change, through a callback into Python
        self._batch = batch = api.llama_batch_init(CHUNK, 0, 1)
        # What ctypes makes anew whenever it is asked for.
        self._token, self._position, self._wanted = batch.token, batch.pos, batch.logits
        self._sequence = tuple(batch.seq_id[row] for row in range(CHUNK))
        self._logits = np.empty(vocabulary_size, np.float32)
        self._logits_address = self._logits.ctypes.data
        self._goes_back = not (api.llama_model_is_recurrent(model) or api.llama_model_is_hybrid(model))
        self._clock = 0
        self._before: tuple[Stream | None, int] = None, 0  # what was read last: one stream's, and how much
        self.pace = Pace()
        """What steps cost that read tokens of one stream alone, the one that was read before."""
        self._odds = Odds()
        self.streams = tuple(Stream(index, odds=Odds(self._odds)) for index in range(count))
        self.evicted = 0
        for row in range(CHUNK):
            batch.n_seq_id[row] = 1

    @property
    def goes_back(self) -> bool:
        """Whether a stream can be cut at any place: not so where the model keeps a running state."""
        return self._goes_back

    def shared(self, tokens: Sequence[int]) -> int:
        """How many leading tokens of `tokens` some stream holds."""
        return max(common_prefix(stream.tokens, tokens) for stream in self.streams)

    def take(self, owner: str, tokens: list[int]) -> Stream:
        """The stream on which `tokens` are to be read, now busy: what it holds is a part of their beginning.

        At least the last token is left to be read, because reading it gives the logits. There must be a
        stream that is not busy.
        """
        self._clock += 1
        most = len(tokens) - 1
        own = self._of(owner)
        if own is not None and common_prefix(own.tokens, tokens) + WORTH_COPYING > most:
            target, source = own, own
        else:
            shared = {stream: common_prefix(stream.tokens, tokens) for stream in self.streams}
            target = own or self._victim(shared)
            source = max(self.streams, key=lambda stream: self._copied(stream, shared[stream], most))
            if self._copied(source, shared[source], most) < shared[target] + WORTH_COPYING:
                source = target
        if target is own:
            stays = common_prefix(target.tokens, tokens)
            if stays < len(target.tokens):
                # With the last token that stays: a draft is found by the tokens before it.
                struck = target.tokens[max(0, stays - 1) :]
                target.struck = [*struck, *target.struck][:MOST_STRUCK]
        else:  # nothing of the document before is kept, not even for drafts
            target.struck, target.odds = [], Odds(self._odds)
            # A second generation of a document has a stream that is nobody's.
            target.owner = "" if any(one.owner == owner for one in self.streams) else owner
        if source is not target:
            self._copy(source, target)
        target.busy, target.used = True, self._clock
        self.cut(target, min(common_prefix(target.tokens, tokens), most))
        return target

    def give_back(self, stream: Stream) -> None:
        """The generation on `stream` is over; what it holds is kept for the next one."""
        stream.busy = False

    def forget(self, owner: str) -> None:
        """A document was closed: its stream is free, and empty unless a generation is still using it."""
        for stream in self.streams:
            if owner and stream.owner == owner:
                stream.owner = ""
                if not stream.busy:
                    self.cut(stream, 0)

    def cut(self, stream: Stream, length: int) -> None:
        """Keep the first `length` tokens of `stream`, or none where the model cannot go back."""
        if length == len(stream.tokens):
            return
        if length and not api.llama_memory_seq_rm(self._memory, stream.index, length, -1):
            length = 0
        if not length:
            api.llama_memory_seq_rm(self._memory, stream.index, -1, -1)
        del stream.tokens[length:]

    def decode(self, pieces: Sequence[Piece]) -> None:
        """Read `pieces`, at most CHUNK tokens in all, each of another stream.

        Raises EngineError when llama.cpp fails; then the streams of `pieces` are empty.
        """
        row = 0
        for piece in pieces:
            stream, start, end = piece.stream, len(piece.stream.tokens), len(piece.tokens) - 1
            for place, token in enumerate(piece.tokens):
                self._token[row] = token
                self._position[row] = start + place
                self._sequence[row][0] = stream.index
                self._wanted[row] = piece.every or (piece.last and place == end)
                row += 1
        self._batch.n_tokens = row
        is_draft = len(pieces) == 1 and 1 < row <= LONGEST_DRAFT + 1
        # What is quicker for one token is for few more; a trial for each number would cost what drafts gain.
        like = 1 if is_draft else row
        threads, is_usual = self._threads.choose(like), not self._threads.is_trying(like)
        if threads != self._threads_set:
            api.llama_set_n_threads(self._context, threads, threads)
            self._threads_set = threads
        began = time.perf_counter()
        try:
            llama_library.decode(self._context, self._batch)
        except EngineError:
            # Which of the tokens made it into the cache is unknown, so none is trusted.
            for piece in pieces:
                api.llama_memory_seq_rm(self._memory, piece.stream.index, -1, -1)
                piece.stream.tokens.clear()
            raise
        seconds = time.perf_counter() - began
        if not is_draft:
            self._threads.saw(row, seconds)
        stream_before, rows_before = self._before
        is_single = row == 1 or (is_draft and pieces[0].every)  # typed text has logits for one token
        if is_usual and is_single and pieces[0].stream is stream_before:
            cached = len(pieces[0].stream.tokens)
            self.pace.saw_step(cached, row, seconds, like_before=row == rows_before)
        self._before = (pieces[0].stream, row) if len(pieces) == 1 else (None, 0)
        for piece in pieces:
            piece.stream.tokens.extend(piece.tokens)

    def logits(self, row: int) -> Logits:
        """The logits of `row` of what was decoded last, until the next call; they may be written to."""
        pointer = api.llama_get_logits_ith(self._context, row)
        if not pointer:
            raise EngineError("The model gives no next-token scores: it is not a model that generates text.")
        ctypes.memmove(self._logits_address, pointer, self._logits.nbytes)
        return self._logits

    def close(self) -> None:
        """Free the context."""
        api.llama_batch_free(self._batch)
        api.llama_free(self._context)

    def _of(self, owner: str) -> Stream | None:
        """The document's own stream, unless a generation is using it."""
        if not owner:
            return None
        return next((one for one in self.streams if one.owner == owner and not one.busy), None)

    def _victim(self, shared: dict[Stream, int]) -> Stream:
        """The stream to use for a document that has none."""
        free = [stream for stream in self.streams if not stream.busy]
        # What nobody owns may simply go on where it begins in the same way.
        ours = max((one for one in free if not one.owner), key=lambda one: shared[one], default=None)
        if ours is not None and shared[ours] >= WORTH_COPYING:
            return ours
        # A document may be typed in again; what nobody owns rather not.
        victim = min(free, key=lambda one: (bool(one.tokens), bool(one.owner), one.used, one.index))
        self.evicted += bool(victim.owner and victim.tokens)
        return victim

    def _copied(self, stream: Stream, shared: int, most: int) -> int:
        """How many tokens a copy of `stream` would save to read."""
        if not self._goes_back and (shared < len(stream.tokens) or shared > most):
            return 0
        return min(shared, most)

    def _copy(self, source: Stream, target: Stream) -> None:
        self.cut(target, 0)
        api.llama_memory_seq_cp(self._memory, source.index, target.index, -1, -1)
        target.tokens = list(source.tokens)
