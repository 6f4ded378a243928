import random
import subprocess
import sys

import pytest

from linewise_training.corpus.near import MIN_TOKENS, NearDuplicates


def words(count, seed=0):
    source = random.Random(seed)
    return [f"w{source.randrange(10**6)}" for _ in range(count)]


def grams(tokens):
    return {tuple(tokens[i : i + 5]) for i in range(len(tokens) - 4)}


def jaccard(one, other):
    return len(grams(one) & grams(other)) / len(grams(one) | grams(other))


def changed(tokens, changes, seed):
    source = random.Random(seed)
    out = list(tokens)
    for place in source.sample(range(len(out)), changes):
        out[place] = "changed"
    return out


@pytest.mark.parametrize("length", [60, 300, 9000])
def test_texts_well_above_the_threshold_are_found_and_those_well_below_are_not(length):
    for seed in range(20):
        text = words(length, seed)
        found = NearDuplicates()
        assert not found.seen(" ".join(text))
        like = changed(text, max(1, length // 120), seed)
        assert jaccard(text, like) > 0.83
        # 0.92 alike for all but the shortest; those that are nearer to the threshold may be missed
        assert found.seen(" ".join(like)) or jaccard(text, like) < 0.9
        unlike = changed(text, length // 12, seed)
        assert jaccard(text, unlike) < 0.6
        assert not found.seen(" ".join(unlike))


def test_spaces_do_not_count_and_case_does():
    found = NearDuplicates()
    text = words(100)
    assert not found.seen(" ".join(text))
    assert found.seen("\n    ".join(text))
    assert not found.seen(" ".join(text).upper())


def test_texts_too_short_to_judge_are_never_near():
    found = NearDuplicates()
    for text in ("", "x = 1", " ".join(words(MIN_TOKENS - 1))):
        assert not found.seen(text)
        assert not found.seen(text)


def test_only_the_last_texts_are_remembered_and_nothing_else_is():
    found = NearDuplicates(capacity=3)
    texts = [" ".join(words(80, seed)) for seed in range(10)]
    assert not any(found.seen(text) for text in texts)
    assert [found.seen(text) for text in texts[-3:]] == [True] * 3
    assert len(found._texts) == 3
    assert len(found._holders) == 3 * 16
    assert not found.seen(texts[0])


def test_verdicts_do_not_depend_on_the_process():
    code = (
        "import random\nfrom linewise_training.corpus.near import NearDuplicates\n"
        "r = random.Random(1)\nn = NearDuplicates()\n"
        "texts = [[str(r.random()) for _ in range(60)] for _ in range(20)]\n"
        "for t in texts[:]:\n    for k in range(1, 6):\n        u = list(t)\n"
        "        for i in r.sample(range(60), k):\n            u[i] = 'x'\n        texts.append(u)\n"
        "print([n.seen(' '.join(t)) for t in texts])"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(answers) == 1
    assert b"True" in answers.copy().pop()
