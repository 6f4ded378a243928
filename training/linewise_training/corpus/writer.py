"""What goes into a corpus: writes the JSONL files, drops repeats and benchmark problems, counts both."""

from __future__ import annotations

import ast
import json
from collections import Counter
from dataclasses import asdict
from typing import TextIO

from linewise_training.corpus.harvest import Skipped, SourceFile, is_test, parsed
from linewise_training.corpus.histories import History
from linewise_training.corpus.near import NearDuplicates
from linewise_training.corpus.overlap import Decontaminator
from linewise_training.corpus.pairs import Pair, function_pairs, module_pair


class CorpusWriter:
    """Writes files, pairs and histories as they come, and counts everything.

    With `near`, files and programs of pairs that nearly repeat an earlier one are dropped, too. What is too
    like an item of `benchmark` is left out, and a pair whose instruction is too like one of `asked`.
    """

    def __init__(
        self,
        files: TextIO,
        pairs: TextIO,
        histories: TextIO | None,
        benchmark: Decontaminator,
        limit: int | None,
        *,
        near: bool = True,
        asked: Decontaminator | None = None,
    ) -> None:
        self._files = files
        self._pairs = pairs
        self._histories = histories
        self._benchmark = benchmark
        self._asked = asked or Decontaminator(())
        self._limit = limit
        self._near_files = NearDuplicates() if near else None
        self._near_programs = NearDuplicates() if near else None
        self._programs: set[str] = set()
        self.counts: dict[str, Counter[str]] = {
            f"{kind}_{what}": Counter()
            for kind in ("files", "pairs", "histories")
            for what in ("by_origin", "by_licence", "skipped")
        }
        self.characters = 0
        self._edits = 0

    @property
    def full(self) -> bool:
        """Whether the limit of files is reached."""
        return self._limit is not None and self.counts["files_by_origin"].total() >= self._limit

    def add_file(self, file: SourceFile | Skipped) -> None:
        """Write a file and its pairs, or count why not."""
        if isinstance(file, Skipped):
            self.counts["files_skipped"][file.reason] += 1
            return
        tree = parsed(file.text) or ast.parse(file.text)  # it parsed before, or this says why not
        if self._benchmark.file_contaminated(file.text, tree):
            self.counts["files_skipped"]["contaminated"] += 1
            return
        if self._near_files is not None and self._near_files.seen(file.text):
            self.counts["files_skipped"]["near duplicate"] += 1
            return
        _write(self._files, file)
        self._count("files", file.origin, file.licence)
        self.characters += len(file.text)
        if not is_test(file.path):
            for pair in function_pairs(file, tree):
                self.add_pair(pair)
            if (whole := module_pair(file, tree)) is not None:
                self.add_pair(whole)

    def add_pair(self, pair: Pair | str | None) -> None:
        """Write a pair, or count why not; a text is the reason why there is none."""
        if pair is None or isinstance(pair, str):
            self.counts["pairs_skipped"][pair or "unusable"] += 1
        elif pair.program in self._programs:
            self.counts["pairs_skipped"]["duplicate"] += 1
        elif self._benchmark.contaminated(pair.program) or self._asked.contaminated(pair.instruction):
            self.counts["pairs_skipped"]["contaminated"] += 1
        elif self._near_programs is not None and self._near_programs.seen(pair.program):
            self.counts["pairs_skipped"]["near duplicate"] += 1
        else:
            self._programs.add(pair.program)
            _write(self._pairs, pair)
            self._count("pairs", pair.origin, pair.licence)

    def add_history(self, history: History | Skipped) -> None:
        """Write a history, or count why not."""
        if isinstance(history, Skipped) or self._histories is None:
            reason = history.reason if isinstance(history, Skipped) else "not asked for"
            self.counts["histories_skipped"][reason] += 1
            return
        _write(self._histories, history)
        self._count("histories", history.origin, history.licence)
        self._edits += len(history.edits)

    def manifest(self) -> dict[str, object]:
        """What was written and what was left out, by reason."""
        return {
            "files": self.counts["files_by_origin"].total(),
            "characters": self.characters,
            "pairs": self.counts["pairs_by_origin"].total(),
            "histories": self.counts["histories_by_origin"].total(),
            "history_edits": self._edits,
            "benchmark_texts": len(self._benchmark),
            **{name: dict(counter.most_common()) for name, counter in self.counts.items()},
        }

    def _count(self, kind: str, origin: str, licence: str) -> None:
        self.counts[f"{kind}_by_origin"][origin] += 1
        self.counts[f"{kind}_by_licence"][licence] += 1


def _write(stream: TextIO, row: SourceFile | Pair | History) -> None:
    stream.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")
