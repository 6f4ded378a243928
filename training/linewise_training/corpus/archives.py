"""Read wheels, source distributions and Debian packages as origins of code: in memory, never unpacked or run.

An archive is read from its beginning to its end once, and only its Python, its licence files and its
metadata are kept. Name, version and licence come from inside: a wheel's METADATA, a source distribution's
PKG-INFO, a Debian package's control file and its machine-readable copyright file (see `debian`). An archive
without such metadata goes by its licence files, or by the licence that the caller names.
Memory: the Python of one archive, at most `MAX_KEPT`. Not covered: archives in archives, encrypted members.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import tarfile
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from email import message_from_string
from email.message import Message
from pathlib import Path, PurePosixPath
from typing import IO, cast

from linewise.errors import LinewiseError
from linewise_training.corpus import debian
from linewise_training.corpus.origins import (
    LICENCE_FILE,
    LicenceFiles,
    Origin,
    normalised,
    stated_licence,
)

MAX_MEMBER = 4_000_000
MAX_KEPT = 512_000_000
MAX_UNPACKED = 8_000_000_000
MAX_TRAILER = 16_000_000
_CHUNK = 1_000_000

_ENDINGS = (".whl", ".zip", ".deb", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_METADATA = frozenset(["METADATA", "PKG-INFO", "copyright"])
_DAMAGE = (OSError, EOFError, ValueError, NotImplementedError, RuntimeError, zlib.error, lzma.LZMAError,
           tarfile.TarError, zipfile.BadZipFile)  # fmt: skip


class MemoryTree:
    """Files held in memory; None stands for one that was too large to keep."""

    def __init__(self, files: dict[str, bytes | None]) -> None:
        self._files = files
        self._folders: dict[str, list[str]] = defaultdict(list)
        for path in sorted(files):
            place = PurePosixPath(path)
            self._folders[str(place.parent)].append(place.name)

    def names(self, folder: str) -> list[str]:
        """Names of the files directly in `folder`, in order."""
        return self._folders.get(folder, [])

    def read(self, path: str) -> bytes:
        """What a file holds. Raises OSError."""
        content = self._files.get(path)
        if content is None:
            raise OSError(f"{path} is not in the archive, or too large")
        return content


def archive_files(paths: Iterable[Path]) -> Iterator[Path]:
    """The archives that `paths` name: files, and those directly in a folder, the newest of a name first."""
    for path in paths:
        if path.is_dir():
            found = [file for file in path.iterdir() if file.name.lower().endswith(_ENDINGS)]
            yield from sorted(found, key=_by_version, reverse=True)
        else:
            yield path


def _by_version(path: Path) -> list[tuple[str, int]]:
    """A key by which 1.10 comes after 1.9."""
    return [(text, int(part or 0)) for text, part in re.findall(r"(\D*)(\d*)", path.name)]


def package_of(name: str) -> str:
    """The Python package's name (PEP 503) by that of a wheel's file, or of a Debian package."""
    name = name.split("-", maxsplit=1)[0] if name.endswith(".whl") else name
    return normalised(name).removeprefix("python3-")


def archive(path: Path, licence: str | None = None) -> Origin:
    """The Python of an archive; `licence` is that of an archive without metadata or a licence file.

    Raises LinewiseError for an archive that is damaged, too large, or of a kind that is not read.
    """
    try:
        return _debian(path) if path.name.lower().endswith(".deb") else _python(path, licence)
    except _DAMAGE as error:
        raise LinewiseError(
            f"{str(path)!r} cannot be read as an archive ({error}); fetch it again, or leave it out"
        ) from error


def _debian(path: Path) -> Origin:
    with path.open("rb") as stream:
        control, data = debian.parts(stream)
        fields = message_from_string(debian.control_file(control))
        files = _kept(_tar_members(data))
    package = str(fields["Package"] or path.name.split("_")[0])
    text = files.get(f"usr/share/doc/{package}/copyright")
    rules = debian.copyright_of(text.decode("utf-8", "replace") if text else "")
    paths = _python_paths(files)
    # The nearest licence file goes before the origin's licence, so each file's own is put down as one.
    return Origin(
        normalised(package), str(fields["Version"] or ""), None, MemoryTree(files), paths,
        {inner: rules.licence_of(inner) for inner in paths},
    )  # fmt: skip


def _python(path: Path, licence: str | None) -> Origin:
    with path.open("rb") as stream:
        if zipfile.is_zipfile(stream):
            with zipfile.ZipFile(stream) as opened:
                files = _kept(_zip_members(opened))
        else:
            stream.seek(0)
            files = _kept(_tar_members(stream))
    files = _without_top_folder(files)
    metadata = _metadata(files)
    tree = MemoryTree(files)
    texts = [
        content.decode("utf-8", "replace")
        for name, content in files.items()
        if content is not None and LICENCE_FILE.fullmatch(PurePosixPath(name).name) and _is_the_packages(name)
    ]
    if metadata is None:
        stem = path.name
        for ending in _ENDINGS:
            stem = stem.removesuffix(ending)
        return Origin(stem, "", LicenceFiles(tree).of_folder() or licence, tree, _python_paths(files))
    stated = stated_licence(metadata, texts)
    name = normalised(str(metadata["Name"] or path.name.split("-")[0]))
    return Origin(name, str(metadata["Version"] or ""), stated, tree, _python_paths(files))


def _zip_members(opened: zipfile.ZipFile) -> Iterator[tuple[str, int, IO[bytes]]]:
    for member in opened.infolist():
        if not member.is_dir():
            with opened.open(member) as stream:
                yield member.filename, member.file_size, stream


def _tar_members(stream: IO[bytes]) -> Iterator[tuple[str, int, IO[bytes]]]:
    with _unpacked(stream) as plain, tarfile.open(fileobj=plain, mode="r|") as opened:
        for member in opened:
            if member.isreg():
                content = opened.extractfile(member)
                if content is not None:
                    yield member.name, member.size, content
        # tarfile takes the end of the data for the end of the archive; reading on tells whether it was cut.
        for _ in range(MAX_TRAILER // _CHUNK):
            if not plain.read(_CHUNK):
                return
        raise ValueError("it does not end where its last member does")


def _unpacked(stream: IO[bytes]) -> IO[bytes]:
    """`stream` without its compression, told by its first bytes; unlike tarfile's own, checked to its end."""
    magic = stream.read(6)
    stream.seek(-len(magic), io.SEEK_CUR)
    if magic.startswith(b"\x1f\x8b"):
        return cast(IO[bytes], gzip.GzipFile(fileobj=stream))
    if magic.startswith(b"\xfd7zXZ"):
        return lzma.LZMAFile(stream)
    return bz2.BZ2File(stream) if magic.startswith(b"BZh") else stream


def _kept(members: Iterable[tuple[str, int, IO[bytes]]]) -> dict[str, bytes | None]:
    """What is of use of an archive's members, by path. Raises ValueError for more than could be meant."""
    files: dict[str, bytes | None] = {}
    kept = unpacked = 0
    for name, size, stream in members:
        unpacked += size
        if unpacked > MAX_UNPACKED:
            raise ValueError(f"it unpacks to more than {MAX_UNPACKED // 10**9} GB")
        place = PurePosixPath(name)
        if place.is_absolute() or ".." in place.parts or not _of_use(place):
            continue
        # A zip file may lie about a member's size.
        content = stream.read(MAX_MEMBER + 1) if size <= MAX_MEMBER else None
        files[str(place)] = content if content is None or len(content) <= MAX_MEMBER else None
        kept += len(content or b"")
        if kept > MAX_KEPT:
            raise ValueError(f"it holds more than {MAX_KEPT // 10**6} MB of Python")
    return files


def _of_use(place: PurePosixPath) -> bool:
    return place.suffix == ".py" or place.name in _METADATA or bool(LICENCE_FILE.fullmatch(place.name))


def _python_paths(files: dict[str, bytes | None]) -> tuple[str, ...]:
    return tuple(sorted(path for path in files if path.endswith(".py")))


def _without_top_folder(files: dict[str, bytes | None]) -> dict[str, bytes | None]:
    """`files` without the one folder that all of a source distribution lies in."""
    tops = {path.split("/", 1)[0] for path in files}
    if len(tops) != 1 or any("/" not in path for path in files) or any(top.endswith("-info") for top in tops):
        return files
    inner = {path.split("/", 1)[1]: content for path, content in files.items()}
    named_for_it = "PKG-INFO" in inner or any("/" not in path and not path.endswith(".py") for path in inner)
    return inner if named_for_it else files


def _metadata(files: dict[str, bytes | None]) -> Message | None:
    """The core metadata of a wheel or a source distribution, if there is any."""
    places = [
        path for path in files
        if path == "PKG-INFO" or (path.count("/") == 1 and path.split("/")[0].endswith("-info")
                                  and path.split("/")[1] in ("METADATA", "PKG-INFO"))
    ]  # fmt: skip
    content = files[min(places, key=len)] if places else None
    return message_from_string(content.decode("utf-8", "replace")) if content is not None else None


def _is_the_packages(licence_file: str) -> bool:
    """Whether a licence file is that of the whole: at the top, or in the metadata's folder."""
    top, _, rest = licence_file.partition("/")
    return not rest or top.endswith("-info")
