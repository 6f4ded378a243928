"""Read a git repository's commits and files without trusting it: nothing in it is ever executed.

Only git's plumbing is called (`rev-parse`, `rev-list`, `diff-tree`, `ls-tree`, `cat-file`), with fixed
arguments, an environment of our own, and a time limit. These run no hooks, filters, pagers, external diffs,
text conversions or signature checks; what the repository's own configuration could still start (a file
system monitor, the fetching of objects that a partial clone lacks) is switched off. The work tree is never
looked at.
Not covered: faults of git itself.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from threading import Timer
from types import TracebackType
from typing import IO

from linewise.errors import LinewiseError

TIMEOUT = 120.0
MAX_BLOB = 4_000_000

_OPTIONS = (
    "core.fsmonitor=false", "core.hooksPath=/dev/null", "core.pager=cat", "core.attributesFile=/dev/null",
    "core.commitGraph=false", "core.quotePath=false", "diff.external=", "diff.renameLimit=400",
    "log.showSignature=false", "protocol.allow=never",
)  # fmt: skip
_ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_LITERAL_PATHSPECS": "0",
    "LC_ALL": "C",
}
_OBJECT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REGULAR = frozenset(["100644", "100755"])
_NONE = "0"  # the id of "no object" is all zeros


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit's id and the first line of its message."""

    id: str
    subject: str


@dataclass(frozen=True, slots=True)
class FileChange:
    """What a commit did to one regular file: from blob `old` to blob `new`, None where it was not there."""

    old_path: str
    path: str
    old: str | None
    new: str | None


class Repository:
    """A repository on disk, read at its HEAD. Use as a context manager: it keeps one git process running."""

    def __init__(self, path: Path, timeout: float = TIMEOUT) -> None:
        if not path.is_dir():
            raise LinewiseError(f"there is no folder {str(path)!r}; name a git repository")
        self.path = path
        self._timeout = timeout
        # Naming the folder keeps git from searching for one above; who owns it is no question, as in nothing
        # of it is run.
        inner = path / ".git"
        directory = inner if inner.exists() else path
        self._command = ["git", "--no-pager", f"--git-dir={directory.resolve()}"]
        for option in _OPTIONS:
            self._command += ["-c", option]
        self._blobs: subprocess.Popen[bytes] | None = None
        try:
            self.head = self._run("rev-parse", "--verify", "--end-of-options", "HEAD^{commit}").strip()
        except LinewiseError as error:
            raise LinewiseError(
                f"{str(path)!r} is not a git repository with a commit ({error}); name its top folder"
            ) from error
        self.name = path.resolve().name.removesuffix(".git") or path.resolve().parent.name

    def __enter__(self) -> Repository:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the running git process."""
        if self._blobs is not None:
            self._blobs.kill()
            self._blobs.communicate()
            self._blobs = None

    def commits(self, limit: int, pathspecs: Sequence[str] = (), after: str | None = None) -> list[Commit]:
        """Up to `limit` of the newest commits that are no merges, oldest first; parents before children.

        With `pathspecs` those that touch them; with `after`, a commit, those that descend from it.
        """
        selection = ["--ancestry-path", f"{after}..{self.head}"] if after else [self.head]
        text = self._run(
            "rev-list", "--no-merges", "--topo-order", f"--max-count={limit}", "--encoding=UTF-8",
            "--format=tformat:%s", *selection, "--", *pathspecs,
        )  # fmt: skip
        lines = text.split("\n")[:-1]
        found = [
            Commit(head.removeprefix("commit "), subject)
            for head, subject in zip(lines[::2], lines[1::2], strict=True)
        ]
        return found[::-1]

    def changes(
        self, commits: Sequence[Commit], pathspec: str
    ) -> Iterator[tuple[Commit, tuple[FileChange, ...]]]:
        """What each of `commits` did to the regular files that `pathspec` means, renames followed."""
        for start in range(0, len(commits), 100):
            some = commits[start : start + 100]
            ids = "".join(f"{commit.id}\n" for commit in some)
            text = self._run(
                "diff-tree", "--stdin", "-r", "--root", "--raw", "-M60%", "-z", "--no-abbrev",
                "--no-textconv", "--no-ext-diff", "--", pathspec, given=ids,
            )  # fmt: skip
            by_commit = _changes(text)
            for commit in some:
                yield commit, tuple(by_commit.get(commit.id, ()))

    def parent(self, commit: str) -> str | None:
        """The first parent of a commit, or None."""
        ids = self._run("rev-list", "--parents", "--max-count=1", commit).split()
        return ids[1] if len(ids) > 1 else None

    def tree(self, commit: str | None = None) -> CommitTree:
        """The files of a commit, by default of HEAD."""
        entries: dict[str, str] = {}
        for entry in self._run("ls-tree", "-r", "-z", "--full-tree", commit or self.head).split("\0"):
            head, _, path = entry.partition("\t")
            fields = head.split(" ")
            if len(fields) == 3 and fields[0] in _REGULAR and path:
                entries[path] = fields[2]
        return CommitTree(self, entries)

    def blob(self, name: str) -> bytes:
        """What a blob holds, by its id. Raises OSError where it is missing, damaged or over `MAX_BLOB`."""
        if not _OBJECT.fullmatch(name):
            raise OSError(f"{name!r} is no object id")
        if self._blobs is None:
            self._blobs = subprocess.Popen(
                [*self._command, "cat-file", "--batch"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_environment(),
            )  # fmt: skip
        process = self._blobs
        if process.stdin is None or process.stdout is None:
            raise OSError("git has no pipes")
        limit = Timer(self._timeout, process.kill)
        limit.start()
        try:
            process.stdin.write(f"{name}\n".encode())
            process.stdin.flush()
            return _answer(process.stdout, name)
        except (OSError, ValueError) as error:
            if process.poll() is not None or not isinstance(error, FileNotFoundError):
                self.close()  # whatever git says next belongs to nobody
            raise OSError(f"cannot read object {name} ({error})") from error
        finally:
            limit.cancel()

    def _run(self, *arguments: str, given: str = "") -> str:
        try:
            done = subprocess.run(
                [*self._command, *arguments],
                input=given.encode(),
                capture_output=True,
                check=True,
                timeout=self._timeout,
                env=_environment(),
            )
        except subprocess.CalledProcessError as error:
            said = error.stderr.decode("utf-8", "replace").strip().split("\n")[-1]
            raise LinewiseError(f"git {arguments[0]} failed on {str(self.path)!r}: {said}") from error
        except subprocess.TimeoutExpired as error:
            raise LinewiseError(
                f"git {arguments[0]} took over {self._timeout:g} s on {str(self.path)!r}; leave it out"
            ) from error
        except OSError as error:
            raise LinewiseError(f"cannot run git ({error}); install it") from error
        return done.stdout.decode("utf-8", "surrogateescape")


class CommitTree:
    """The regular files of one commit, as a `Tree`."""

    def __init__(self, repository: Repository, entries: Mapping[str, str]) -> None:
        self._repository = repository
        self._entries = entries
        self._names: dict[str, list[str]] = {}
        for path in sorted(entries):
            pure = PurePosixPath(path)
            self._names.setdefault(str(pure.parent), []).append(pure.name)

    @property
    def paths(self) -> list[str]:
        """Paths of all files, in order; those that are not UTF-8 left out."""
        return sorted(path for path in self._entries if path.isprintable())

    def names(self, folder: str) -> list[str]:
        """Names of the files directly in `folder`, in order."""
        return self._names.get(folder, [])

    def read(self, path: str) -> bytes:
        """What a file holds. Raises OSError."""
        if path not in self._entries:
            raise FileNotFoundError(path)
        return self._repository.blob(self._entries[path])


def _environment() -> dict[str, str]:
    # Nothing of the caller's environment but where programs lie: GIT_DIR and its kin would redirect us.
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "TMPDIR") if name in os.environ}
    return {**kept, **_ENVIRONMENT}


def _answer(stream: IO[bytes], name: str) -> bytes:
    """Read cat-file's answer: a line of id, kind and size, the content, a newline."""
    fields = stream.readline().decode("ascii", "replace").split()
    if fields[:1] != [name] or len(fields) < 2:
        raise OSError("git gave no answer")
    if fields[1] == "missing":
        raise FileNotFoundError(name)
    if len(fields) != 3 or fields[1] != "blob" or int(fields[2]) > MAX_BLOB:
        raise OSError("not a blob of a useful size")
    size = int(fields[2])
    content = stream.read(size + 1)
    if len(content) != size + 1:
        raise OSError("git's answer is cut short")
    return content[:size]


def _changes(text: str) -> dict[str, list[FileChange]]:
    """Read `diff-tree --raw -z`: a commit's id, then for each change its modes, ids, status and paths."""
    found: dict[str, list[FileChange]] = {}
    fields = iter(text.split("\0"))
    current: list[FileChange] = []
    for field in fields:
        if not field.startswith(":"):
            current = found.setdefault(field.strip("\n"), [])
            continue
        old_mode, new_mode, old, new, status = field[1:].split(" ")
        old_path = next(fields, "")
        path = next(fields, "") if status[:1] in ("R", "C") else old_path
        before = old if old_mode in _REGULAR and old.strip(_NONE) else None
        after = new if new_mode in _REGULAR and new.strip(_NONE) else None
        if (before or after) and old_path.isprintable() and path.isprintable():
            current.append(FileChange(old_path, path, before, after))
    return found
