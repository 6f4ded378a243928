"""The `corpus` command: write files.jsonl, pairs.jsonl, histories.jsonl and manifest.json from local code."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path

import click

from linewise.errors import LinewiseError, told
from linewise_training.corpus import origins
from linewise_training.corpus.archives import archive, archive_files, package_of
from linewise_training.corpus.decontaminate import BENCHMARKS, file_digest
from linewise_training.corpus.git import Repository
from linewise_training.corpus.harvest import Harvest, Skipped
from linewise_training.corpus.histories import MAX_COMMITS, HistoryHarvest
from linewise_training.corpus.instructions import instruction_pairs
from linewise_training.corpus.origins import Origin
from linewise_training.corpus.overlap import Decontaminator
from linewise_training.corpus.problem_sets import (
    benchmark_problems,
    leetcode_pairs,
    mbpp_pairs,
    wording,
)
from linewise_training.corpus.writer import CorpusWriter
from linewise_training.jsonl import read_rows

_PATH = click.Path(path_type=Path)
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


def chosen_origins(
    pythons: tuple[str, ...],
    *,
    stdlib: bool,
    packages: bool,
    names: tuple[str, ...],
    taken: set[str],
) -> Iterator[Origin]:
    """The origins that the options name; a package found in two places is taken from the first.

    None whose name is in `taken`, to which those that are given are added.
    """
    present: set[str] = set()
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
                    present.add(origin.name)
                    if origin.name not in taken:
                        taken.add(origin.name)
                        yield origin
    if wanted - present:
        raise LinewiseError(
            f"not installed: {', '.join(sorted(wanted - present))}; check --package and --python"
        )


def _parts(corpora: tuple[Path, ...], out: Path) -> tuple[set[str], set[bytes]]:
    """The packages in other corpora than `out`, and the hashes of their files' texts."""
    packages, hashes = set(), set()
    for corpus in corpora:
        if out.exists() and corpus.samefile(out):
            raise LinewiseError(
                f"--out and --beside both name {out}, which would be lost; name another --out"
            )
        for number, row in read_rows(corpus / "files.jsonl"):
            try:
                packages.add(package_of(row["origin"]))
                hashes.add(bytes.fromhex(row["sha256"]))
            except (KeyError, TypeError, AttributeError, ValueError) as error:
                raise LinewiseError(
                    f"line {number} of {corpus / 'files.jsonl'} is no file of a corpus; name a folder that "
                    "`linewise train corpus` wrote with --beside"
                ) from error
    return packages, hashes


def _archive_origins(
    writer: CorpusWriter,
    paths: tuple[Path, ...],
    licence: str | None,
    taken: set[str],
    refused: list[str],
) -> Iterator[Origin]:
    """The origins in archives, one in memory at a time; one that cannot be read is left out, and named.

    Packages in `taken` are passed over, and those that are given are added to it. What is left out though it
    was asked for by name, not by its folder's, goes into `refused`.
    """
    for path in archive_files(paths):
        if path.suffix == ".whl" and package_of(path.name) in taken:
            continue
        try:
            origin = archive(path, licence)
        except LinewiseError as error:
            click.echo(f"An archive is left out: {error}", err=True)
            refused += [str(path)] if path in paths else []
            writer.add_file(Skipped(str(path), path.name, "unreadable archive"))
            continue
        if package_of(origin.name) not in taken:
            taken.add(package_of(origin.name))
            yield origin


def _add_files(writer: CorpusWriter, harvest: Harvest, chosen: Iterable[Origin]) -> None:
    """Add the files of origins, until there are as many as are asked for."""
    for origin in chosen:
        for file in harvest.walk(origin):
            if writer.full:
                return
            writer.add_file(file)
        if writer.full:
            return


def _add_histories(
    writer: CorpusWriter,
    past: HistoryHarvest,
    repository: Repository,
    origin: Origin,
) -> None:
    """Add a repository's histories; where git fails on the way, the rest of them is left out, and named."""
    try:
        for history in past.walk(repository, origin):
            writer.add_history(history)
    except LinewiseError as error:
        click.echo(f"The rest of a history is left out: {error}", err=True)
        writer.add_history(Skipped(str(repository.path), origin.name, "git failed"))


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
@click.option(
    "--archive",
    "archives",
    type=click.Path(path_type=Path, exists=True),
    multiple=True,
    help="Take a wheel, a source distribution or a Debian package, or all of those in a folder.",
)
@click.option(
    "--repository",
    "repositories",
    type=_PATH,
    multiple=True,
    help="Take a git repository: its files at HEAD, and how they changed, as histories.jsonl.",
)
@click.option(
    "--commits",
    type=click.IntRange(min=0),
    default=MAX_COMMITS,
    show_default=True,
    help="How many of a repository's newest commits to read.",
)
@click.option(
    "--licence",
    help="SPDX licence of folders, archives, repositories and instructions that do not say theirs.",
)
@click.option("--tests", is_flag=True, help="Take test files, too.")
@click.option("--mbpp", type=_FILE, help="MBPP in JSONL: pairs of problems 601 to 974.")
@click.option("--leetcode", type=_FILE, help="LeetCodeDataset in JSONL: pairs of its solutions.")
@click.option(
    "--instructions",
    type=_FILE,
    multiple=True,
    help="JSONL of instruction and response: pairs of the responses' code, without prose and Markdown.",
)
@click.option("--keep-near-duplicates", is_flag=True, help="Drop only what repeats an earlier text exactly.")
@click.option(
    "--benchmark", "benchmarks", type=_FILE, multiple=True, help="Keep this benchmark's problems out."
)
@click.option(
    "--beside",
    "others",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    multiple=True,
    help="Take no package and no file that is in this corpus: the next part of a large one.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Stop after this many files.")
@click.option("--overwrite", is_flag=True, help="Write over the corpus that is in --out.")
def corpus_command(
    out: Path,
    stdlib: bool,
    packages: bool,
    names: tuple[str, ...],
    pythons: tuple[str, ...],
    folders: tuple[Path, ...],
    archives: tuple[Path, ...],
    repositories: tuple[Path, ...],
    commits: int,
    licence: str | None,
    tests: bool,
    mbpp: Path | None,
    leetcode: Path | None,
    instructions: tuple[Path, ...],
    keep_near_duplicates: bool,
    benchmarks: tuple[Path, ...],
    others: tuple[Path, ...],
    limit: int | None,
    overwrite: bool,
) -> None:
    """Harvest local Python into training text with provenance."""
    if not (
        stdlib or packages or names or folders or archives or repositories or mbpp or leetcode or instructions
    ):
        raise click.UsageError("there is nothing to take; name a source, such as --stdlib or --folder DIR")
    if (out / "manifest.json").exists() and not overwrite:
        raise click.ClickException(f"{out} holds a corpus; name another --out, or write over it: --overwrite")
    try:
        problems = [problem for path in benchmarks for problem in benchmark_problems(path)]
        benchmark = Decontaminator(code for _, code in problems)
        asked = Decontaminator(wording(row) for row, _ in problems)
        with ExitStack() as stack:
            opened = [stack.enter_context(Repository(path)) for path in repositories]
            heads = list(zip(opened, origins.repositories(opened, licence), strict=True))
            named_folders = [origins.folder(path, licence) for path in folders]
            taken, seen = _parts(others, out)
            out.mkdir(parents=True, exist_ok=True)
            # A run that fails must not leave the word of an earlier one on data that are not its own.
            (out / "manifest.json").unlink(missing_ok=True)
            files = stack.enter_context((out / "files.jsonl").open("w", encoding="utf-8"))
            pairs = stack.enter_context((out / "pairs.jsonl").open("w", encoding="utf-8"))
            histories = (
                stack.enter_context((out / "histories.jsonl").open("w", encoding="utf-8"))
                if repositories
                else None
            )
            near = not keep_near_duplicates
            writer = CorpusWriter(files, pairs, histories, benchmark, limit, near=near, asked=asked)
            for problem_pairs in (
                mbpp_pairs(mbpp) if mbpp else (),
                leetcode_pairs(leetcode) if leetcode else (),
                *(instruction_pairs(path, licence) for path in instructions),
            ):
                for pair in problem_pairs:
                    writer.add_pair(pair)
            harvest = Harvest(tests=tests, seen=seen)
            named = chosen_origins(pythons, stdlib=stdlib, packages=packages, names=names, taken=taken)
            refused: list[str] = []
            unpacked = _archive_origins(writer, archives, licence, taken, refused)
            past = HistoryHarvest(benchmark.file_contaminated, tests=tests, limit=commits)
            stopped = False
            try:
                _add_files(
                    writer, harvest, chain(named, named_folders, unpacked, (origin for _, origin in heads))
                )
                for repository, origin in heads:
                    _add_histories(writer, past, repository, origin)
            except KeyboardInterrupt:
                stopped = True
        kept_out = {path.name: file_digest(path) for path in benchmarks}
        manifest = {**writer.manifest(), BENCHMARKS: kept_out, **({"stopped": True} if stopped else {})}
        (out / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    except (LinewiseError, OSError) as error:
        raise click.ClickException(told(error)) from error
    click.echo(
        f"{manifest['files']} files ({writer.characters / 1e6:.1f} MB), {manifest['pairs']} pairs and "
        f"{manifest['histories']} histories ({manifest['history_edits']} edits) in {out}"
    )
    if refused:
        raise click.ClickException(f"the corpus is whole but for {', '.join(refused)}, which cannot be read")
    if stopped:
        click.echo(
            f"Stopped before the end. What is left goes into another folder, with --beside {out}.", err=True
        )
        raise SystemExit(130)
