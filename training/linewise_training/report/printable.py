"""Text from a data file made safe to show: in a terminal, and as XML."""

from __future__ import annotations


def printable(text: str) -> str:
    """One line of `text`, what does not print (tabs apart) as "�", a "\\r" at its end left out.

    Lone surrogates do not print either, so the result can be encoded.
    """
    shown = text.removesuffix("\r")
    return "".join(c if c.isprintable() or c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in shown)
