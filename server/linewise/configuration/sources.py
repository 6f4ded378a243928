"""Where settings come from: each source as dotted keys with values, and what is wrong with it.

What is wrong never hides the rest: a key that is unknown, or whose value is not of its kind, is told as a
Problem and left out.
"""

from __future__ import annotations

import difflib
import re
import stat
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from linewise.configuration.kinds import is_path
from linewise.configuration.settings import SECTIONS, SETTINGS, Setting
from linewise.errors import ConfigurationError

Level: TypeAlias = Literal["default", "user file", "workspace file", "environment", "editor", "command line"]
"""The sources, the weakest first."""

PREFIX = "LINEWISE_"
CONFIG_VARIABLE = "LINEWISE_CONFIG"
"""Environment variable that names the user's file."""
KEY_VARIABLE = "LINEWISE_HTTP_KEY"
"""Environment variable with the key that a server of `http.addresses` asks for."""
OTHER_VARIABLES = frozenset({CONFIG_VARIABLE, KEY_VARIABLE, "LINEWISE_MODELS"})
"""Variables of Linewise that are no settings."""

MAX_BYTES = 1 << 20
_PASSWORD = re.compile(r"//[^/@'\"]*@")
_UNTRUSTED = "which a workspace may only set once you trust it: `linewise config trust {folder}`"
_USER_ONLY = "which only you may set, in your own linewise.toml"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from: `place` is a file's path or a variable's name, empty where there is none."""

    level: Level
    place: str = ""

    def __str__(self) -> str:
        return f"{self.level} {self.place}".rstrip()


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that was left out. `refused`: it is a workspace's, which may not say it."""

    message: str
    refused: bool = False

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True)
class Source:
    """What one source says: values by dotted key, each with its place, and what was left out."""

    values: Mapping[str, tuple[object, Origin]]
    problems: tuple[Problem, ...] = ()


def from_file(path: Path, level: Level, workspace: Path | None = None, trusted: bool = True) -> Source:
    """What the file at `path` says; nothing where it is not there.

    `workspace` is the folder whose file it is, None for the user's own; `trusted` whether the user trusts it.
    """
    try:
        table = _toml(path)
    except FileNotFoundError:
        return Source({})
    except OSError as error:
        return Source({}, (Problem(f"{path} cannot be read ({error.strerror}): see to its permissions"),))
    except ConfigurationError as error:
        return Source({}, (Problem(f"{path} {error}"),))
    source = _read(table, Origin(level, str(path)), str(path), path.parent)
    return source if workspace is None else _permitted(source, workspace, trusted)


def _toml(path: Path) -> Mapping[str, object]:
    """The table in the file at `path`. Raises OSError, and ConfigurationError that ends a sentence."""
    # A repository can hold a link to a pipe or a terminal, of which a read would wait for ever.
    if not stat.S_ISREG(path.stat().st_mode):
        raise ConfigurationError("is no regular file: put one there, or take it away")
    with path.open("rb") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise ConfigurationError("is over 1 MiB: make it shorter")
    try:
        table: Mapping[str, object] = tomllib.loads(raw.decode("utf-8"))
    except UnicodeDecodeError:
        raise ConfigurationError("is not UTF-8: save it as UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigurationError(f"is no TOML ({error}): correct that line") from None
    return table


def from_options(options: object, level: Level, place: str, folder: Path) -> Source:
    """What an editor's initialization options say, nested or with dotted keys; None says nothing."""
    if options is None:
        return Source({})
    if not isinstance(options, Mapping):
        wrong = f"{place} are no object with settings but a {type(options).__name__}, so they are left out"
        return Source({}, (Problem(wrong),))
    return _read(options, Origin(level), place, folder)


def from_environment(environment: Mapping[str, str], folder: Path) -> Source:
    """What variables LINEWISE_... say; an empty one says nothing.

    A name that no setting has is told only where it is nearly one: other programs may have theirs.
    """
    by_variable = {setting.variable: setting for setting in SETTINGS.values()}
    values: dict[str, tuple[object, Origin]] = {}
    problems = []
    for name in sorted(environment):
        text = environment[name]
        if not name.startswith(PREFIX) or name in OTHER_VARIABLES or not text:
            continue
        setting = by_variable.get(name)
        if setting is None:
            near = difflib.get_close_matches(name, [*by_variable, *OTHER_VARIABLES], 1, 0.85)
            if near:
                problems.append(
                    Problem(f"the environment variable {name} is no setting: do you mean {near[0]}?")
                )
            continue
        try:
            values[setting.key] = (setting.kind.parse(text, folder), Origin("environment", name))
        except ValueError:
            problems.append(_wrong_value(f"the environment variable {name}", "", setting, text))
    return Source(values, tuple(problems))


def _read(table: Mapping[str, object], origin: Origin, where: str, folder: Path) -> Source:
    values: dict[str, tuple[object, Origin]] = {}
    problems = []
    for key, value in _flat(table):
        setting = SETTINGS.get(key)
        if setting is None:
            problems.append(_unknown(key, where))
            continue
        try:
            values[key] = (setting.kind.read(value, folder), origin)
        except ValueError:
            problems.append(_wrong_value(where, f"{key} = ", setting, value))
    return Source(values, tuple(problems))


def _flat(table: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Dotted keys and their values. What is null says nothing."""
    for name, value in table.items():
        if isinstance(value, Mapping) and name in SECTIONS:
            yield from ((f"{name}.{key}", inside) for key, inside in value.items() if inside is not None)
        elif value is not None:
            yield str(name), value


def _unknown(key: str, where: str) -> Problem:
    if key in SECTIONS:
        return Problem(f"{where}: {key} is a section, not a setting: write a table of settings for it")
    names = [*SETTINGS, *SECTIONS]
    leaves: dict[str, str] = {}
    for name in SETTINGS:
        leaves.setdefault(name.rpartition(".")[2], name)
    near = difflib.get_close_matches(key, names, 1) or [
        leaves[leaf] for leaf in difflib.get_close_matches(key.rpartition(".")[2], list(leaves), 1)
    ]
    hint = f"do you mean {near[0]}?" if near else "`linewise config show` lists what can be set"
    return Problem(f"{where}: there is no setting {_shown(key)}: {hint}")


def _shown(text: str) -> str:
    """A key as it is, unless it is long or would do something to a terminal."""
    return text if text.isprintable() and len(text) <= 80 else repr(text[:80])


def _wrong_value(where: str, key: str, setting: Setting, value: object) -> Problem:
    shown = _PASSWORD.sub("//...@", repr(value))
    shown = shown if len(shown) <= 80 else f"{shown[:80]}..."
    return Problem(f"{where}: {key}{shown} is not valid: expected {setting.kind.expected}")


def _permitted(source: Source, workspace: Path, trusted: bool) -> Source:
    """The part of a workspace's file that it may say."""
    values = {}
    problems = list(source.problems)
    for key, (value, origin) in source.values.items():
        scope = SETTINGS[key].scope
        if key == "model" and isinstance(value, str) and is_path(value):
            scope = "trusted workspace"
        if scope == "user":
            problems.append(Problem(f"{origin.place} sets {key}, {_USER_ONLY}; it is left out", refused=True))
        elif scope == "trusted workspace" and not trusted:
            why = _UNTRUSTED.format(folder=workspace)
            problems.append(Problem(f"{origin.place} sets {key}, {why}; it is left out", refused=True))
        else:
            values[key] = (value, origin)
    return Source(values, tuple(problems))
