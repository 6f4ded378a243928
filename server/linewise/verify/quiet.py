"""Parse without letting Python print warnings about the parsed code."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

# The state of `warnings` belongs to the whole program, so only one thread at a time may change it.
_LOCK = threading.Lock()


@contextmanager
def no_warnings() -> Iterator[None]:
    """Ignore warnings for a short while; other threads that want the same wait."""
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
