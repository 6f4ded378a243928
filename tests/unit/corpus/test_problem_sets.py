import gzip
import json

import pytest

from linewise.errors import LinewiseError
from linewise_training.corpus import Decontaminator
from linewise_training.corpus.harvest import parsed
from linewise_training.corpus.problem_sets import benchmark_problems, leetcode_pairs, mbpp_pairs


def problem(number):
    return {
        "task_id": f"MBPP/{number}",
        "prompt": f'\n\ndef f{number}(a):\n\t"""\n\tWrite f.\n\t>>> f(1)\n\t"""\n',
        "canonical_solution": "\tif a:\n\t\ta += 1 \n\treturn (a) ",
        "description": "Write a  function\nto add one.",
    }


def test_only_the_training_problems_of_mbpp_become_pairs(jsonl):
    path = jsonl("mbpp.jsonl", [problem(n) for n in (1, 10, 11, 510, 511, 600, 601, 974, 975)])
    pairs = list(mbpp_pairs(path))
    assert [pair.path for pair in pairs] == ["MBPP/601", "MBPP/974"]
    assert pairs[0].program == "def f601(a):\n    if a:\n        a += 1\n    return (a)"
    assert pairs[0].instruction == "Write a function to add one."


@pytest.mark.parametrize(
    ("read", "row", "said"),
    [
        (mbpp_pairs, problem(11), "none of MBPP's problems 601 to 974"),
        (mbpp_pairs, {**problem(601), "description": None}, "no text under 'description'"),
        (leetcode_pairs, problem(601), "no text under 'completion'"),
    ],
)
def test_a_file_of_another_problem_set_is_refused(jsonl, read, row, said):
    with pytest.raises(LinewiseError, match=said):
        list(read(jsonl("other.jsonl", [row])))


def test_only_the_evaluation_problems_of_mbpp_are_kept_out(jsonl):
    path = jsonl("mbpp.jsonl", [problem(n) for n in (10, 11, 510, 511, 601)])
    assert [item.split("(")[0].split()[-1] for _, item in benchmark_problems(path)] == ["f11", "f510"]


PROMPT = """from typing import *
from collections import *
from math import *
import math
inf = float('inf')

class ListNode:
    def __init__(self, val=0):
        self.val = val

class TreeNode:
    pass
"""


def test_a_leetcode_solution_gets_the_imports_and_classes_that_it_names(jsonl):
    row = {
        "task_id": "two",
        "prompt": PROMPT,
        "completion": "class Solution:\n    def f(self, a: List[int]) -> int:\n"
        "        d = deque(a)\n        return max(inf, math.pi, ListNode(d).val)\n",
        "query": "Find\xa0it. Return it.\nExample 1:\n1\nPlease complete the following python code:\n",
    }
    (pair,) = leetcode_pairs(jsonl("leetcode.jsonl", [row]))
    assert pair.instruction == "Find it. Return it."
    head, _, rest = pair.program.partition("\n\n\n")
    assert head == (
        "import math\nfrom collections import deque\nfrom math import inf\nfrom typing import List"
    )
    assert rest.startswith("class ListNode:")
    assert "TreeNode" not in rest


def test_a_solution_that_needs_an_unknown_name_is_no_pair(jsonl):
    row = {"task_id": "x", "prompt": PROMPT, "completion": "def f():\n    return nowhere\n", "query": "Do."}
    assert list(leetcode_pairs(jsonl("leetcode.jsonl", [row]))) == [None]


def test_a_damaged_file_is_one_clear_error(tmp_path):
    whole = gzip.compress(json.dumps(problem(601)).encode() * 50)
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.jsonl").write_text("[1]\n")
    for name in ("cut.jsonl.gz", "text.jsonl", "missing.jsonl"):
        with pytest.raises(LinewiseError, match=name):
            list(mbpp_pairs(tmp_path / name))


ITEM = '''def largest(numbers):
    """Find the largest of the numbers that are given, or none if there are none."""
    best = None
    for number in numbers:
        if best is None or number > best:
            best = number
    return best
'''
BARE = ITEM.replace(ITEM.split("\n")[1] + "\n", "")
OTHER = "def smallest(a, b):\n    return a if a < b else b\n"


@pytest.mark.parametrize(("text", "verdict"), [(ITEM, True), (BARE, True), (OTHER, False), ("", False)])
def test_a_benchmark_item_is_known_with_and_without_its_docstring(text, verdict):
    assert Decontaminator([ITEM]).contaminated(text) is verdict


@pytest.mark.parametrize("copy", [ITEM, BARE, ITEM.replace("Find the largest", "Gives back some of")])
def test_an_item_is_found_inside_a_large_file(copy):
    inside = OTHER * 50 + "class A:\n" + "".join(f"    {line}\n" for line in copy.split("\n")) + OTHER * 50
    benchmark = Decontaminator([ITEM])
    assert not benchmark.contaminated(inside)
    assert benchmark.file_contaminated(inside, parsed(inside))


def test_a_file_that_shares_little_with_an_item_stays():
    text = OTHER + "def first(numbers):\n    for number in numbers:\n        return number\n"
    assert not Decontaminator([ITEM]).file_contaminated(text, parsed(text))


def test_the_threshold_is_jaccard_of_five_grams():
    # 14 tokens make 10 grams; changing the last n tokens changes n of them: (10 - n) / (10 + n).
    words = [f"w{n}" for n in range(14)]
    benchmark = Decontaminator([" ".join(words)])
    assert benchmark.contaminated(" ".join([*words[:-1], "x"]))  # 9 / 11 = 0.82
    assert not benchmark.contaminated(" ".join([*words[:-2], "x", "y"]))  # 8 / 12 = 0.67
