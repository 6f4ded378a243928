import json

import pytest

from linewise.errors import LinewiseError
from linewise_training.corpus.instructions import code_of, instruction_of, instruction_pairs
from linewise_training.corpus.pairs import Pair


@pytest.mark.parametrize(
    ("response", "code"),
    [
        ("Let's think.\n```python\nx = 1\n```\nThis sets x.", "x = 1"),
        ("```python\nimport a\n\n```\nthen\n```python\nb = a\n```", "import a\n\nb = a"),
        ("```python\nx = 1\n```\nIt prints\n```\n1\n```\nor\n```text\n2\n```", "x = 1"),
        ("x = 1\ny = 2\n", "x = 1\ny = 2"),
        ("```py\nx = 1\n```", "x = 1"),
        ("```Python3\nx = 1\n```", "x = 1"),
        ("```\nx = 1\n```", "x = 1"),
        ("~~~python\nx = 1\n~~~", "x = 1"),
        ('````python\ns = """\n```\n"""\n````', 's = """\n```\n"""'),
        ("```python\nx = 1\ny = 2", "x = 1\ny = 2"),
        ("```javascript\nlet x\n```", ""),
        ("1. First:\n   ```python\n   if x:\n       y = 1\n   ```", "if x:\n    y = 1"),
        ("<think>\n```python\nwrong = 1\n```\n</think>\n```python\nright = 1\n```", "right = 1"),
        ("<think>\n```python\nnever = 1\n```", ""),
        ("```python\r\nx = 1\r\n```\r\n", "x = 1"),
        ("Call ```f(x)``` so.\n```python\nf(1)\n```", "f(1)"),
        ("    x = 1\n    y = 2", "x = 1\ny = 2"),
    ],
)
def test_the_code_of_a_response_is_its_python_blocks(response, code):
    assert code_of(response) == code


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("## Task\nWrite **one** function\n\nthat adds.", "Task Write one function that adds."),
        ("Fix this:\n```python\nx = 1\n```", "Fix this: x = 1"),
        ("Use `__init__` and 2 ** 3 ** 4 # here", "Use `__init__` and 2 ** 3 ** 4 # here"),
    ],
)
def test_an_instruction_is_one_line_without_markdown(text, plain):
    assert instruction_of(text) == plain


BAD, GOOD = "```python\nbad = 1\n```", "```python\nx = 1\n```"


@pytest.mark.parametrize(
    "response",
    [
        f"So {BAD} or\n</think>\n{GOOD}",  # the opening tag stood in the prompt
        f"So\n{BAD}\n</think>\n{GOOD}",
        f"[THINK]So\n{BAD}\n[/THINK]\n{GOOD}",
        f"<|begin_of_thought|>\n{BAD}\n<|end_of_thought|>\n<|begin_of_solution|>\n{GOOD}\n<|end_of_solution|>",
        f"<think>\n{BAD}\n</think>\n<think>\n{BAD}\n</think>\n{GOOD}",
        "<answer>\nx = 1\n</answer>",
    ],
)
def test_reasoning_goes_with_its_blocks_whatever_its_tags_are(response):
    assert code_of(response) == "x = 1"


def test_prose_that_happens_to_parse_is_no_program(jsonl):
    answers = ["Yes", "Hello, world", "42", "x.y", "None", "'done'"]
    path = jsonl("prose.jsonl", [{"instruction": "Do it.", "response": answer} for answer in answers])
    assert list(instruction_pairs(path, "MIT")) == ["no code"] * len(answers)
    path = jsonl("calls.jsonl", [{"instruction": "Greet.", "response": "print('Hello')"}])
    (pair,) = instruction_pairs(path, "MIT")
    assert pair.program == "print('Hello')"


def test_rows_become_pairs_or_a_reason(jsonl):
    path = jsonl(
        "good.data.jsonl",
        [
            {"instruction": "Set x.", "response": "```python\nx = 1\n```"},
            {"instruction": "Set y.", "response": "y = 1", "license": "GPL-3.0-only"},
            {"instruction": "Set z.", "response": "I cannot do that."},
            {"instruction": "Set z.", "response": "```c\nint z;\n```"},
            {"instruction": "##", "response": "y = 1"},
            {"instruction": "w " * 600, "response": "y = 1"},
            {"instruction": "Odd.", "response": "y = '\ud800'"},
            {"instruction": "Long.", "response": "y = 1\n" * 5000},
            {"instruction": "Nothing.", "response": "# nothing"},
        ],
    )
    first, *reasons = instruction_pairs(path, "MIT")
    assert first == Pair("Set x.", "x = 1", "good.data.jsonl:1", "good", "MIT")
    assert reasons == [
        "licence", "does not parse", "no code", "no instruction", "very long instruction", "not UTF-8",
        "very large", "does not parse",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": "a", "response": "b = 1"}, r"line 1.*'instruction'"),
        ({"instruction": "a", "response": None}, r"line 1.*'instruction'"),
        ({"instruction": "a", "response": "b = 1"}, r"line 1.*--licence"),
        ([1], "JSON object"),
    ],
)
def test_a_file_of_another_form_is_named_with_the_row(jsonl, row, said):
    with pytest.raises(LinewiseError, match=said):
        list(instruction_pairs(jsonl("bad.jsonl", [row])))


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "bad.jsonl"
    path.write_text(json.dumps({"instruction": "a", "response": "b = 1"}) + "\n{")
    with pytest.raises(LinewiseError, match=r"bad\.jsonl"):
        list(instruction_pairs(path, "MIT"))
