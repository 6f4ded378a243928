"""Instructions as people type them, from docstrings as people write them."""

from __future__ import annotations

import random
import re

# Verbs that open docstrings of functions, in the infinitive; "Returns the sum" opens with "return", too.
_VERB_LIST = """
add append apply assert build calculate check clean clear close combine compare compute concatenate
convert copy count create decode decorate define delete determine display divide download draw
encode ensure escape estimate evaluate execute extract fetch fill filter find fix flatten format
generate get give group handle implement initialize insert iterate join list load look make map
match merge move normalize open pad parse plot print process produce provide raise read register
remove rename render replace reset resolve return reverse round run sample save scale search select
send set show shuffle sort split start stop strip sum swap test transform transpose truncate try
turn update use validate verify wait walk wrap write yield
"""
_VERBS = frozenset(_VERB_LIST.split())
_LEAD = re.compile(
    r"^(?:write|create|implement|define)\s+(?:a|the)\s+(?:python\s+)?function\s+(?:to|that)\s+", re.IGNORECASE
)


def rephrase(instruction: str, rng: random.Random) -> str:
    """One of the ways to ask for the same function: as it is, or "a function that returns …", and so on."""
    text = " ".join(instruction.split()).rstrip(".")
    style = rng.random()
    lead = _LEAD.match(text)
    rest = text[lead.end() :] if lead else text
    first, _, tail = rest.partition(" ")
    verb = _infinitive(first.lower())
    if verb is None or not tail or style < 0.25:
        return text if style < 0.5 else text[:1].lower() + text[1:]
    if style < 0.55:
        return f"a function that {_third_person(verb)} {tail}"
    if style < 0.7:
        return f"write a function to {verb} {tail}"
    if style < 0.85:
        return f"{verb} {tail}"
    return f"function to {verb} {tail}"


def _infinitive(word: str) -> str | None:
    for candidate in (word, word[:-1], word[:-2], word[:-3] + "y"):
        if candidate in _VERBS and word in (candidate, _third_person(candidate)):
            return candidate
    return None


def _third_person(verb: str) -> str:
    if verb.endswith(("s", "sh", "ch", "x", "z")):
        return verb + "es"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ies"
    return verb + "s"
