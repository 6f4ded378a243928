import pytest

from linewise.errors import LinewiseError
from linewise_training.corpus import licences


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("mit", True),
        ("GPL-3.0-only", False),
        ("MIT OR GPL-3.0-only", True),
        ("MIT AND GPL-3.0-only", False),
        ("GPL-2.0-only OR MIT AND LGPL-3.0-only", False),
        ("(GPL-2.0-only OR MIT) AND ISC", True),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("Apache-2.0 AND Apache-2.0 WITH LLVM-exception AND BSL-1.0", True),
        ("MPL-2.0", False),
    ],
)
def test_and_needs_every_part_and_or_needs_one(expression, allowed):
    assert licences.is_permissive(expression) is allowed


@pytest.mark.parametrize("expression", ["", "MIT AND", "OR MIT", "(MIT", "MIT)", "the MIT licence"])
def test_what_is_no_expression_is_refused_by_name(expression):
    with pytest.raises(LinewiseError, match="SPDX"):
        licences.is_permissive(expression)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("MIT", "MIT"),
        ("Apache License 2.0", "Apache-2.0"),
        ("BSD", "LicenseRef-BSD"),
        ("MIT OR Apache-2.0", "MIT OR Apache-2.0"),
        ("MPL-2.0 AND MIT", None),
        ("Dual License", None),
        ("", None),
    ],
)
def test_names_that_packages_use_become_expressions(name, expected):
    assert licences.from_name(name) == expected


def test_a_classifier_that_is_not_permissive_spoils_the_others():
    mit = "License :: OSI Approved :: MIT License"
    gpl = "License :: OSI Approved :: GNU General Public License (GPL)"
    assert licences.from_classifiers(["License :: OSI Approved", mit]) == "MIT"
    assert licences.from_classifiers([mit, gpl]) is None
    assert licences.from_classifiers([]) is None
    assert licences.names_a_licence([gpl])
    assert not licences.names_a_licence(["License :: OSI Approved"])


BSD = "Redistribution and use in source and binary forms, with or without modification, are permitted."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (BSD, "BSD-2-Clause"),
        (BSD + "\nNeither the name of the copyright holder may be used.", "BSD-3-Clause"),
        (BSD + "\nAll advertising materials must mention it. Neither the name", "BSD-4-Clause"),
        ("Apache License\n Version 2.0, January 2004", "Apache-2.0"),
        ("Permission to use, copy, modify, and/or distribute this software for any purpose", "0BSD"),
        ("Mozilla Public Licence v. 2.0\nPermission is hereby granted, free of charge, to any", "MPL-2.0"),
        ("PYTHON SOFTWARE FOUNDATION LICENSE VERSION 2\nGPL-compatible", "PSF-2.0"),
        ("All rights reserved.", None),
    ],
)
def test_licence_texts_are_recognised(text, expected):
    assert licences.from_text(text) == expected


def test_mit_and_gpl_texts_are_told_apart(mit, gpl):
    assert licences.from_text(mit) == "MIT"
    assert licences.from_text(gpl + mit).startswith("GPL")


def test_a_copyleft_notice_in_the_head_of_a_file_counts():
    notice = "# This is free software under the GNU Lesser General\n# Public License.\nx = 1\n"
    assert not licences.is_permissive(licences.stated_in_head(notice))
    assert licences.stated_in_head("# SPDX-License-Identifier: ISC\n") == "ISC"
    assert licences.stated_in_head("x = 1\n") is None


def test_what_takes_a_permissive_licence_back_is_seen_wherever_it_stands(mit):
    gnu = "Everyone is permitted to copy and distribute verbatim copies of this license document"
    for more in (gnu, '"Commons Clause" License Condition v1.0', "may be used for noncommercial purposes."):
        for text in (f"{mit}\n\n{more}", f"{more}\n\n{mit}"):
            assert not licences.is_permissive(licences.from_text(text))
    welcome = "Combine it with the GNU General Public License. Commercial and non-commercial use is welcome."
    assert licences.from_text(mit * 3 + welcome) == "MIT"
    library = "GCC RUNTIME LIBRARY EXCEPTION"  # a wheel's compiled parts, not its Python
    assert licences.from_text(f"{mit * 3}{library}\n{gnu}") == "MIT"
