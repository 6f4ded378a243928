"""The `corpus` command: write files.jsonl, pairs.jsonl and manifest.json from local code."""

from __future__ import annotations

import ast
import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

import click

from linewise.errors import LinewiseError
from linewise_training.corpus import origins
from linewise_training.corpus.harvest import Harvest, Skipped, SourceFile
from linewise_training.corpus.origins import Origin
from linewise_training.corpus.overlap import Decontaminator
from linewise_training.corpus.pairs import Pair, function_pairs
from linewise_training.corpus.problem_sets import benchmark_items, leetcode_pairs, mbpp_pairs

_PATH = click.Path(path_type=Path)
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


class CorpusWriter:
    """Writes files and pairs as they come, dropping repeated and contaminated ones, and counts everything."""

    def __init__(self, files: TextIO, pairs: TextIO, benchmark: Decontaminator, limit: int | None) -> None:
        self._files = files
        self._pairs = pairs
        self._benchmark = benchmark
        self._limit = limit
        self._programs: set[str] = set()
        self.counts: dict[str, Counter[str]] = {
            name: Counter()
            for name in (
                "files_by_origin", "files_by_licence", "files_skipped",
                "pairs_by_origin", "pairs_by_licence", "pairs_skipped",
            )
        }  # fmt: skip
        self.characters = 0

    @property
    def full(self) -> bool:
        """Whether the limit of files is reached."""
        return self._limit is not None and self.counts["files_by_origin"].total() >= self._limit

    def add_file(self, file: SourceFile | Skipped) -> None:
        """Write a file and its pairs, or count why not."""
        if isinstance(file, Skipped):
            self.counts["files_skipped"][file.reason] += 1
            return
        tree = ast.parse(file.text)
        if self._benchmark.file_contaminated(file.text, tree):
            self.counts["files_skipped"]["contaminated"] += 1
            return
        self._files.write(json.dumps(asdict(file), ensure_ascii=False) + "\n")
        self.counts["files_by_origin"][file.origin] += 1
        self.counts["files_by_licence"][file.licence] += 1
        self.characters += len(file.text)
        for pair in function_pairs(file, tree):
            self.add_pair(pair)

    def add_pair(self, pair: Pair | None) -> None:
        """Write a pair, or count why not."""
        if pair is None:
            self.counts["pairs_skipped"]["unusable"] += 1
        elif pair.program in self._programs:
            self.counts["pairs_skipped"]["duplicate"] += 1
        elif self._benchmark.contaminated(pair.program):
            self.counts["pairs_skipped"]["contaminated"] += 1
        else:
            self._programs.add(pair.program)
            self._pairs.write(json.dumps(asdict(pair), ensure_ascii=False) + "\n")
            self.counts["pairs_by_origin"][pair.origin] += 1
            self.counts["pairs_by_licence"][pair.licence] += 1

    def manifest(self) -> dict[str, object]:
        """What was written and what was left out, by reason."""
        return {
            "files": self.counts["files_by_origin"].total(),
            "characters": self.characters,
            "pairs": self.counts["pairs_by_origin"].total(),
            "benchmark_texts": len(self._benchmark),
            **{name: dict(counter.most_common()) for name, counter in self.counts.items()},
        }


def chosen_origins(
    pythons: tuple[str, ...],
    *,
    stdlib: bool,
    packages: bool,
    names: tuple[str, ...],
    folders: tuple[Path, ...],
    licence: str | None,
) -> Iterator[Origin]:
    """The origins that the options name; a package found in two places is taken from the first."""
    taken: set[str] = set()
    wanted = {origins.normalised(name) for name in names}
    libraries: set[Path] = set()
    for executable in pythons or (sys.executable,):
        if not (stdlib or packages or wanted):
            break
        python = origins.interpreter(executable)
        if stdlib and python.stdlib.resolve() not in libraries:
            libraries.add(python.stdlib.resolve())
            yield origins.standard_library(python)
        if packages or wanted:
            for site_packages in python.site_packages:
                chosen = frozenset() if packages else frozenset(wanted)
                for origin in origins.packages(site_packages, chosen):
                    if origin.name not in taken:
                        taken.add(origin.name)
                        yield origin
    if wanted - taken:
        raise LinewiseError(
            f"not installed: {', '.join(sorted(wanted - taken))}; check --package and --python"
        )
    for path in folders:
        yield origins.folder(path, licence)


@click.command("corpus")
@click.option(
    "--out", type=_PATH, required=True, help="Folder to write files.jsonl, pairs.jsonl, manifest.json."
)
@click.option("--stdlib", is_flag=True, help="Take the standard library.")
@click.option("--packages", is_flag=True, help="Take every installed package with a permissive licence.")
@click.option("--package", "names", multiple=True, help="Take this installed package.")
@click.option(
    "--python", "pythons", multiple=True, help="Python executable whose code is taken (default: this one)."
)
@click.option("--folder", "folders", type=_PATH, multiple=True, help="Take the Python files of a folder.")
@click.option("--licence", help="SPDX licence of the folders, where they have no licence file.")
@click.option("--tests", is_flag=True, help="Take test files, too.")
@click.option("--mbpp", type=_FILE, help="MBPP in JSONL: pairs of problems 601 to 974.")
@click.option("--leetcode", type=_FILE, help="LeetCodeDataset in JSONL: pairs of its solutions.")
@click.option(
    "--benchmark", "benchmarks", type=_FILE, multiple=True, help="Keep this benchmark's problems out."
)
@click.option("--limit", type=click.IntRange(min=1), help="Stop after this many files.")
def corpus_command(
    out: Path,
    stdlib: bool,
    packages: bool,
    names: tuple[str, ...],
    pythons: tuple[str, ...],
    folders: tuple[Path, ...],
    licence: str | None,
    tests: bool,
    mbpp: Path | None,
    leetcode: Path | None,
    benchmarks: tuple[Path, ...],
    limit: int | None,
) -> None:
    """Harvest local Python into training text with provenance."""
    try:
        benchmark = Decontaminator(item for path in benchmarks for item in benchmark_items(path))
        out.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            files = stack.enter_context((out / "files.jsonl").open("w", encoding="utf-8"))
            pairs = stack.enter_context((out / "pairs.jsonl").open("w", encoding="utf-8"))
            writer = CorpusWriter(files, pairs, benchmark, limit)
            for problem_pairs in (
                mbpp_pairs(mbpp) if mbpp else (),
                leetcode_pairs(leetcode) if leetcode else (),
            ):
                for pair in problem_pairs:
                    writer.add_pair(pair)
            harvest = Harvest(tests=tests)
            for origin in chosen_origins(
                pythons, stdlib=stdlib, packages=packages, names=names, folders=folders, licence=licence
            ):
                for file in harvest.walk(origin):
                    if writer.full:
                        break
                    writer.add_file(file)
        manifest = writer.manifest()
        (out / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    except (LinewiseError, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(
        f"{manifest['files']} files ({writer.characters / 1e6:.1f} MB) and {manifest['pairs']} pairs in {out}"
    )
