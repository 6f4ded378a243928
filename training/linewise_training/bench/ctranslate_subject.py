"""A CTranslate2 folder to be measured; it must have the tokenizer.json that `models convert` puts there."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from linewise.engines.cores import default_threads
from linewise.engines.scoring import log_softmax_at
from linewise.errors import ModelError
from linewise.installation import install_extra


class CTranslateSubject:
    """One model folder in this process; see `linewise_training.bench.measurement.Subject`."""

    def __init__(self, path: Path, context: int) -> None:
        """Serve at most `context` tokens. Raises ModelError for a folder that cannot be loaded."""
        try:
            import ctranslate2  # noqa: PLC0415
            from tokenizers import Tokenizer  # noqa: PLC0415
        except ImportError as error:
            raise ModelError(
                f"{path} needs {error.name}; install it with: {install_extra('ctranslate2,training')}"
            ) from error
        self._library = ctranslate2
        ctranslate2.set_log_level(logging.ERROR)
        try:
            self._tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
            self._words = json.loads((path / "vocabulary.json").read_text(encoding="utf-8"))
            threads = default_threads().reading
            self._generator = ctranslate2.Generator(str(path), device="cpu", intra_threads=threads)
        except Exception as error:  # tokenizers raises nothing narrower
            raise ModelError(
                f"{path} cannot be loaded as a CTranslate2 model ({error}): convert it again."
            ) from error
        self._tokenizer.encode_special_tokens = True
        self.context = context

    @property
    def begin(self) -> list[int]:
        """The begin token, if texts begin with one."""
        return list(self._tokenizer.encode("").ids)

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def byte_counts(self, ids: Sequence[int]) -> int:
        """How many bytes of text the tokens stand for; a character cut in two at an end counts as three."""
        return len(self._tokenizer.decode(list(ids), skip_special_tokens=False).encode())

    def read(self, prompt: Sequence[int]) -> None:
        """Read `prompt` from an empty cache, and generate one token."""
        self._run(prompt, 1)

    def generate(self, prompt: Sequence[int], count: int) -> float:
        """Seconds for `count` tokens after the first: a generation's time, less that of its first token."""
        started = time.perf_counter()
        self._run(prompt, 1)
        first = time.perf_counter() - started
        started = time.perf_counter()
        self._run(prompt, count + 1)
        return max(time.perf_counter() - started - first, 1e-9)

    def logprobs(self, ids: Sequence[int]) -> NDArray[np.float64]:
        """Natural log-probability of each of `ids[1:]`."""
        view = self._library.StorageView
        tokens = view.from_array(np.array([ids], dtype=np.int32))
        lengths = view.from_array(np.array([len(ids)], dtype=np.int32))
        logits = np.array(self._generator.forward_batch(tokens, lengths))[0]
        return log_softmax_at(logits[:-1], np.array(ids[1:], dtype=np.intp))

    def _run(self, prompt: Sequence[int], count: int) -> None:
        self._generator.generate_batch(
            [[self._words[id_] for id_ in prompt]],
            min_length=count,
            max_length=count,
            sampling_topk=1,
            include_prompt_in_result=False,
        )
