"""The errors Linewise raises on purpose.

Every message says what was wrong, where, and what to do. Commands turn them into one line on standard
error and exit status 1; the language server turns them into `window/showMessage`.
"""

from __future__ import annotations

import errno

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def told(error: Exception) -> str:
    """What an error says to a user: a full disk by that name, since such an error seldom names a file."""
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        where = f" for {error.filename}" if error.filename else ""
        return f"there is no room left on the disk{where} ({error.strerror}); make some, and try again"
    return str(error)


class LinewiseError(Exception):
    """Base of every error that a user of Linewise may meet."""


class ConfigurationError(LinewiseError):
    """A setting is unknown or has a value that it cannot have, or a file of settings cannot be read."""


class EditError(LinewiseError):
    """A diff cannot be parsed, or does not fit the text that it is applied to."""


class ConflictError(EditError):
    """A hunk overlaps a concurrent edit, so it cannot be rebased."""


class EngineError(LinewiseError):
    """An engine cannot load its model or cannot go on generating."""


class BusyError(EngineError):
    """An engine has as many requests waiting as it takes: the caller may try again, or do without."""


class ServerError(EngineError):
    """The model server cannot be started or reached, or ended in the middle of an answer."""


class NewerServerError(ServerError):
    """A model server of a newer version is in this one's place, and does not give way to it."""


class ModelError(EngineError):
    """A model file is missing, damaged, or not of a kind that can be served."""


class ContextError(EngineError):
    """What must be shown of a document does not fit the model's context."""


class FileError(LinewiseError):
    """A file cannot be read, is not text, or changed under a running write."""
