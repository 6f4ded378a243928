"""A recipe: one file that says how a model is made from nothing."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from linewise.errors import LinewiseError
from linewise_training.export.licence import licence_id
from linewise_training.mix import Mix
from linewise_training.schedule import ModelShape, Schedule

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_TABLES: Mapping[str, tuple[str, ...]] = {
    "corpus": ("options",),
    "lintseq": ("options",),
    "tokenizer": ("vocabulary", "characters"),
    "model": tuple(field.name for field in fields(ModelShape)),
    "pretrain": ("mix", "schedule"),
    "sft": ("mix", "schedule"),
    "export": ("quantization", "license"),
}
"""The tables of a recipe and what each has."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a recipe file says."""

    name: str
    seed: int
    corpus: tuple[str, ...]
    lintseq: tuple[str, ...]
    vocabulary: int
    tokenizer_characters: int
    model: ModelShape
    pretrain: tuple[Mix, Schedule]
    sft: tuple[Mix, Schedule]
    quantization: str
    licence: str | None
    """What the model file says of its own licence (SPDX), None where the recipe does not say."""


def read_recipe(name_or_path: str) -> Recipe:
    """Read a recipe that comes with Linewise (by name) or a file. Raises LinewiseError naming the fault."""
    path = Path(name_or_path)
    shipped = files("linewise_training") / "recipes" / f"{name_or_path}.toml"
    if path.suffix == ".toml" and path.is_file():
        text = path.read_text(encoding="utf-8")
    elif shipped.is_file():
        text = shipped.read_text(encoding="utf-8")
    else:
        names = sorted(
            p.name[:-5]
            for p in (files("linewise_training") / "recipes").iterdir()
            if p.name.endswith(".toml")
        )
        raise LinewiseError(f"no recipe {name_or_path!r}; give a .toml file or one of: {', '.join(names)}")
    try:
        table = tomllib.loads(text)
        unknown = set(table) - {*_TABLES, "name", "seed"}
        if unknown:
            raise LinewiseError(
                f"recipe {name_or_path}: unknown {', '.join(sorted(unknown))}; it has {', '.join(_TABLES)}"
            )
        for name, keys in _TABLES.items():
            unknown = set(table[name]) - set(keys)
            if unknown:
                raise LinewiseError(
                    f"recipe {name_or_path}: unknown {', '.join(sorted(unknown))} in [{name}]; "
                    f"it has {', '.join(keys)}"
                )
        return Recipe(
            name=table["name"],
            seed=table["seed"],
            corpus=tuple(table["corpus"]["options"]),
            lintseq=tuple(table["lintseq"]["options"]),
            vocabulary=table["tokenizer"]["vocabulary"],
            tokenizer_characters=table["tokenizer"]["characters"],
            model=ModelShape(**table["model"]),
            pretrain=_stage(table["pretrain"]),
            sft=_stage(table["sft"]),
            quantization=table["export"]["quantization"],
            licence=licence_id(licence) if (licence := table["export"].get("license")) is not None else None,
        )
    except KeyError as error:
        raise LinewiseError(f"recipe {name_or_path}: {error} is missing") from error
    except (TypeError, ValueError) as error:  # TOML's own errors are ValueErrors
        raise LinewiseError(f"recipe {name_or_path}: {error}") from error


def _stage(table: Mapping[str, Any]) -> tuple[Mix, Schedule]:
    return Mix(**table["mix"]), Schedule(**table["schedule"])
