"""An engine that says what a test wants, and a server process around it.

    python scripted_engine.py --model FILE --key KEY    # the file need only be there

Its tokens are characters. A prompt's last segment is a script: `say TEXT` generates TEXT; `count N` generates
"0 1 2 ... " with N numbers, one every millisecond, until it is cancelled; `fail TEXT` fails after one token;
`die` ends the process like a crash would.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from linewise.engines.protocol import CancelSignal, FimTokens, ModelInfo, Request, Segment, Token
from linewise.errors import BusyError, EngineError

FIM = FimTokens("<|pre|>", "<|suf|>", "<|mid|>")


class ScriptedEngine:
    """Implements Engine; `seen` are the requests it got, `cancelled` those that were ended from outside."""

    def __init__(self, fim: FimTokens | None = None, begin: str = "", context_length: int = 4096) -> None:
        self.info = ModelInfo(
            "scripted", "script", context_length, 256, 7, 8, "edit-log/1", {"a": "b"}, fim, begin, 4
        )
        self.seen: list[Request] = []
        self.cancelled: list[Request] = []
        self.tokenized: list[str] = []

    def tokenize(self, segments: Sequence[Segment]) -> tuple[int, ...]:
        ids: list[int] = []
        for segment in segments:
            self.tokenized.append(segment.text)
            if segment.special and segment.text in {"<|none|>"}:
                raise EngineError(f"no special token {segment.text!r}")
            ids += [0] if segment.special else [ord(character) for character in segment.text]
        return tuple(ids)

    def stream(self, request: Request, cancel: CancelSignal | None = None) -> Iterator[Token]:
        self.seen.append(request)
        if not (request.prompt or request.ids):
            raise EngineError("The prompt is empty.")
        return self._stream(request, cancel)

    def close(self) -> None:
        pass

    def _stream(self, request: Request, cancel: CancelSignal | None) -> Iterator[Token]:
        script = next((s.text for s in reversed(request.prompt) if not s.special), "")
        verb, _, rest = script.partition(" ")
        if verb == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if verb == "busy":
            raise BusyError("Too many wait.")
        text = rest
        if verb == "count":
            text = "".join(f"{number} " for number in range(int(rest)))
        try:
            for token in self._tokens(verb, text[: request.sampling.max_tokens], cancel):
                others = ((token.text, token.logprob), ("?", -3.0), ("?", -4.0))
                yield replace(token, alternatives=others[: request.sampling.alternatives])
        except GeneratorExit:
            self.cancelled.append(request)
            raise

    def _tokens(self, verb: str, text: str, cancel: CancelSignal | None) -> Iterator[Token]:
        for place, character in enumerate(text):
            if cancel is not None and cancel.is_set():
                return
            if verb == "count":
                time.sleep(0.001)
            if verb == "fail" and place == 1:
                raise EngineError(text)
            yield Token(ord(character), character, -0.1 * (place % 3), character == "$", None)


def main() -> None:
    from linewise.serving.place import place_named
    from linewise.serving.process import ServerOptions, serve_model

    model = Path(sys.argv[sys.argv.index("--model") + 1])
    with model.with_suffix(".starts").open("a") as starts:
        starts.write(f"{os.getpid()}\n")
    # Where the tests are killed, nothing else ends it.
    options = ServerOptions(idle_seconds=float(os.environ.get("SCRIPTED_IDLE", "120")))
    serve_model(model, place_named(sys.argv[sys.argv.index("--key") + 1]), ScriptedEngine, options)


if __name__ == "__main__":
    main()
