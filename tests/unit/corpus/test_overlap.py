import ast
import random

from linewise_training.corpus.functions import without_docstring
from linewise_training.corpus.harvest import parsed
from linewise_training.corpus.overlap import Decontaminator

ITEM = '''def mean(numbers):
    """Return the mean of numbers, or None where there are none."""
    if not numbers:
        return None
    total = 0
    for number in numbers:
        total += number
    return total / len(numbers)
'''


def one_by_one(benchmark, text):
    """Whether any definition is too like an item, whole or bare, by comparing every one of them."""
    chunks = [text]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            chunk = ast.get_source_segment(text, node)
            chunks += [chunk, without_docstring(chunk) or ""]
    return any(benchmark.contaminated(chunk) for chunk in chunks)


def test_a_file_has_the_verdict_of_its_definitions_compared_one_by_one():
    benchmark = Decontaminator([ITEM, "def twice(x):\n    return x + x\n", *(f"x = {n}\n" for n in range(3))])
    source = random.Random(3)
    verdicts = []
    for _ in range(300):
        lines = ITEM.split("\n")[:-1]
        for place in source.sample(range(1, len(lines)), source.randrange(5)):
            lines[place] = lines[place][: len(lines[place]) - len(lines[place].lstrip())] + source.choice(
                ["pass", '"""Other words."""', "if numbers: pass"]
            )
        body = "\n".join(lines)
        if parsed(body) is None:
            continue
        inside = source.choice(["", "class Box:\n", 'class Box:\n    """A box."""\n\n'])
        text = inside + "".join(f"    {line}\n" if inside else f"{line}\n" for line in body.split("\n"))
        text += source.choice(["", "\n\ndef other(a):\n    return [a] * 3\n", "\n\ny = [1, 2, 3]\n" * 30])
        verdict = benchmark.file_contaminated(text, ast.parse(text))
        assert verdict is one_by_one(benchmark, text), text
        verdicts.append(verdict)
    assert 20 < sum(verdicts) < len(verdicts) - 20


def test_the_main_function_of_an_item_is_kept_out_without_the_helpers_before_it():
    helper = "def is_same(a):\n    return a == a[::-1]\n"
    benchmark = Decontaminator([f"{helper}\n\n{ITEM}"])
    others = "\n\n".join(f"def other_{n}(a):\n    return [a] * {n}\n" for n in range(20))
    for text, expected in ((ITEM, True), (helper, False)):
        file = f"{others}\n\n{text}"
        assert benchmark.file_contaminated(file, ast.parse(file)) is expected
