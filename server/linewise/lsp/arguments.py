"""The arguments of the `linewise.write` command: one object, or a URI, an instruction and a range."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams

WRITE_COMMAND = "linewise.write"


@dataclass(frozen=True, slots=True)
class WriteArguments:
    """What to write where; `range` is the part of the document that the instruction is about, if not all."""

    uri: str
    instruction: str
    range: types.Range | None


def read_write_arguments(arguments: Any) -> WriteArguments:
    """Read the command's arguments as the client sent them. Raises JsonRpcInvalidParams."""
    given = list(arguments or ())
    if len(given) == 1 and isinstance(given[0], Mapping):
        record = given[0]
        unknown = sorted(set(record) - {"uri", "instruction", "range"})
        if unknown:
            raise JsonRpcInvalidParams(f"{WRITE_COMMAND} knows no argument {unknown[0]!r}.")
        given = [record.get("uri"), record.get("instruction"), record.get("range")]
    if len(given) not in (2, 3) or not all(isinstance(text, str) for text in given[:2]):
        raise JsonRpcInvalidParams(
            f"{WRITE_COMMAND} takes (uri, instruction, range?) or one object with these names."
        )
    uri, instruction = given[:2]
    if not instruction.strip():
        raise JsonRpcInvalidParams("The instruction is empty; say what to write.")
    return WriteArguments(uri, instruction.strip(), _read_range(given[2] if len(given) == 3 else None))


def _read_range(value: Any) -> types.Range | None:
    if value is None:
        return None
    try:
        start, end = (
            types.Position(int(place["line"]), int(place["character"]))
            for place in (value["start"], value["end"])
        )
    except (KeyError, TypeError, ValueError) as error:
        raise JsonRpcInvalidParams(
            "The range must be an LSP range: {start, end} of {line, character}."
        ) from error
    return types.Range(start, end)
