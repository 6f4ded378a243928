"""Choose the source files of an origin that are worth training on, and say why each other one is not.

Dropped: what is not permissively licensed, not UTF-8, not Python of this interpreter's version, generated,
minified, mostly digits, very small or very large, a test (unless asked for), or seen before (same text).
Not covered: near duplicates (see `near`), and the quality of what the code does.
"""

from __future__ import annotations

import ast
import hashlib
import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from linewise.errors import LinewiseError
from linewise_training.corpus import licences
from linewise_training.corpus.origins import LicenceFiles, Origin

MAX_CHARACTERS = 200_000
MIN_CHARACTERS = 80
MAX_LINE = 400
MAX_DIGIT_SHARE = 0.3

_GENERATED = re.compile(
    r"@generated|\b(auto-?|automatically )generated\b|\bgenerated (by|from|automatically)\b"
    r"|do not (edit|modify)",
    re.IGNORECASE,
)
_TEST = re.compile(r"(^|/)(tests?|testing|_testing|idle_test)/|(^|/)(test_[^/]*|[^/]*_test|conftest)\.py$")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of the corpus. `sha256` is of `text` in UTF-8; line endings in `text` are newlines."""

    text: str
    path: str
    origin: str
    version: str
    licence: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that was left out, and the reason in a word or two."""

    path: str
    origin: str
    reason: str


class Harvest:
    """Walks origins; remembers only hashes, so memory does not grow with the text.

    `seen` are the SHA-256 digests of texts that are not to be given again.
    """

    def __init__(self, *, tests: bool = False, seen: Iterable[bytes] = ()) -> None:
        self._tests = tests
        self._seen = set(seen)

    def walk(self, origin: Origin) -> Iterator[SourceFile | Skipped]:
        """Read the files of `origin` one after the other."""
        near = LicenceFiles(origin.tree)
        for path in origin.files:
            licence = near.above(path) or origin.licences.get(path, origin.licence)
            yield self._judge(origin, path, licence)

    def _judge(self, origin: Origin, path: str, licence: str | None) -> SourceFile | Skipped:
        file = self._read(origin, path, licence)
        return Skipped(path, origin.name, file) if isinstance(file, str) else file

    def _read(self, origin: Origin, path: str, licence: str | None) -> SourceFile | str:  # noqa: PLR0911
        """The file, or the reason to leave it out: one return a reason."""
        if not self._tests and is_test(path):
            return "test"
        if licence is None or not permits(licence):
            return "licence"
        try:
            text = origin.tree.read(path).decode("utf-8-sig")
        except OSError:
            return "unreadable"
        except UnicodeDecodeError:
            return "not UTF-8"
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        reason = fault(text)
        if reason is not None:
            return reason
        stated = licences.stated_in_head(text) or licence
        if not permits(stated):
            return "licence"
        digest = hashlib.sha256(text.encode("utf-8"))
        if digest.digest() in self._seen:
            return "duplicate"
        self._seen.add(digest.digest())
        if parsed(text) is None:
            return "does not parse"
        return SourceFile(text, path, origin.name, origin.version, stated, digest.hexdigest())


def is_test(path: str) -> bool:
    """Whether a path looks like that of a test."""
    return _TEST.search(path) is not None


def fault(text: str) -> str | None:
    """Why text of this shape is not hand-written code of a useful size, or None."""
    if len(text) < MIN_CHARACTERS:
        return "very small"
    if len(text) > MAX_CHARACTERS:
        return "very large"
    if max(map(len, text.split("\n"))) > MAX_LINE:
        return "very long lines"
    if _GENERATED.search(text[:1500]):
        return "generated"
    if sum(map(text.count, "0123456789")) > MAX_DIGIT_SHARE * len(text):
        return "mostly digits"
    return None


@lru_cache(maxsize=1)  # a file that was just found to parse is looked at next
def parsed(text: str) -> ast.Module | None:
    """Syntax tree of `text`, not to be changed; None when it is not Python of this interpreter's version."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def permits(licence: str) -> bool:
    """Whether a licence, in whatever form, is known to be permissive."""
    try:
        return licences.is_permissive(licence)
    except LinewiseError:
        return False
