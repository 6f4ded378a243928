"""The registry: models that the user added, copied into one folder or linked where they lie.

Reading needs no lock, since the index is replaced in one step. Whatever changes it holds a file lock, so
that two processes at once lose nothing. A copy becomes visible only when it is whole.

What this does not do: load a model. Which Format a file has is told by the caller.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from filelock import FileLock, Timeout

from linewise.errors import ModelError
from linewise.models.description import describe
from linewise.models.index import Index, ModelEntry, read_index, write_index

EMBEDDED = "embedded"
"""Name of the model that comes with Linewise; no other may have it."""

LOCK_SECONDS = 60.0

State = Literal["intact", "changed", "missing"]
Progress = Callable[[int], object]
"""Called with the number of bytes done since the last call."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_COPYING = ".copying-"
_CHUNK = 1 << 20
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def no_progress(count: int) -> None:
    """Tell nobody."""


def name_of(path: Path) -> str:
    """A model name made of `path`'s. Raises ModelError when nothing is left of it."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._")[:100]
    if not name:
        raise ModelError(f"No name can be made of {path.name!r}: give one with --name.")
    return name


def file_sha256(path: Path, progress: Progress = no_progress) -> str:
    """SHA-256 of the file at `path`, in hex. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            progress(len(chunk))
    return digest.hexdigest()


def quick_state(entry: ModelEntry) -> State:
    """Whether the file is the one that was added: by size and time, or else by checksum."""
    try:
        status = entry.path.stat()
        if status.st_size != entry.size_bytes:
            return "changed"
        if status.st_mtime_ns == entry.modified_ns:
            return "intact"
    except OSError:
        return "missing"
    return full_state(entry)


def full_state(entry: ModelEntry) -> State:
    """Whether the file is the one that was added, by its checksum."""
    try:
        return "intact" if file_sha256(entry.path) == entry.sha256 else "changed"
    except OSError:
        return "missing"


def served_path(entry: ModelEntry) -> Path:
    """Path of the model to load. Raises ModelError when it is not the file that was added."""
    state = quick_state(entry)
    if state == "intact":
        return entry.path
    what = "is not there any more" if state == "missing" else "is not the file that was added (its checksum)"
    raise ModelError(
        f"The model {entry.name!r} cannot be served: {entry.path} {what}. Get it again, then "
        f"`linewise models remove --force {entry.name}` and `linewise models add FILE`."
    )


class Registry:
    """The models in `folder`, which need not exist before the first is added."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def index(self) -> Index:
        """What is registered. Raises ModelError for a damaged index."""
        return read_index(self.folder)

    def entry(self, name: str) -> ModelEntry:
        """The model `name`. Raises ModelError, naming those that there are."""
        models = self.index().models
        if name not in models:
            raise ModelError(f"There is no model {name!r}: choose one of {', '.join((EMBEDDED, *models))}.")
        return models[name]

    def add(
        self,
        source: Path,
        name: str,
        *,
        form: str | None,
        link: bool = False,
        progress: Progress = no_progress,
    ) -> ModelEntry:
        """Register the GGUF file `source` as `name`, of the Format `form`.

        The file is copied, or with `link` left where it is. Raises ModelError for a name that is taken or is
        none, for a file that is not a whole model, and where there is no room.
        """
        if not _NAME.fullmatch(name):
            raise ModelError(
                f"{name!r} cannot be a model's name: use letters, digits, '.', '_' and '-', "
                "beginning with a letter or digit."
            )
        source = source.expanduser().absolute()
        licence = describe(source).licence
        with self._changing() as index:
            taken = next(
                (other for other in (EMBEDDED, *index.models) if other.lower() == name.lower()), None
            )
            if taken is not None:
                removal = "" if taken == EMBEDDED else f", or `linewise models remove {taken}` first"
                raise ModelError(f"There is a model {taken!r} already: choose another --name{removal}.")
            lay_there = (self.folder / f"{name}.gguf").exists()  # `source` itself, or it is refused
            path, sha256 = (
                (source, file_sha256(source, progress)) if link else self._copy(source, name, progress)
            )
            status = path.stat()
            entry = ModelEntry(
                name=name,
                path=path,
                linked=link,
                sha256=sha256,
                size_bytes=status.st_size,
                modified_ns=status.st_mtime_ns,
                format=form,
                licence=licence,
                added=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            )
            try:
                write_index(
                    self.folder, replace(index, models=MappingProxyType({**index.models, name: entry}))
                )
            except OSError:
                if not link and not lay_there:
                    path.unlink(missing_ok=True)
                raise
        return entry

    def use(self, name: str) -> None:
        """Serve `name` when nobody names a model. Raises ModelError when it is unknown or of no use."""
        if name != EMBEDDED:
            entry = self.entry(name)
            if entry.format is None:
                raise ModelError(
                    f"The model {name!r} cannot write in an editor: its file names no format of Linewise's "
                    "and has no fill-in-the-middle tokens."
                )
            served_path(entry)
        with self._changing() as index:
            if name != EMBEDDED and name not in index.models:
                raise ModelError(f"The model {name!r} was removed meanwhile: add it again.")
            write_index(self.folder, replace(index, default=None if name == EMBEDDED else name))

    def remove(self, name: str, *, force: bool = False) -> ModelEntry:
        """Forget `name`, and delete its file if it was copied; `force` removes the default one, too.

        Raises ModelError when it is unknown, or is the default.
        """
        if name == EMBEDDED:
            raise ModelError("The embedded model comes with Linewise and cannot be removed.")
        self.entry(name)
        with self._changing() as index:
            if name not in index.models:
                raise ModelError(f"The model {name!r} was removed meanwhile.")
            if index.default == name and not force:
                raise ModelError(
                    f"The model {name!r} is the one in use: `linewise models use {EMBEDDED}` "
                    "(or another) first."
                )
            rest = {key: entry for key, entry in index.models.items() if key != name}
            default = None if index.default == name else index.default
            # First the list: a file without an entry is only lost room, an entry without a file is an error.
            write_index(self.folder, Index(default, MappingProxyType(rest)))
            entry = index.models[name]
            if not entry.linked:
                try:
                    entry.path.unlink(missing_ok=True)
                except OSError as error:
                    raise ModelError(
                        f"The model {name!r} is out of the list, but its file {entry.path} cannot be deleted "
                        f"({error.strerror}): delete it when nothing uses it."
                    ) from error
        return entry

    @contextmanager
    def _changing(self) -> Iterator[Index]:
        """The index, while no other process can change it. Errors of the disk become ModelError."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / ".lock", timeout=LOCK_SECONDS):
                yield read_index(self.folder)
        except Timeout:
            raise ModelError(
                f"Another process has been changing the models in {self.folder} for "
                f"{LOCK_SECONDS:.0f} seconds: try again when it is done."
            ) from None
        except OSError as error:
            what = "there is no room left" if error.errno in _NO_ROOM else error.strerror
            raise ModelError(
                f"The models in {self.folder} cannot be changed: {what} ({error.filename or 'disk'}). "
                "Nothing was changed; make room or check the permissions."
            ) from error

    def _copy(self, source: Path, name: str, progress: Progress) -> tuple[Path, str]:
        """Copy `source` in; return where it lies, and its checksum. Call it with the lock held."""
        for left in self.folder.glob(f"{_COPYING}*"):  # of a process that was killed: we hold the lock
            left.unlink(missing_ok=True)
        target, copy = self.folder / f"{name}.gguf", self.folder / f"{_COPYING}{name}"
        if target.exists() and not target.samefile(source):
            raise ModelError(
                f"{target} lies there and is in no list: add it, delete it, or choose another --name."
            )
        digest = hashlib.sha256()
        try:
            with source.open("rb") as reader, copy.open("xb") as writer:
                while chunk := reader.read(_CHUNK):
                    writer.write(chunk)
                    digest.update(chunk)
                    progress(len(chunk))
                writer.flush()
                os.fsync(writer.fileno())
            describe(copy)  # the source may have changed while it was read
            copy.replace(target)
        finally:
            copy.unlink(missing_ok=True)
        return target, digest.hexdigest()
