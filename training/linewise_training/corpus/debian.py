"""Read a Debian package's two tar files, and its machine-readable copyright file (DEP-5).

A .deb is an `ar` archive of `debian-binary`, `control.tar.*` and `data.tar.*` (deb(5)). The copyright file
gives licences by patterns of *source* paths, and a package holds *installed* paths: `lib/foo/x.py` of the
source may be installed as `usr/lib/python3/dist-packages/foo/x.py`. So each pattern whose end may be meant
counts, and the licences of all of these are joined with AND: a file is taken only if no reading forbids it.
Not covered: copyright files of another form, whose packages have no known licence; zstd.
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_string
from email.message import Message
from typing import IO

from linewise_training.corpus import licences

_MAGIC = b"!<arch>\n"
_HEADER = 60
_FORMAT = re.compile(r"^Format:\s*\S*copyright-format/1\.0", re.IGNORECASE | re.MULTILINE)
_ROOT = re.compile(r"^usr/(lib/python3(\.\d+)?/(dist-packages/)?|share/|lib/|bin/)")
# Folders of a source tree that hold the code itself, and are not part of an installed path.
_SOURCE_FOLDERS = frozenset(["src", "lib", "Lib", "python", "source"])
_SHORT_NAMES = {name.lower(): name for name in licences.PERMISSIVE} | {
    "expat": "MIT", "mit": "MIT", "x11": "MIT", "bsd": licences.UNSPECIFIED_BSD, "bsd-2": "BSD-2-Clause",
    "bsd-3": "BSD-3-Clause", "bsd-2-clauses": "BSD-2-Clause", "bsd-3-clauses": "BSD-3-Clause",
    "apache": "Apache-2.0", "apache-2": "Apache-2.0", "apache-2.0": "Apache-2.0", "psf": "PSF-2.0",
    "psf-2": "PSF-2.0", "python": "PSF-2.0", "python-2": "PSF-2.0", "zlib": "Zlib", "cc0": "CC0-1.0",
    "bsl-1": "BSL-1.0", "boost-1.0": "BSL-1.0",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stanza:
    """File patterns of a source tree, and the SPDX expression of their licence."""

    patterns: tuple[str, ...]
    licence: str


@dataclass(frozen=True, slots=True)
class Copyright:
    """What a copyright file says, in its order: of the patterns that match a path the last one counts."""

    stanzas: tuple[Stanza, ...]

    def licence_of(self, installed: str) -> str | None:
        """SPDX expression for a file by its installed path; None where no pattern is about it."""
        path = _ROOT.sub("", installed, count=1)
        found: list[str] = []
        for stanza in self.stanzas:
            readings = {_reading(pattern, path) for pattern in stanza.patterns}
            if "whole" in readings:
                found = [stanza.licence]
            elif "end" in readings:
                found.append(stanza.licence)
        return (
            " AND ".join(f"({licence})" if " " in licence else licence for licence in dict.fromkeys(found))
            or None
        )


def copyright_of(text: str) -> Copyright:
    """Read a copyright file; one that is not in the machine-readable form has no stanzas."""
    if not _FORMAT.search(text[:500]):
        return Copyright(())
    paragraphs = [message_from_string(part) for part in re.split(r"\n[ \t]*\n", text.strip("\n"))]
    texts = {
        _name(field): _body(field)
        for paragraph in paragraphs
        if (field := paragraph["License"]) and not paragraph["Files"]
    }
    return Copyright(tuple(_stanzas(paragraphs, texts)))


def parts(stream: IO[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    """The control and the data tar file in a .deb, still compressed. Raises ValueError, OSError."""
    if stream.read(len(_MAGIC)) != _MAGIC:
        raise ValueError("no Debian package: it does not begin as one")
    found: dict[str, IO[bytes]] = {}
    while len(header := stream.read(_HEADER)) == _HEADER:
        name = header[:16].decode("ascii", "replace").strip().rstrip("/")
        size = int(header[48:58])
        content = stream.read(size)
        if size < 0 or len(content) != size:
            raise ValueError("it ends too early")
        stream.seek(size % 2, io.SEEK_CUR)
        if name.endswith(".zst"):
            raise ValueError("zstd is not read; repack it with xz")
        found[name.split(".tar")[0]] = io.BytesIO(content)
    if not {"control", "data"} <= found.keys():
        raise ValueError("a Debian package without control or data")
    return found["control"], found["data"]


def control_file(control: IO[bytes]) -> str:
    """The text of the control file in a package's control tar file."""
    with tarfile.open(fileobj=control, mode="r|*") as opened:
        for member in opened:
            if member.name.removeprefix("./") == "control" and member.isreg():
                content = opened.extractfile(member)
                if content is not None:
                    return content.read(1_000_000).decode("utf-8", "replace")
    raise ValueError("a Debian package without a control file")


def _stanzas(paragraphs: list[Message], texts: dict[str, str]) -> Iterator[Stanza]:
    for paragraph in paragraphs:
        files, field = paragraph["Files"], paragraph["License"]
        if files and field:
            yield Stanza(tuple(str(files).split()), _spdx(_name(field), _body(field), texts))


def _name(field: str) -> str:
    return " ".join(str(field).split("\n", 1)[0].split())


def _body(field: str) -> str:
    return str(field).partition("\n")[2]


def _spdx(name: str, body: str, texts: dict[str, str]) -> str:
    """A licence field of DEP-5 ("Expat and BSD-3, or GPL-2+") as an SPDX expression."""
    alternatives = re.split(r",?\s+or\s+|\s*\|\s*", name, flags=re.IGNORECASE)
    if re.search(r",\s+and\b", name, re.IGNORECASE) and len(alternatives) > 1:
        # In "A or B, and C" the comma binds more loosely than the words. All at once is the safe reading.
        alternatives = [" and ".join(alternatives)]
    return " OR ".join(
        " AND ".join(
            _one(part.strip(), body, texts)
            for part in re.split(r",?\s+and\s+|,\s*|/", choice, flags=re.IGNORECASE)
        )
        for choice in alternatives
    )


def _one(name: str, body: str, texts: dict[str, str]) -> str:
    """A licence by its short name, or by its text where the package made the name up."""
    known = _SHORT_NAMES.get(name.lower()) or licences.from_name(name)
    text = texts.get(name) or body
    read = licences.from_text(text) if text.strip() else None
    plain = re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip("-") or "Unnamed"
    return known or read or f"LicenseRef-{plain}"


def _reading(pattern: str, path: str) -> str | None:
    """How a pattern may mean the installed `path`: as its "whole" source path, by its "end", or not."""
    pattern = pattern.removeprefix("./")
    if _matches(pattern, path):
        return "whole"
    top = path.split("/", 1)[0]
    while "/" in pattern:
        first, _, pattern = pattern.partition("/")
        if first == top:
            return None  # it is anchored where the installed path is
        if pattern.strip("*?") or first in _SOURCE_FOLDERS:
            if _matches(pattern, path):
                return "end"
        else:
            return None
    return None


def _matches(pattern: str, path: str) -> bool:
    """Whether a pattern (`*` and `?` match "/", too) matches all of a path."""
    expression = "".join(
        ".*" if char == "*" else "." if char == "?" else re.escape(char) for char in pattern.replace("\\", "")
    )
    return re.fullmatch(expression, path, re.DOTALL) is not None
