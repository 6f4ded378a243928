"""What always holds of edit sequences, on real programs, with plain pylint as the judge from outside."""

import bisect
import colorsys
import email.base64mime
import inspect
import os
import re
import subprocess
import sys

from linewise.edits import EditSequence, apply_edit, join_lines, resolve, split_lines
from linewise.verify import PylintVerifier
from linewise_training.lintseq import Plan, Program, Sampled, sample_sequences

# It uses a name that nothing defines: its own problem, which no state can be without.
FAULTY = """def f(a):
    b = a + missing
    try:
        b = b / a
    except ZeroDivisionError:
        b = 0
    return b"""
SOURCES = [FAULTY, *map(inspect.getsource, [bisect, colorsys, email.base64mime])]


def pylint_outside(texts, folder):
    """For each text the codes and messages that count, as the pylint command prints them."""
    folder.mkdir()
    paths = [folder / f"state-{at}.py" for at in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    run = subprocess.run(
        [sys.executable, "-m", "pylint", "--rcfile=", "--disable=C,R,I", "--reports=n", "--score=n",
         "--msg-template={path}|{C}|{msg_id}|{msg}", *[path.name for path in paths]],
        cwd=folder, capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "PYLINTHOME": str(folder)},
    )  # fmt: skip
    assert run.returncode < 32, run.stderr
    found = {path.name: [] for path in paths}
    for row in run.stdout.splitlines():
        if row.count("|") >= 3:
            name, category, code, message = row.split("|", 3)
            if category in "EF" or code in ("W0311", "W0231"):
                found[name].append((code, re.sub(r"line \d+", "line", message)))
    return [sorted(found[path.name]) for path in paths]


def test_sequences_of_real_programs_resolve_insert_only_and_stay_as_clean_as_the_program(tmp_path):
    programs = [Program(at, source) for at, source in enumerate(SOURCES)]
    results = list(sample_sequences(programs, PylintVerifier(), Plan(1, 3)))
    assert all(isinstance(result, Sampled) for result in results)
    assert [result.index for result in results] == list(range(len(SOURCES)))
    texts, owners = [], []
    for result in results:
        assert resolve(EditSequence(result.edits)) == split_lines(SOURCES[result.index])
        lines = ()
        for edit in result.edits:
            assert edit.hunks
            assert all(hunk.added and not hunk.removed for hunk in edit.hunks)
            lines = apply_edit(lines, edit)
            texts.append(join_lines(lines))
            owners.append(result.index)
    assert len(texts) > 40
    verdicts = pylint_outside([*SOURCES, *texts], tmp_path / "states")
    own, found = verdicts[: len(SOURCES)], verdicts[len(SOURCES) :]
    assert own[0]
    for index, problems in zip(owners, found, strict=True):
        for problem in set(problems):
            assert problems.count(problem) <= own[index].count(problem)
