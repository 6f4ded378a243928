"""Text that goes on after the function is cut where the function ends."""

from __future__ import annotations

import pytest

from linewise_training.evaluation.functions import braced_body, fenced, python_body


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ("    return 1\n\n\ndef other():\n    pass\n", "    return 1\n\n\n"),
        ("    return 1\n# a comment\n", "    return 1\n"),
        ("    return f(\n        1,\n    )\nprint(2)\n", "    return f(\n        1,\n    )\n"),
        ("    x = [\n1\n]\n    return x\n", "    x = [\n"),
        ("    x = [\n        1,\n]\n    return x\nif x:\n", "    x = [\n        1,\n]\n    return x\n"),
        ("    return 1\n@decorated", "    return 1\n"),
    ],
)
def test_a_python_body_ends_before_the_first_line_that_is_not_indented(text: str, body: str) -> None:
    assert python_body(text) == (body, True)


def test_a_python_body_may_not_have_ended_yet() -> None:
    assert python_body("    if x:\n        return 1\n\n") == ("    if x:\n        return 1\n\n", False)
    assert python_body("") == ("", False)


def test_braces_end_a_body_and_what_is_around_it_is_closed() -> None:
    java = "class A {\n    /** a { brace */\n    public static int f() {\n"
    text = '        String s = "}"; // }\n        if (x) { return 1; }\n    }\n\n    void g() {'
    body, ended = braced_body(text, java)
    assert ended
    assert body == text[: text.index("    }\n\n") + 5] + "\n}\n"
    assert braced_body("    return {a: 1}\n", "function f() {\n") == ("    return {a: 1}\n", False)


def test_a_fence_ends_code() -> None:
    assert fenced("def f():\n    pass\n```\nThat is it.") == ("def f():\n    pass\n", True)
    assert fenced("def f():") == ("def f():", False)
