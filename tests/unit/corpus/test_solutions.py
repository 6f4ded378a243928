"""A class of one stateless method becomes the function that it is."""

from __future__ import annotations

import pytest

from linewise_training.corpus.solutions import as_function

TWO_SUM = """\
class Solution:
    def twoSum(self, nums: List[int], target: int) -> List[int]:
        m = {}
        for i, x in enumerate(nums):
            if target - x in m:
                return [m[target - x], i]
            m[x] = i
"""


def test_a_method_without_state_becomes_a_function_in_snake_case():
    function = as_function(TWO_SUM)
    assert function.startswith("def two_sum(nums: List[int], target: int) -> List[int]:\n    m = {}\n")
    scope = {"List": list}
    exec(function, scope)
    assert scope["two_sum"]([2, 7, 11], 9) == [0, 1]


@pytest.mark.parametrize(
    "source",
    [
        "class Solution:\n    def f(self, n):\n        return self.f(n - 1)",
        "class Solution:\n    def f(self):\n        pass\n    def g(self):\n        pass",
        "class Solution(Base):\n    def f(self):\n        pass",
        "class Solution:\n    @staticmethod\n    def f(n):\n        pass",
        "import math\nclass Solution:\n    def f(self):\n        pass",
        "def f(:",
        "x = 1",
    ],
)
def test_anything_else_is_left_alone(source):
    assert as_function(source) is None
