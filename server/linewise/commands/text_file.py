"""A text file that is changed whole, atomically, and only while nobody else changes it."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from linewise.errors import FileError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class TextFile:
    """One UTF-8 file. It may not exist yet; then the first `replace` creates it.

    Line endings and a byte order mark are kept exactly; the mark is no part of `text`. Through a symbolic
    link, the file it points to is changed. Mode and, where permitted, owner are kept; hard links are not,
    since the file is replaced by a new one.
    """

    def __init__(self, path: Path) -> None:
        """Read the file. Raises FileError for what is no text file, or cannot be written."""
        self.path = path
        self._real = Path(os.path.realpath(path))
        self._known = self._read()
        self.was_replaced = False
        content = self._known or b""
        self._mark = BYTE_ORDER_MARK if content.startswith(BYTE_ORDER_MARK) else b""
        try:
            self.text = content[len(self._mark) :].decode("utf-8")
        except UnicodeDecodeError as error:
            line = content[: error.start].count(b"\n") + 1
            raise FileError(
                f"{path} is not UTF-8 text (byte {content[error.start]:#04x} in line {line}); "
                "convert it to UTF-8 first"
            ) from error

    def require_writable(self) -> None:
        """Raises FileError where `replace` could not succeed, before any work is done for it."""
        folder = self._real.parent
        if not folder.is_dir():
            raise FileError(f"the folder {folder} does not exist; create it first")
        # A mode without any write bit is the owner's word, even to the superuser whom it does not bind.
        if self._known is not None and (
            not self._real.stat().st_mode & 0o222 or not os.access(self._real, os.W_OK)
        ):
            raise FileError(f"{self.path} is read-only; make it writable (chmod u+w) or name another file")
        if not os.access(folder, os.W_OK):
            raise FileError(f"the folder {folder} is read-only, so {self.path} cannot be replaced in it")

    def require_unchanged(self) -> None:
        """Raises FileError if the file on disk is not what this program last read or wrote."""
        if self._read() != self._known:
            raise FileError(
                f"{self.path} changed on disk while it was being written; it is left as it is now. "
                "Run the command again"
            )

    def replace(self, text: str) -> None:
        """Put `text` in place of the whole content, all or nothing; see `require_unchanged`."""
        self.require_unchanged()
        content = self._mark + text.encode("utf-8")
        try:
            self._swap_in(content)
        except OSError as error:
            raise FileError(f"{self.path} cannot be written: {error.strerror or error}") from error
        self._known = content
        self.text = text
        self.was_replaced = True

    def _read(self) -> bytes | None:
        try:
            if self._real.is_dir():
                raise FileError(f"{self.path} is a folder; name a file in it")
            if self._real.exists() and not self._real.is_file():
                raise FileError(f"{self.path} is not a regular file")
            return self._real.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise FileError(f"{self.path} cannot be read: {error.strerror or error}") from error

    def _swap_in(self, content: bytes) -> None:
        handle, name = tempfile.mkstemp(dir=self._real.parent, prefix=f".{self._real.name}.", suffix=".tmp")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            self._copy_mode(temporary)
            temporary.replace(self._real)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def _copy_mode(self, temporary: Path) -> None:
        if self._known is None:
            mask = os.umask(0)
            os.umask(mask)
            temporary.chmod(0o666 & ~mask)
            return
        status = self._real.stat()
        temporary.chmod(stat.S_IMODE(status.st_mode))
        if hasattr(os, "chown") and (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
            try:
                os.chown(temporary, status.st_uid, status.st_gid)
            except PermissionError:
                return  # only the superuser may give a file away; the mode is what protects it
