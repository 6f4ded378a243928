"""Self-written problems in the benchmarks' formats: none of the benchmarks' own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

DOUBLE = {
    "task_id": "HumanEval/0",
    "prompt": (
        "from typing import List\n\n\ndef helper(x):\n    return x\n\n\n"
        'def double(values: List[int]) -> List[int]:\n    """ Twice each of the values.\n'
        '    >>> double([1])\n    [2]\n    """\n'
    ),
    "entry_point": "double",
    "canonical_solution": "    return [2 * helper(value) for value in values]\n",
    "test": (
        "\n\nMETADATA = {'author': 'x'}\n\n\ndef check(candidate):\n    assert candidate([1]) == [2]\n"
        "    assert candidate([]) == []\n    assert candidate(\n        [3, 4]\n    ) == [6, 8]\n\n"
    ),
}
ODD = {
    "task_id": "HumanEval/1",
    "prompt": 'def is_odd(number):\n    """Whether it is odd."""\n',
    "entry_point": "is_odd",
    "canonical_solution": "    return number % 2 == 1\n",
    "test": (
        "import math\n\ndef check(candidate):\n    for number in range(4):\n"
        "        assert candidate(number) == (math.fmod(number, 2) == 1)\n"
    ),
}
CHECK = {
    "task_id": "MBPP/11",
    "prompt": '\n\ndef check(n):\n\t"""\n\tWrite a function to check if the number is even.\n\t"""\n',
    "description": "Write a function to check if the number is even.",
    "entry_point": "check",
    "canonical_solution": "\treturn n % 2 == 0",
    "test": "\n\ndef check(candidate):\n    assert candidate(2) == True\n    assert candidate(3) == False\n",
    "language": "python",
}
SUM = {
    "task_id": "sum-of-two",
    "prompt": "from typing import *\nimport math\n",
    "completion": "class Solution:\n    def add(self, a: int, b: int) -> int:\n        return a + b\n",
    "entry_point": "Solution().add",
    "test": "def check(candidate):\n    assert candidate(a = 1, b = 2) == 3\n",
    "query": (
        "Return the sum of two\xa0integers.\nPlease complete the following python code precisely:\n"
        "```python\nclass Solution:\n    def add(self, a: int, b: int) -> int:\n```"
    ),
}
TWICE_JS = {
    "task_id": "HumanEval_javascript/0",
    "prompt": "/**\n * Twice the number.\n */\nfunction twice(number) {\n",
    "description": "Twice the number.",
    "entry_point": "twice",
    "test": "\nif (twice(2) !== 4) {\n    throw 'twice(2)'\n}\n",
    "language": "javascript",
    "canonical_solution": None,
}


def write_rows(path: Path, *rows: dict[str, Any]) -> Path:
    """Write `rows` as JSONL."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
