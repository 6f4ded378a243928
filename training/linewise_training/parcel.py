"""A run folder in parts of a few megabytes, for a machine that is reached by small files, and back.

    linewise train pack runs/mine --out parts                # plans, tokens, checkpoints: what training needs
    python -m linewise_training.parcel unpack parts run      # there; needs Python alone
    python -m linewise_training.stage run/pretrain run/sft --minutes 9
    python -m linewise_training.parcel pack run --out back --trained
    linewise train unpack back runs/mine                     # here: checkpoints, models, losses

A parcel is a compressed tar file cut in parts, with their checksums in `parcel.json`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, cast

from linewise.errors import LinewiseError

MEBIBYTE = 1 << 20
_MANIFEST = "parcel.json"
_STAGES = ("pretrain", "sft")
_NEEDED = ("plan.json", "begun.json", "tokens", "validation", "tokenizer", "model", "result.json")
_TRAINED = ("plan.json", "begun.json", "model", "result.json", "losses.jsonl", "tensorboard")


def pack(run: Path, out: Path, *, trained: bool = False, part_bytes: int = 16 * MEBIBYTE) -> list[Path]:
    """Write what training needs of a run folder, or with `trained` what it gave, in parts of `part_bytes`.

    Returns the parts. Raises LinewiseError where the run has no prepared stage, or `out` a parcel already.
    """
    chosen = list(_chosen(run, trained=trained))
    if not chosen:
        raise LinewiseError(
            f"{run} has no prepared stage; make it with `linewise train run RECIPE --out {run} --prepare`"
        )
    if (out / _MANIFEST).exists():
        raise LinewiseError(f"{out} holds a parcel already; name another folder with --out, or remove it")
    out.mkdir(parents=True, exist_ok=True)
    parts = _Parts(out, part_bytes)
    with tarfile.open(fileobj=cast(IO[bytes], parts), mode="w|xz", bufsize=MEBIBYTE) as tar:
        for path in chosen:
            tar.add(path, arcname=path.relative_to(run).as_posix(), recursive=False)
    told = [
        {"name": path.name, "bytes": path.stat().st_size, "sha256": _digest(path)} for path in parts.paths
    ]
    (out / _MANIFEST).write_text(json.dumps({"parts": told}, indent=2) + "\n", encoding="utf-8")
    return parts.paths


def unpack(parcel: Path, run: Path) -> list[Path]:
    """Put a parcel's files into a run folder, in place of those that it has; returns them.

    Raises LinewiseError for a part that is missing or damaged, before anything is written, and for a parcel
    that is made for another plan of a stage.
    """
    try:
        parts = json.loads((parcel / _MANIFEST).read_text(encoding="utf-8"))["parts"]
        named = [(parcel / PurePosixPath(part["name"]).name, part["sha256"]) for part in parts]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LinewiseError(
            f"{parcel} is no parcel ({_MANIFEST}: {error}); `linewise train pack` makes one"
        ) from error
    for path, digest in named:
        if not path.is_file() or _digest(path) != digest:
            raise LinewiseError(f"{path} is missing or damaged; bring it again")
    written: list[Path] = []
    joined = cast(IO[bytes], _Joined([path for path, _ in named]))
    with tarfile.open(fileobj=joined, mode="r|xz", bufsize=MEBIBYTE) as tar:
        for member in tar:
            target = _target(run, member)
            content = tar.extractfile(member)
            if target is None or content is None:
                raise LinewiseError(
                    f"{parcel} holds {member.name!r}, which no run folder has; make the parcel again"
                )
            data = content.read()
            if target.name == "begun.json" and target.is_file() and target.read_bytes() != data:
                raise LinewiseError(
                    f"{target.parent} was prepared with other settings than {parcel}; name another folder"
                )
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            written.append(target)
    return written


def _chosen(run: Path, *, trained: bool) -> Iterator[Path]:
    """The files to pack; `begun.json` of each stage first, by which `unpack` knows the run."""
    if not trained:
        yield from sorted(path for path in (run / "tokenizer").glob("tokenizer*.json"))
    for stage in _STAGES:
        folder = run / stage
        if not (folder / "plan.json").is_file():
            continue
        names = set(_TRAINED if trained else _NEEDED)
        if not (folder / "result.json").is_file():
            checkpoints = sorted(folder.glob("checkpoint-*"), key=lambda path: path.stat().st_mtime)
            names |= {"cycles", *(path.name for path in checkpoints[-1:])}
        paths = [
            path
            for path in folder.rglob("*")
            if path.is_file() and path.relative_to(folder).parts[0] in names
        ]
        yield from sorted(paths, key=lambda path: (path.name != "begun.json", path))


def _target(run: Path, member: tarfile.TarInfo) -> Path | None:
    path = PurePosixPath(member.name)
    if not member.isfile() or path.is_absolute() or ".." in path.parts:
        return None
    return run.joinpath(*path.parts)


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(MEBIBYTE):
            digest.update(block)
    return digest.hexdigest()


class _Parts:
    """A file to write that is cut into parts of a size."""

    def __init__(self, folder: Path, part_bytes: int) -> None:
        self.paths: list[Path] = []
        self._folder = folder
        self._part_bytes = part_bytes
        self._left = 0

    def write(self, data: bytes) -> int:
        """Append `data`, to a new part where the last is full."""
        view = memoryview(data)
        while view:
            if not self._left:
                self.paths.append(self._folder / f"part-{len(self.paths):03d}")
                self._left = self._part_bytes
            with self.paths[-1].open("ab") as part:
                written = part.write(view[: self._left])
            self._left -= written
            view = view[written:]
        return len(data)


class _Joined:
    """Several files to read as one."""

    def __init__(self, paths: list[Path]) -> None:
        self._chunks = (path.read_bytes() for path in paths)  # a part is small
        self._left = b""

    def read(self, size: int) -> bytes:
        """The next `size` bytes, fewer at the end."""
        while len(self._left) < size and (chunk := next(self._chunks, b"")):
            self._left += chunk
        data, self._left = self._left[:size], self._left[size:]
        return data


def main() -> int:
    """Pack a run folder, or unpack one, where Linewise is not installed."""
    parser = argparse.ArgumentParser(prog="python -m linewise_training.parcel", description=main.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack")
    packing.add_argument("run", type=Path)
    packing.add_argument("--out", type=Path, required=True)
    packing.add_argument("--trained", action="store_true")
    packing.add_argument("--part-mib", type=int, default=16)
    unpacking = commands.add_parser("unpack")
    unpacking.add_argument("parcel", type=Path)
    unpacking.add_argument("run", type=Path)
    told = parser.parse_args()
    try:
        if told.command == "pack":
            made = pack(told.run, told.out, trained=told.trained, part_bytes=told.part_mib * MEBIBYTE)
        else:
            made = unpack(told.parcel, told.run)
    except (LinewiseError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{len(made)} {'parts' if told.command == 'pack' else 'files'}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
