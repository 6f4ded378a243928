"""The errors Linewise raises on purpose.

Every message says what was wrong, where, and what to do. Commands turn them into one line on standard
error and exit status 1; the language server turns them into `window/showMessage`.
"""


class LinewiseError(Exception):
    """Base of every error that a user of Linewise may meet."""


class EditError(LinewiseError):
    """A diff cannot be parsed, or does not fit the text that it is applied to."""


class ConflictError(EditError):
    """A hunk overlaps a concurrent edit, so it cannot be rebased."""


class EngineError(LinewiseError):
    """An engine cannot load its model or cannot go on generating."""


class ModelError(EngineError):
    """A model file is missing, damaged, or not of a kind that can be served."""


class ContextError(EngineError):
    """What must be shown of a document does not fit the model's context."""


class FileError(LinewiseError):
    """A file cannot be read, is not text, or changed under a running write."""
