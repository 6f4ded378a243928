"""Find out under which licence code stands, and whether that licence lets anyone train on and share it.

Covers: SPDX expressions, the free-form names and trove classifiers that Python packages use, the text of a
licence file, and a licence that a single source file states in its head. Names are SPDX identifiers.
Not covered: licence texts other than the common ones; what is not recognised counts as not permissive.
"""

from __future__ import annotations

import re

from linewise.errors import LinewiseError

PERMISSIVE = frozenset(
    {
        "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "CNRI-Python", "HPND",
        "ISC", "LicenseRef-BSD", "MIT", "MIT-0", "PSF-2.0", "Python-2.0", "Unlicense", "Zlib",
    }
)  # fmt: skip

# A file may not say which BSD licence it means; all BSD variants in use are permissive.
UNSPECIFIED_BSD = "LicenseRef-BSD"

_CLASSIFIERS = {
    "apache software license": "Apache-2.0",
    "bsd license": UNSPECIFIED_BSD,
    "boost software license 1.0 (bsl-1.0)": "BSL-1.0",
    "cc0 1.0 universal (cc0 1.0) public domain dedication": "CC0-1.0",
    "historical permission notice and disclaimer (hpnd)": "HPND",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "mit no attribution license (mit-0)": "MIT-0",
    "python software foundation license": "PSF-2.0",
    "the unlicense (unlicense)": "Unlicense",
    "zlib/libpng license": "Zlib",
    "zero-clause bsd (0bsd)": "0BSD",
}

_NAMES = {
    "apache": "Apache-2.0",
    "apache 2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache license version 2.0": "Apache-2.0",
    "apache 2.0 license": "Apache-2.0",
    "asl 2": "Apache-2.0",
    "bsd": UNSPECIFIED_BSD,
    "bsd license": UNSPECIFIED_BSD,
    "bsd 2-clause license": "BSD-2-Clause",
    "2-clause bsd": "BSD-2-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "3-clause bsd license": "BSD-3-Clause",
    "new bsd": "BSD-3-Clause",
    "modified bsd license": "BSD-3-Clause",
    "expat license": "MIT",
    "isc license": "ISC",
    "mit license": "MIT",
    "the mit license": "MIT",
    "mit license (mit)": "MIT",
    "psf": "PSF-2.0",
    "python software foundation license": "PSF-2.0",
    "unlicense": "Unlicense",
}

_COPYLEFT_TITLES = (
    ("gnu affero general public license", "AGPL-3.0-or-later"),
    ("gnu lesser general public license", "LGPL-2.1-or-later"),
    ("gnu library general public license", "LGPL-2.0-or-later"),
    ("gnu general public license", "GPL-2.0-or-later"),
    ("mozilla public licen", "MPL-2.0"),
)
_GNU = re.compile(
    r"terms and conditions for copying, distribution and modification"
    r"|everyone is permitted to copy and distribute verbatim copies of this licen[cs]e document"
)
# What takes back a permissive licence that stands before or behind it.
_RESTRICTION = re.compile(
    r"commons clause|hippocratic licen[cs]e|for good, not evil|anti.996"
    r"|for non-?commercial (use|purposes?|research)|non-?commercial (use|purposes?|research)[a-z ]* only"
)

_SPDX_BY_LOWER = {name.lower(): name for name in PERMISSIVE}
_TOKEN = re.compile(r"\(|\)|[^\s()]+")
_HEADER_SPDX = re.compile(r"SPDX-License-Identifier:\s*([^\n]+)")
_HEADER_COPYLEFT = re.compile(
    r"GNU\s+(?:#\s*)?(?:Lesser\s+|Library\s+|Affero\s+)?General\s+(?:#\s*)?Public\s+(?:#\s*)?Licen[cs]e"
    r"|Mozilla\s+(?:#\s*)?Public\s+(?:#\s*)?Licen[cs]e",
    re.IGNORECASE,
)


def is_permissive(expression: str) -> bool:
    """Whether an SPDX licence expression grants permissive terms.

    AND needs every part permissive, OR needs one; an exception (WITH) only ever grants more. Raises
    LinewiseError when `expression` is not of that form.
    """
    tokens = _TOKEN.findall(expression)
    allowed, end = _alternatives(tokens, 0, expression)
    if end != len(tokens):
        raise _not_an_expression(expression)
    return allowed


def _not_an_expression(expression: str) -> LinewiseError:
    return LinewiseError(f"licence {expression!r} is not an SPDX expression; write one such as 'MIT'")


def _alternatives(tokens: list[str], at: int, expression: str) -> tuple[bool, int]:
    allowed, at = _conjunction(tokens, at, expression)
    while at < len(tokens) and tokens[at].upper() == "OR":
        other, at = _conjunction(tokens, at + 1, expression)
        allowed = allowed or other
    return allowed, at


def _conjunction(tokens: list[str], at: int, expression: str) -> tuple[bool, int]:
    allowed, at = _licence(tokens, at, expression)
    while at < len(tokens) and tokens[at].upper() == "AND":
        other, at = _licence(tokens, at + 1, expression)
        allowed = allowed and other
    return allowed, at


def _licence(tokens: list[str], at: int, expression: str) -> tuple[bool, int]:
    if at >= len(tokens) or tokens[at] == ")" or tokens[at].upper() in ("AND", "OR", "WITH"):
        raise _not_an_expression(expression)
    if tokens[at] == "(":
        allowed, at = _alternatives(tokens, at + 1, expression)
        if at >= len(tokens) or tokens[at] != ")":
            raise _not_an_expression(expression)
        return allowed, at + 1
    allowed = tokens[at].lower() in _SPDX_BY_LOWER
    at += 1
    if at + 1 < len(tokens) and tokens[at].upper() == "WITH":
        at += 2
    return allowed, at


def from_name(name: str) -> str | None:
    """SPDX expression that a package's free-form licence field means, or None."""
    plain = " ".join(name.split()).strip(" .")
    if plain.lower() in _NAMES:
        return _NAMES[plain.lower()]
    words = [word for word in _TOKEN.findall(plain) if word not in "()"]
    licences = words[::2]
    joined = all(word.upper() in ("AND", "OR") for word in words[1::2])
    if licences and joined and all(licence.lower() in _SPDX_BY_LOWER for licence in licences):
        return plain
    return None


def from_classifiers(classifiers: list[str]) -> str | None:
    """SPDX expression of a package's trove classifiers, or None where it has none or an unknown one.

    Several classifiers do not say whether one may choose, so they are joined with AND.
    """
    found = [_CLASSIFIERS.get(name) for name in _licence_names(classifiers)]
    known = {licence for licence in found if licence is not None}
    return " AND ".join(sorted(known)) if found and None not in found else None


def names_a_licence(classifiers: list[str]) -> bool:
    """Whether a package's trove classifiers name a licence at all, permissive or not."""
    return bool(_licence_names(classifiers))


def _licence_names(classifiers: list[str]) -> list[str]:
    parts = [[part.strip().lower() for part in classifier.split("::")] for classifier in classifiers]
    vague = ("license", "osi approved", "dfsg approved")
    return [p[-1] for p in parts if p[0] == "license" and p[-1] not in vague]


def _restriction(plain: str) -> str | None:
    """The licence of a text (lower case, single spaces) that is not permissive, whatever else is in it."""
    for title, licence in _COPYLEFT_TITLES:
        if title in plain[:600]:
            return licence
    # Wheels carry the text of the GPL for compiled libraries that come with this exception.
    if "gcc runtime library exception" not in plain and _GNU.search(plain):
        return "LicenseRef-Copyleft"
    return "LicenseRef-Restricted" if _RESTRICTION.search(plain) else None


def from_text(text: str) -> str | None:
    """SPDX expression of a licence file's text, or None when no known licence is in it.

    Several licences in one file are joined with AND. Copyleft titles are looked for at the head only, as
    permissive licences mention the GPL further down; its own words count wherever they stand, and so do the
    conditions that some add to a permissive text.
    """
    plain = " ".join(text.lower().split())
    if not_permissive := _restriction(plain):
        return not_permissive
    found: list[str] = []
    if "python software foundation license version 2" in plain:
        # The file of Python itself goes on with the licences of its older versions, all permissive.
        return "PSF-2.0"
    if "apache license" in plain and "version 2.0" in plain:
        found.append("Apache-2.0")
    if "permission is hereby granted, free of charge, to any person obtaining" in plain:
        found.append("MIT" if "permission notice shall be included" in plain else "MIT-0")
    if "redistribution and use in source and binary forms" in plain:
        if "all advertising materials" in plain:
            return "BSD-4-Clause"
        found.append("BSD-3-Clause" if re.search(r"neither the names?\b", plain) else "BSD-2-Clause")
    if re.search(r"permission to use, copy, modify,? (and|and/or|&) ?distribute this software", plain):
        found.append("ISC" if "copyright notice and this permission notice appear" in plain else "0BSD")
    if "this is free and unencumbered software released into the public domain" in plain:
        found.append("Unlicense")
    if "cc0 1.0 universal" in plain:
        found.append("CC0-1.0")
    if "boost software license - version 1.0" in plain:
        found.append("BSL-1.0")
    if "altered source versions must be plainly marked" in plain:
        found.append("Zlib")
    return " AND ".join(sorted(set(found))) or None


def stated_in_head(source: str) -> str | None:
    """Licence stated in a file's first 4,000 characters: its SPDX tag or a copyleft notice, or None."""
    head = source[:4000]
    tag = _HEADER_SPDX.search(head)
    if tag:
        return tag.group(1).strip(" */#-'\"")
    if _HEADER_COPYLEFT.search(head):
        return "LicenseRef-Copyleft"
    return None
