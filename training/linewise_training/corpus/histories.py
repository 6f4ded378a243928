"""How people changed a repository's Python files, commit by commit, as edit sequences of real hands.

A history is one file's way through consecutive commits: its text at the start, and each commit's change as
an edit, deletions and all. A rename goes on under the new name. Left out are merges, which are no edits,
commits of more than 40 Python files, changes of more than 200 lines, and states that the harvest would not
take as a file (unreadable, generated, not this Python, a licence that is not permissive, a benchmark's
problem). Where something is left out the history ends, and another may begin after it. What is older than
the repository's permissive licence does not count. Authors' names are never read.
Memory: the ids of up to `limit` commits' changes, and the texts of one history.
Not covered: the order in which a person typed what one commit holds; the end of a file that is deleted.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from linewise.edits import diff, format_edit, split_lines
from linewise_training.corpus import licences
from linewise_training.corpus.git import Commit, FileChange, Repository
from linewise_training.corpus.harvest import Skipped, fault, is_test, parsed, permits
from linewise_training.corpus.origins import LicenceFiles, Origin

MAX_COMMITS = 5000
MAX_FILES = 40
MAX_CHANGED_LINES = 200
MAX_STEPS = 50
MAX_MESSAGE = 200

_LICENCE_PATHS = tuple(
    f":(icase,glob){name}{ending}"
    for name in ("LICENSE", "LICENCE", "COPYING", "COPYRIGHT")
    for ending in ("", "[-._]*")
)


@dataclass(frozen=True, slots=True)
class History:
    """One file through consecutive commits: `edits` (diff text), each against the state the last one left.

    The first is against `start`, which is empty for a file that the first commit adds. `messages` are the
    commits' subjects, `commits` their ids; `version` is the HEAD that was read, `path` the file's last name.
    """

    path: str
    origin: str
    version: str
    licence: str
    start: str
    edits: tuple[str, ...]
    messages: tuple[str, ...]
    commits: tuple[str, ...]


@dataclass(slots=True)
class _Chain:
    """Changes of which each begins at the blob where the one before ended."""

    path: str
    steps: list[tuple[Commit, FileChange]] = field(default_factory=list)


class HistoryHarvest:
    """Reads the histories of repositories; remembers hashes of what it gave, to give nothing twice."""

    def __init__(
        self,
        contaminated: Callable[[str, ast.Module], bool],
        *,
        tests: bool = False,
        limit: int = MAX_COMMITS,
    ) -> None:
        self._contaminated = contaminated
        self._tests = tests
        self._limit = limit
        self._seen: set[bytes] = set()

    def walk(self, repository: Repository, origin: Origin) -> Iterator[History | Skipped]:
        """The histories of `repository`, whose HEAD is `origin`. Raises LinewiseError when git fails."""
        near = LicenceFiles(origin.tree)
        since = permissive_since(repository) if near.of_folder() else None
        commits = repository.commits(self._limit, after=since)
        chains: list[_Chain] = []
        yield from _chain_up(repository, origin.name, commits, chains)
        for chain in chains:
            its_licence = near.above(chain.path) or origin.licence
            if not self._tests and is_test(chain.path):
                yield Skipped(chain.path, origin.name, "test")
            elif its_licence is None or not permits(its_licence):
                yield Skipped(chain.path, origin.name, "licence")
            else:
                for found in self._histories(repository, origin, chain, its_licence):
                    yield found if isinstance(found, History) else Skipped(chain.path, origin.name, found)

    def _histories(
        self, repository: Repository, origin: Origin, chain: _Chain, licence: str
    ) -> Iterator[History | str]:
        """The histories in a chain, and the reasons why parts of it are left out."""
        start = ""
        steps: list[tuple[str, Commit]] = []

        def history() -> History | str:
            edits, commits = zip(*steps, strict=True)
            record = History(
                chain.path, origin.name, origin.version, licence, start, edits,
                tuple(_message(commit.subject) for commit in commits),
                tuple(commit.id for commit in commits),
            )  # fmt: skip
            digest = hashlib.sha256("\0".join([start, *edits]).encode()).digest()
            if digest in self._seen:
                return "duplicate"
            self._seen.add(digest)
            return record

        state: str | None = None  # the text the last step left, if the next may go on from there
        for commit, change in chain.steps:
            reason = None
            if state is None:
                text, reason = self._state(repository, change.old) if change.old else ("", None)
                state = start = text
            after, fault_after = self._state(repository, change.new or "")
            edit = diff(split_lines(state), split_lines(after)) if not (reason or fault_after) else None
            if (
                edit is not None
                and sum(len(h.removed) + len(h.added) for h in edit.hunks) > MAX_CHANGED_LINES
            ):
                reason = "huge change"
            if edit is None or reason:
                yield reason or fault_after or ""
                if steps:
                    yield history()
                steps, state = [], None
                continue
            if edit.hunks:  # a commit may change nothing but line endings
                steps.append((format_edit(edit), commit))
            state = after
        if steps:
            yield history()

    def _state(self, repository: Repository, blob: str) -> tuple[str, str | None]:
        """A blob's text as the harvest reads it, and why it cannot be learned from, or None."""
        try:
            text = repository.blob(blob).decode("utf-8-sig")
        except UnicodeDecodeError:
            return "", "not UTF-8"
        except OSError:
            return "", "unreadable"
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        reason = fault(text)
        if reason is not None:
            return text, reason
        stated = licences.stated_in_head(text)
        if stated is not None and not permits(stated):
            return text, "licence"
        tree = parsed(text)
        if tree is None:
            return text, "does not parse"
        return text, "contaminated" if self._contaminated(text, tree) else None


def permissive_since(repository: Repository) -> str | None:
    """The commit from which on the repository's licence files are permissive; None: from the first one.

    What came before was given under other terms, or none. Looks at the newest 200 changes of these files.
    """
    for commit in reversed(repository.commits(200, _LICENCE_PATHS)):
        parent = repository.parent(commit.id)
        licence = LicenceFiles(repository.tree(parent)).of_folder() if parent else None
        if parent and (licence is None or not permits(licence)):
            return commit.id
    return None


def _chain_up(
    repository: Repository, origin: str, commits: list[Commit], chains: list[_Chain]
) -> Iterator[Skipped]:
    """Put the changes of `commits` into `chains`, by the blob that each begins with; say what is left out."""
    tips: dict[tuple[str, str], _Chain] = {}
    for commit, changes in repository.changes(commits, "*.py"):
        huge = len(changes) > MAX_FILES
        if huge:
            yield Skipped(commit.id, origin, "huge commit")
        for change in changes:
            chain = tips.pop((change.old_path, change.old), None) if change.old else None
            if change.new is None or (huge and change.old != change.new):
                continue
            if change.old == change.new:  # renamed, or another mode: even a huge commit of those is followed
                if chain is None:
                    continue
            else:
                if chain is None or len(chain.steps) >= MAX_STEPS:
                    chain = _Chain(change.path)
                    chains.append(chain)
                chain.steps.append((commit, change))
            chain.path = change.path
            tips[change.path, change.new] = chain


def _message(subject: str) -> str:
    return subject.encode("utf-8", "replace").decode()[:MAX_MESSAGE]
