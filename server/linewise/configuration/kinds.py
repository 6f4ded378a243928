"""What a setting's value may be: how it is read from a file, a variable or an editor's options."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit


class Kind(Protocol):
    """One kind of value. `expected` completes the sentence "expected ..."."""

    @property
    def expected(self) -> str:
        """What a value must be, in words."""
        ...

    def read(self, value: object, folder: Path) -> object:
        """The setting's value for a TOML or JSON `value`; a relative path begins in `folder`.

        Raises ValueError for what is none.
        """
        ...

    def parse(self, text: str, folder: Path) -> object:
        """The same for text, as an environment variable has it."""
        ...


def _wrong(value: object) -> ValueError:
    return ValueError(repr(value))


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number from `least` to `most`, both included."""

    least: int
    most: int

    @property
    def expected(self) -> str:
        """Its bounds."""
        return f"a whole number from {self.least} to {self.most}"

    def read(self, value: object, folder: Path) -> int:  # noqa: ARG002 -- no path
        """The number itself."""
        if not isinstance(value, int) or isinstance(value, bool) or not self.least <= value <= self.most:
            raise _wrong(value)
        return value

    def parse(self, text: str, folder: Path) -> int:
        """Decimal digits."""
        return self.read(int(text), folder)


@dataclass(frozen=True, slots=True)
class Number:
    """A number from `least` to `most`, both included."""

    least: float
    most: float

    @property
    def expected(self) -> str:
        """Its bounds."""
        return f"a number from {self.least:g} to {self.most:g}"

    def read(self, value: object, folder: Path) -> float:  # noqa: ARG002 -- no path
        """The number; a whole one becomes a float."""
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            raise _wrong(value)
        if not self.least <= value <= self.most:
            raise _wrong(value)
        return float(value)

    def parse(self, text: str, folder: Path) -> float:
        """As Python writes floats."""
        return self.read(float(text), folder)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of `names`."""

    names: tuple[str, ...]

    @property
    def expected(self) -> str:
        """The names."""
        return f"one of {', '.join(self.names)}"

    def read(self, value: object, folder: Path) -> str:  # noqa: ARG002 -- no path
        """The name itself."""
        if not isinstance(value, str) or value not in self.names:
            raise _wrong(value)
        return value

    def parse(self, text: str, folder: Path) -> str:
        """The name itself."""
        return self.read(text, folder)


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""

    @property
    def expected(self) -> str:
        """Both."""
        return "true or false"

    def read(self, value: object, folder: Path) -> bool:  # noqa: ARG002 -- no path
        """The value itself."""
        if not isinstance(value, bool):
            raise _wrong(value)
        return value

    def parse(self, text: str, folder: Path) -> bool:  # noqa: ARG002 -- no path
        """`true`, `false`, 1 or 0."""
        known = {"true": True, "1": True, "false": False, "0": False}
        if text.lower() not in known:
            raise _wrong(text)
        return known[text.lower()]


@dataclass(frozen=True, slots=True)
class Text:
    """Any text that is not blank."""

    @property
    def expected(self) -> str:
        """Text."""
        return "text"

    def read(self, value: object, folder: Path) -> str:  # noqa: ARG002 -- no path
        """The text itself."""
        if not isinstance(value, str) or not value.strip():
            raise _wrong(value)
        return value

    def parse(self, text: str, folder: Path) -> str:
        """The text itself."""
        return self.read(text, folder)


@dataclass(frozen=True, slots=True)
class Location:
    """A path of the file system; `~` is the user's home folder."""

    @property
    def expected(self) -> str:
        """A path."""
        return "a path"

    def read(self, value: object, folder: Path) -> Path:
        """The path, absolute."""
        if not isinstance(value, str) or not value.strip() or "\0" in value:
            raise _wrong(value)
        return Path(os.path.normpath(folder / _expanded(value)))

    def parse(self, text: str, folder: Path) -> Path:
        """The same."""
        return self.read(text, folder)


@dataclass(frozen=True, slots=True)
class ModelName:
    """A model: the name of a registered one, or the path of a file or folder, which becomes absolute.

    What has a folder's separator in it, begins with `~`, ends in `.gguf` or lies in `folder` is a path.
    """

    @property
    def expected(self) -> str:
        """A name or a path."""
        return "the name of a registered model, or the path of a model"

    def read(self, value: object, folder: Path) -> str:
        """The name, or the absolute path."""
        if not isinstance(value, str) or not value.strip() or "\0" in value:
            raise _wrong(value)
        return str(Location().read(value, folder)) if is_path(value) else value

    def parse(self, text: str, folder: Path) -> str:
        """The same, where a file of that name in `folder` goes before a registered model."""
        if text.strip() and (folder / text).exists():
            return str(Location().read(text, folder))
        return self.read(text, folder)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Addresses of servers by http or https, at least one."""

    @property
    def expected(self) -> str:
        """A list of addresses."""
        return 'a list of addresses such as ["http://127.0.0.1:8000"], without a password in them'

    def read(self, value: object, folder: Path) -> tuple[str, ...]:  # noqa: ARG002 -- no path
        """The addresses, without a slash at their ends."""
        if not isinstance(value, Sequence) or isinstance(value, str | bytes) or not value:
            raise _wrong(value)
        return tuple(_address(one) for one in value)

    def parse(self, text: str, folder: Path) -> tuple[str, ...]:
        """Addresses parted by commas."""
        return self.read([part.strip() for part in text.split(",")], folder)


def is_path(model: str) -> bool:
    """Whether `model` names a file by its path, not a registered model."""
    separators = {os.sep, "/", os.altsep or os.sep}
    return (
        model.startswith(("~", ".")) or model.endswith(".gguf") or any(mark in model for mark in separators)
    )


def _expanded(value: str) -> Path:
    try:
        return Path(value).expanduser()
    except RuntimeError:  # the home folder of nobody that the system knows
        raise _wrong(value) from None


def _address(value: object) -> str:
    if not isinstance(value, str):
        raise _wrong(value)
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise _wrong(value)
    if parts.username or parts.password:
        raise _wrong(value)
    _ = parts.port  # raises ValueError for one that is none
    return value.rstrip("/")
