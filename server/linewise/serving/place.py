"""Where the model servers of this user live: one private folder, and in it the files of each server.

A server belongs to one model file, by its path, and one way of running it. While it lives it holds a lock,
which its death frees whatever the cause; so whether a server runs is never guessed from a file that a dead
process left.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType

import platformdirs
from filelock import FileLock, Timeout

from linewise.errors import ServerError

RUNTIME_VARIABLE = "LINEWISE_RUNTIME_DIR"
"""Environment variable that names the folder of sockets, locks and logs, instead of the user's own ones."""

LONGEST_SOCKET_PATH = 100
"""Bytes; the address of a Unix socket has room for 108 on Linux and 104 on macOS."""


@dataclass(frozen=True, slots=True)
class Record:
    """What a server says of itself in its record file, once it listens."""

    pid: int
    version: str
    model: str
    socket: str | None
    port: int | None


@dataclass(frozen=True, slots=True)
class Place:
    """The files of one model's server in `folder`; they are named after `key`."""

    folder: Path
    logs: Path
    key: str

    @property
    def socket(self) -> Path:
        """The Unix socket."""
        return self.folder / f"{self.key}.sock"

    @property
    def record(self) -> Path:
        """JSON of `Record`: there while the server listens, and after a crash."""
        return self.folder / f"{self.key}.json"

    @property
    def token(self) -> Path:
        """The bearer token of a server on a loopback port."""
        return self.folder / f"{self.key}.token"

    @property
    def lock(self) -> Path:
        """Held by the server for as long as it lives."""
        return self.folder / f"{self.key}.lock"

    @property
    def starting(self) -> Path:
        """Lock held by whoever starts the server, so that eight who want it start one."""
        return self.folder / f"{self.key}.starting"

    @property
    def trouble(self) -> Path:
        """Standard error of the last server that was started in the background."""
        return self.folder / f"{self.key}.err"

    @property
    def log(self) -> Path:
        """The log file; older parts end in .1, .2 and so on."""
        return self.logs / f"server-{self.key}.log"

    def is_served(self) -> bool:
        """Whether a server process lives here, listening or not yet."""
        lock = FileLock(self.lock, mode=0o600)
        try:
            with lock.acquire(blocking=False):
                return False
        except Timeout:
            return True

    @contextmanager
    def held(self) -> Iterator[None]:
        """Be the server that lives here. Raises ServerError where another one does."""
        lock = FileLock(self.lock, mode=0o600)
        try:
            lock.acquire(timeout=0.5)  # who looks whether it is held holds it for a moment
        except Timeout:
            raise ServerError(
                "A server for this model runs already: use it where `linewise serve status` says that it "
                "listens, or end it first (`linewise serve stop`)."
            ) from None
        try:
            yield
        finally:
            lock.release()

    def read_record(self) -> Record | None:
        """What the server said of itself; None where nothing, or nothing readable, stands there."""
        try:
            found = json.loads(self.record.read_text(encoding="utf-8"))
            return Record(
                int(found["pid"]), str(found["version"]), str(found["model"]), found["socket"], found["port"]
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write_record(self, record: Record) -> None:
        """Tell clients where the server is."""
        write_private(self.record, json.dumps(asdict(record)))

    def clear(self) -> None:
        """Delete what says that a server listens here; the lock must be held."""
        for path in (self.record, self.socket, self.token):
            with suppress(OSError):
                path.unlink()


def place_of(
    model: Path,
    variant: Mapping[str, str] = MappingProxyType({}),
    environment: Mapping[str, str] = os.environ,
) -> Place:
    """The place of the server for the model file at `model`; the folder is made if it is not there.

    `variant` is how the model is to be run: each variant has a server of its own. Raises ServerError where
    the folder cannot be made or others could get into it.
    """
    said = b"\0".join(
        [os.fsencode(model.resolve()), *(f"{k}={v}".encode() for k, v in sorted(variant.items()))]
    )
    return place_named(hashlib.sha256(said).hexdigest()[:12], environment)


def place_named(key: str, environment: Mapping[str, str] = os.environ) -> Place:
    """The place of `key`. Raises ServerError as `place_of`."""
    folder = prepared_folder(environment)
    return Place(folder, _logs(environment, folder), key)


def places(environment: Mapping[str, str] = os.environ) -> list[Place]:
    """Every place that had a server; whether one lives there now, `is_served` tells."""
    folder = runtime_folder(environment)
    logs = _logs(environment, folder)
    return [Place(folder, logs, path.stem) for path in sorted(folder.glob("*.lock"))]


def log_files(environment: Mapping[str, str] = os.environ) -> list[Path]:
    """The newest log file of every server that ever logged here."""
    return sorted(_logs(environment, runtime_folder(environment)).glob("server-*.log"))


def runtime_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """What LINEWISE_RUNTIME_DIR names, else `linewise` in the user's runtime folder.

    Raises ServerError where the user has none that is safe.
    """
    named = environment.get(RUNTIME_VARIABLE)
    if named:
        return Path(named).expanduser().absolute()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # it says that it falls back to the temporary folder, which will do
            return platformdirs.user_runtime_path("linewise", appauthor=False)
    except OSError as error:
        raise ServerError(
            f"There is no folder for the model server ({error}): name one in {RUNTIME_VARIABLE}."
        ) from error


def prepared_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """The runtime folder, made with mode 0700. Raises ServerError where others could get into it."""
    folder = runtime_folder(environment)
    is_named = bool(environment.get(RUNTIME_VARIABLE))
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.name == "posix":
            _require_private(folder, is_named)
    except OSError as error:
        raise ServerError(
            f"The folder {folder} for the model server cannot be used ({error.strerror}): "
            f"name another one in {RUNTIME_VARIABLE}."
        ) from error
    return folder


def _require_private(folder: Path, is_named: bool) -> None:
    found = folder.stat()
    # Who owns the folder around it could put another one in its place; a named one the user chose.
    around = os.getuid() if is_named else folder.parent.stat().st_uid
    if found.st_uid != os.getuid() or around not in {0, os.getuid()}:
        raise ServerError(
            f"The folder {folder} belongs to another user: name one of yours in {RUNTIME_VARIABLE}."
        )
    if not stat.S_IMODE(found.st_mode) & 0o077:
        return
    if is_named and any(folder.iterdir()):  # a home folder, say, that others are meant to read
        raise ServerError(
            f"Others may enter the folder {folder}, which holds other things: name one of its own in "
            f"{RUNTIME_VARIABLE}, or close it to them (chmod 700)."
        )
    folder.chmod(0o700)


def write_private(path: Path, text: str) -> None:
    """Replace the file at `path` by one of mode 0600 with `text`, in one step."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)


def _logs(environment: Mapping[str, str], folder: Path) -> Path:
    if environment.get(RUNTIME_VARIABLE):
        return folder
    return platformdirs.user_log_path("linewise", appauthor=False)
