"""Where code comes from: the standard library, packages, folders and repositories, each with its licence."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from email.message import Message
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import cast

from linewise.errors import LinewiseError
from linewise_training.corpus import licences
from linewise_training.corpus.git import Repository
from linewise_training.corpus.trees import FolderTree, Tree

LICENCE_FILE = re.compile(r"(LICEN[CS]E|COPYING|COPYRIGHT)([.\-_].*)?", re.IGNORECASE)

UNKNOWN_LICENCE = "LicenseRef-Unknown"
_COPIED_IN = frozenset(["_vendor", "_vendored", "vendor", "vendored", "third_party", "extern", "externals"])

_PLACES = """
import json, platform, sysconfig
paths = sysconfig.get_paths()
print(json.dumps([platform.python_version(), paths["stdlib"], paths["purelib"], paths["platlib"]]))
"""


@dataclass(frozen=True, slots=True)
class Origin:
    """One body of code. `files` are paths in `tree`; `licence` is None where it is not known.

    `licences` has those files whose licence is known one by one; None there is one that is not known.
    """

    name: str
    version: str
    licence: str | None
    tree: Tree
    files: tuple[str, ...]
    licences: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python installation: its version, the folder of its standard library, those of its packages."""

    version: str
    stdlib: Path
    site_packages: tuple[Path, ...]


def interpreter(executable: str = sys.executable) -> Interpreter:
    """Ask a Python executable where its code lies. Raises LinewiseError when it does not answer."""
    try:
        answer = subprocess.run(
            [executable, "-I", "-c", _PLACES], capture_output=True, text=True, check=True, timeout=60
        )
        version, stdlib, purelib, platlib = json.loads(answer.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise LinewiseError(
            f"cannot ask {executable!r} where its library is ({error}); name a Python executable"
        ) from error
    return Interpreter(version, Path(stdlib), tuple(dict.fromkeys((Path(purelib), Path(platlib)))))


def standard_library(python: Interpreter) -> Origin:
    """The standard library of `python`, under the PSF licence, without its packages and bundled wheels."""
    skipped = {"site-packages", "dist-packages", "ensurepip"}
    files = tuple(path for path in python_files(python.stdlib) if path.split("/", 1)[0] not in skipped)
    return Origin("cpython", python.version, "PSF-2.0", FolderTree(python.stdlib), files)


def packages(site_packages: Path, names: frozenset[str] = frozenset()) -> Iterator[Origin]:
    """The packages installed in a folder, all or those `names` (normalised by PEP 503), ordered by name."""
    found = {}
    for distribution in metadata.distributions(path=[str(site_packages)]):
        name = normalised(distribution.metadata["Name"] or "")
        if name and (not names or name in names):
            found[name] = distribution
    for name in sorted(found):
        distribution = found[name]
        paths = sorted(str(path) for path in distribution.files or () if path.suffix == ".py")
        inside = tuple(path for path in paths if not path.startswith(".."))
        licence = _package_licence(distribution)
        yield Origin(name, distribution.version, licence, FolderTree(site_packages), inside)


def normalised(name: str) -> str:
    """A package's name as PEP 503 writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def folder(path: Path, licence: str | None = None) -> Origin:
    """All Python under `path`; the licence is `licence`, or what the folder's licence file says."""
    if not path.is_dir():
        raise LinewiseError(f"there is no folder {str(path)!r}; name a folder of Python files")
    if licence is None:
        licence = LicenceFiles(FolderTree(path)).of_folder()
    if licence is None:
        raise LinewiseError(f"no licence file in {str(path)!r} is recognised; name it with --licence SPDX")
    return Origin(path.resolve().name, "", licence, FolderTree(path), tuple(python_files(path)))


def repositories(sources: Sequence[Repository], licence: str | None = None) -> list[Origin]:
    """The origins of repositories, those in folders of one name told apart by the folders above."""
    names = Counter(source.name for source in sources)
    found = [repository(source, licence) for source in sources]
    return [
        replace(origin, name=f"{source.path.resolve().parent.name}/{origin.name}")
        if names[source.name] > 1
        else origin
        for source, origin in zip(sources, found, strict=True)
    ]


def repository(source: Repository, licence: str | None = None) -> Origin:
    """The Python files of a repository's HEAD; the licence is its licence file's, or else `licence`."""
    tree = source.tree()
    licence = LicenceFiles(tree).of_folder() or licence
    if licence is None:
        raise LinewiseError(
            f"no licence file in {str(source.path)!r} is recognised; name it with --licence SPDX"
        )
    files = tuple(path for path in tree.paths if path.endswith(".py"))
    return Origin(source.name, source.head, licence, tree, files)


def python_files(root: Path) -> Iterator[str]:
    """Paths of the .py files under `root`, relative to it with "/", in order; links are not followed."""
    for parent, folders, names in os.walk(root):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f != "__pycache__")
        for name in sorted(names):
            if name.endswith(".py"):
                yield Path(parent, name).relative_to(root).as_posix()


class LicenceFiles:
    """Finds the licence file nearest to a source file, so that bundled code keeps its own licence."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._known: dict[str, str | None] = {}

    def of_folder(self, folder: str = ".") -> str | None:
        """Licence that the licence files directly in `folder` state, or None."""
        if folder not in self._known:
            self._known[folder] = self._read(folder)
        return self._known[folder]

    def above(self, relative: str) -> str | None:
        """Licence of the nearest folder between the file `relative` and the root (excluded), or None.

        Code that was copied in from another project, by its folder's name, and that has no licence file of
        its own is under `UNKNOWN_LICENCE`: the licence of what surrounds it says nothing about it.
        """
        for parent in list(PurePosixPath(relative).parents)[:-1]:
            licence = self.of_folder(str(parent))
            if licence is not None:
                return licence
            if parent.name in _COPIED_IN:
                return UNKNOWN_LICENCE
        return None

    def _read(self, folder: str) -> str | None:
        found = set()
        for name in self._tree.names(folder):
            if LICENCE_FILE.fullmatch(name) and not name.endswith(".py"):
                path = name if folder == "." else f"{folder}/{name}"
                licence = licences.from_text(self._tree.read(path).decode("utf-8", "replace"))
                if licence is not None:
                    found.add(licence)
        return " AND ".join(sorted(found)) or None


def _package_licence(distribution: metadata.Distribution) -> str | None:
    """Licence of an installed package."""
    texts = (
        text
        for path in distribution.files or ()
        if ".dist-info" in path.parts[0] and LICENCE_FILE.fullmatch(path.name)
        for text in [distribution.read_text("/".join(path.parts[1:]))]
        if text
    )
    return stated_licence(cast(Message, distribution.metadata), texts)


def stated_licence(fields: Message, texts: Iterable[str]) -> str | None:
    """Licence in a package's core metadata: the expression, the classifiers, the free-form field, or `texts`.

    `texts` are those of the package's licence files, read only where the metadata leaves it open.
    """
    expression = fields.get_all("License-Expression") or [""]
    if expression[0]:
        return str(expression[0])
    classifiers = [str(c) for c in fields.get_all("Classifier") or [] if c.startswith("License ::")]
    free = str((fields.get_all("License") or [""])[0]).strip()
    stated = licences.from_name(free) or licences.from_classifiers(classifiers)
    # Some packages put the whole text into the field, others nothing that says which licence it is. Where
    # a licence is named that is not known to be permissive, the text must not be asked for a better answer.
    names_one = "\n" not in free and free.lower() not in ("", "unknown", "dual license")
    if stated is None and (names_one or licences.names_a_licence(classifiers)):
        return None
    if stated not in (None, licences.UNSPECIFIED_BSD):
        return stated
    known = sorted({found for text in texts if (found := licences.from_text(text))})
    return " AND ".join(known) or stated
