"""Every setting of Linewise, with its type, its default and who may set it.

This is the only list: files, environment variables, editors' options and `linewise config show` are read and
written from it.
"""

# ruff: noqa: RUF009 -- `_setting` only calls `field`

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, TypeVar, cast

from linewise.configuration.kinds import (
    Addresses,
    Choice,
    Flag,
    Kind,
    Location,
    ModelName,
    Number,
    Text,
    Whole,
)

Scope: TypeAlias = Literal["workspace", "trusted workspace", "user"]
"""Who may set it: any workspace's file, only one that the user trusts, or the user alone."""

EngineKind: TypeAlias = Literal["auto", "llama_cpp", "ctranslate2", "transformers", "http"]
Switch: TypeAlias = Literal["auto", "on", "off"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its dotted `key`, and what it means in `text`."""

    key: str
    kind: Kind
    default: object
    text: str
    scope: Scope

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return "LINEWISE_" + self.key.upper().replace(".", "_")


def _setting(default: _T, kind: Kind, text: str, scope: Scope = "workspace") -> _T:
    return field(default=default, metadata={"kind": kind, "text": text, "scope": scope})


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """`[engine]`: what computes, and how much of it at once."""

    kind: EngineKind = _setting(
        "auto",
        Choice(("auto", "llama_cpp", "ctranslate2", "transformers", "http")),
        "what runs the model; auto: what the model's file or folder is made for",
        "trusted workspace",
    )
    lanes: int = _setting(8, Whole(1, 64), "generations at once, at most")
    slots: int | None = _setting(
        None, Whole(1, 256), "open documents whose caches are kept; default: by the memory that one takes"
    )
    speculation: Switch = _setting(
        "auto", Choice(("auto", "on", "off")), "drafts from the document; auto: where they pay"
    )
    compute_type: str = _setting(
        "default",
        Choice(("default", "int8", "int8_float32", "float32", "float16", "bfloat16")),
        "numbers that ctranslate2 computes with; default: as they are stored",
    )


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """`[http]`: servers that speak OpenAI's completions, for `engine.kind = "http"`."""

    addresses: tuple[str, ...] = _setting(
        (), Addresses(), "servers; each document stays with one of them", "trusted workspace"
    )
    model: str | None = _setting(
        None, Text(), "the model's name there; default: the first that it lists", "trusted workspace"
    )
    format: str | None = _setting(
        None,
        Choice(("edit-log/1", "lintseq", "fim")),
        "the format that the model was trained on, where the server does not say",
    )
    tokenizer: Path | None = _setting(
        None,
        Location(),
        "the model's tokenizer.json: prompts then go out as token ids",
        "trusted workspace",
    )
    context_length: int | None = _setting(
        None, Whole(64, 1 << 24), "tokens of context, where the server does not say"
    )
    key_file: Path | None = _setting(
        None,
        Location(),
        "a file with the key that the server asks for, such as $LINEWISE_HTTP_KEY holds",
        "user",
    )
    timeout: float = _setting(30.0, Number(0.1, 3600), "seconds of silence after which a server is given up")
    connect_timeout: float = _setting(3.0, Number(0.1, 60), "seconds to reach a server")
    retries: int = _setting(2, Whole(0, 10), "further tries of a request, each at the next healthy server")


@dataclass(frozen=True, slots=True)
class InlineSettings:
    """`[inline]`: completion at the cursor."""

    max_lines: int = _setting(8, Whole(1, 200), "lines of a completion at most")
    max_tokens: int = _setting(128, Whole(1, 4096), "tokens of a completion at most")


@dataclass(frozen=True, slots=True)
class WriteSettings:
    """`[write]`: writing by instruction."""

    temperature: float = _setting(0.0, Number(0, 2), "0 is greedy")
    max_edits: int = _setting(64, Whole(1, 10_000), "edits of one write at most")
    max_tokens: int = _setting(4096, Whole(1, 1 << 20), "tokens of one write at most, dropped ones included")
    max_tries: int = _setting(5, Whole(1, 100), "samples of one hunk at most, before it is given up")


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """`[serve]`: the model server that a user's editors share."""

    enabled: bool = _setting(
        True, Flag(), "whether editors share one server; false: each loads the model itself", "user"
    )
    socket: Path | None = _setting(
        None, Location(), "its socket; default: in the user's runtime folder", "user"
    )
    port: int | None = _setting(None, Whole(1, 65535), "a port of this machine instead of a socket", "user")
    idle_minutes: float = _setting(
        30.0, Number(0, 100_000), "minutes without a client after which it ends; 0: never", "user"
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set."""

    model: str | None = _setting(
        None,
        ModelName(),
        "a registered model's name, or a model's path; default: the one in use",
    )
    context_length: int | None = _setting(
        None, Whole(64, 1 << 24), "tokens of context; default: the model's own, at most 8192"
    )
    threads: int | None = _setting(
        None, Whole(1, 1024), "processor threads; default: by this machine's cores"
    )
    verifier: str = _setting(
        "pylint", Choice(("pylint", "fast", "none")), "what each hunk of Python must pass"
    )
    engine: EngineSettings = field(default_factory=EngineSettings)
    http: HttpSettings = field(default_factory=HttpSettings)
    inline: InlineSettings = field(default_factory=InlineSettings)
    write: WriteSettings = field(default_factory=WriteSettings)
    serve: ServeSettings = field(default_factory=ServeSettings)


_SECTIONS: Mapping[str, type[Any]] = {
    "engine": EngineSettings,
    "http": HttpSettings,
    "inline": InlineSettings,
    "write": WriteSettings,
    "serve": ServeSettings,
}


def _declared() -> dict[str, Setting]:
    found = {}
    for prefix, section in (("", Settings), *((f"{name}.", type_) for name, type_ in _SECTIONS.items())):
        for one in fields(section):
            if "kind" in one.metadata:
                key = prefix + one.name
                about = one.metadata
                found[key] = Setting(key, about["kind"], one.default, about["text"], about["scope"])
    return found


SETTINGS: Mapping[str, Setting] = MappingProxyType(_declared())
"""Every setting by its dotted key, in the order in which they are declared."""

SECTIONS: tuple[str, ...] = tuple(_SECTIONS)
"""Names of the tables that a file may have."""


def settings_of(values: Mapping[str, object]) -> Settings:
    """The settings that `values` (by dotted key, each of its setting's kind) make; the rest are defaults."""
    root: dict[str, Any] = {key: value for key, value in values.items() if "." not in key}
    for name, section in _SECTIONS.items():
        inside = {
            key.removeprefix(f"{name}."): value for key, value in values.items() if key.startswith(f"{name}.")
        }
        root[name] = section(**inside)
    return Settings(**root)


def value_of(settings: Settings, key: str) -> object:
    """The value of the setting `key`, dotted."""
    found: Any = settings
    for part in key.split("."):
        found = getattr(found, part)
    return cast(object, found)
