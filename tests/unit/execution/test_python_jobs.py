"""What a Python program scores, test by test."""

from __future__ import annotations

import itertools
import os
from contextlib import suppress

import pytest

from linewise_training.execution import Job, Limits, Runner, Status
from linewise_training.execution.sandbox import descendants

INCREMENT = "def f(x):\n    return x + 1\n"


@pytest.fixture(scope="module")
def runner():
    with Runner(1) as opened:
        yield opened


def run(runner, code, *tests, **options):
    (verdict,) = runner.run([Job(code, tests, **options)])
    return verdict


@pytest.mark.parametrize(
    ("code", "tests", "status", "passed"),
    [
        (INCREMENT, ["assert f(1) == 2", "assert f(2) == 3"], Status.PASS, [True, True]),
        (INCREMENT, ["assert f(1) == 3", "assert f(2) == 3"], Status.PARTIAL, [False, True]),
        (INCREMENT, ["assert f(1) == 3"], Status.PARTIAL, [False]),
        (INCREMENT, ["f(None)", "assert f(2) == 3"], Status.PARTIAL, [False, True]),
        (INCREMENT, ["f(None)", "assert f(2) == 4"], Status.RUNTIME_ERROR, [False, False]),
        (INCREMENT, [], Status.PASS, []),
        ("1 / 0", ["assert True"], Status.RUNTIME_ERROR, [False]),
        ("def f(:", ["assert True"], Status.COMPILE_ERROR, [False]),
        ("x = 1\0", ["assert True"], Status.COMPILE_ERROR, [False]),
        ("(" * 10_000, ["assert True"], Status.COMPILE_ERROR, [False]),
        ("import no_such_module", ["assert True"], Status.ENVIRONMENT, [False]),
        ("import os.no_such_module", ["assert True"], Status.RUNTIME_ERROR, [False]),
        ("from os import no_such_name", ["assert True"], Status.RUNTIME_ERROR, [False]),
        ("def f():\n    import no_such_module", ["f()"], Status.ENVIRONMENT, [False]),
        (INCREMENT, ["assert f(1 == 2", "assert f(2) == 3"], Status.ENVIRONMENT, [False, True]),
        ("def f(n):\n    return f(n + 1)", ["f(0)"], Status.RUNTIME_ERROR, [False]),
        ("import os\nos.abort()", ["assert True"], Status.RUNTIME_ERROR, [False]),
        ("x = 1", ["x = 2", "assert x == 2"], Status.PASS, [True, True]),
        ("import dataclasses\n@dataclasses.dataclass\nclass A:\n    x: int", ["assert A(1).x == 1"],
         Status.PASS, [True]),
        ("import pickle\nclass A: pass", ["pickle.loads(pickle.dumps(A()))"], Status.PASS, [True]),
        ("import subprocess\nout = subprocess.check_output(['echo', 'a'])", ["assert out == b'a\\n'"],
         Status.PASS, [True]),
        ("import tempfile\nwith tempfile.TemporaryFile() as f: f.write(b'a')", [], Status.PASS, []),
        ("import multiprocessing as m\nwith m.Pool(2) as p: out = p.map(abs, [-1])", ["assert out == [1]"],
         Status.PASS, [True]),
        ("if __name__ == '__main__': 1 / 0", [], Status.PASS, []),
    ],
)  # fmt: skip
def test_a_program_scores(runner, code, tests, status, passed):
    verdict = run(runner, code, *tests)
    assert (verdict.status, [test.passed for test in verdict.tests]) == (status, passed), verdict
    assert bool(verdict.message) == (status is not Status.PASS)


def test_a_failure_says_its_exception(runner):
    verdict = run(runner, INCREMENT, "assert f(1) == 3, 'not three'", "f('a')")
    assert verdict.tests[0].message == "AssertionError: not three"
    assert verdict.tests[1].message.startswith("TypeError: ")
    assert verdict.message == "AssertionError: not three"


def test_what_passed_before_a_timeout_stays_passed(runner):
    verdict = run(runner, INCREMENT, "assert f(1) == 2", "while True: pass", "assert True", timeout=0.5)
    assert verdict.status is Status.TIMEOUT
    assert [test.passed for test in verdict.tests] == [True, False, False]
    assert verdict.tests[2].message == "not done in 0.5 seconds"


def test_output_is_kept_up_to_its_bound():
    code = "import sys\nprint('a' * 50)\nprint('b' * 50, file=sys.stderr)\nimport os\nos.write(1, b'c' * 100)"
    with Runner(1, Limits(output=120)) as small:
        verdict = run(small, code, "assert True")
    assert verdict.status is Status.PASS
    assert verdict.output == "a" * 50 + "\n" + "b" * 50 + "\n" + "c" * 18


def test_luck_does_not_change_a_verdict(runner):
    code = "import random\nprint(random.random(), hash('a'), list({'a', 'b', 'c'}))"
    assert run(runner, code).output == run(runner, code).output


def test_a_job_finds_nothing_of_the_one_before(runner):
    run(runner, "open('left', 'w').write('a')\nimport math\nmath.pi = 3")
    verdict = run(runner, "import os, math", "assert os.listdir() == []", "assert math.pi > 3.1")
    assert verdict.status is Status.PASS


def test_verdicts_come_in_order_and_as_they_are_asked_for():
    taken = itertools.count()

    def jobs():
        for number in taken:
            slow = "import time\ntime.sleep(0.2)\n" if number % 3 == 0 else ""
            yield Job(f"{slow}print({number})", ())

    with Runner(2) as two:
        verdicts = two.run(jobs())
        assert [next(verdicts).output for _ in range(10)] == [f"{number}\n" for number in range(10)]
        assert next(taken) < 200
        verdicts.close()
        assert [verdict.output for verdict in two.run([Job("print('again')", ())])] == ["again\n"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"language": "cobol"}, "unknown language 'cobol'"), ({"timeout": 0}, "timeout"),
     ({"timeout": float("nan")}, "timeout"), ({"timeout": float("inf")}, "timeout")],
)  # fmt: skip
def test_a_job_that_makes_no_sense_is_refused(options, reason):
    with pytest.raises(ValueError, match=reason):
        Job("", (), **options)


def test_what_many_jobs_import_is_there_for_the_next_and_hears_of_forks():
    code = """
import sys
there = 'threading' in sys.modules
import os
import threading
ends = []
def fork():
    pid = os.fork()
    if pid == 0:
        os._exit(0 if threading.main_thread() is threading.current_thread() else 1)
    ends.append(os.waitpid(pid, 0)[1])
thread = threading.Thread(target=fork)
thread.start()
thread.join()
"""
    with Runner(1) as runner:
        inside = next(layer.active for layer in runner.layers() if layer.name == "user namespace")
        first, *_, last = runner.run([Job(code, ("assert ends == [0]", "assert there"))] * 10)
    assert [test.passed for test in first.tests] == [True, not inside]
    assert [test.passed for test in last.tests] == [True, True]


def test_a_job_may_use_all_processors_whichever_its_worker_keeps_to():
    processors = os.sched_getaffinity(0)
    code = "import os\nfound = os.sched_getaffinity(0)"
    with Runner(len(processors)) as opened:
        verdicts = list(opened.run([Job(code, (f"assert found == {processors}",))] * 4))
        kept = []
        for pid in descendants():
            with suppress(ProcessLookupError):  # one of another test's, that has just ended
                kept.append(os.sched_getaffinity(pid))
    assert {verdict.status for verdict in verdicts} == {Status.PASS}, verdicts
    assert any(len(one) == 1 for one in kept)


def test_a_job_collects_garbage_of_its_own():
    made = "chains = []\nfor _ in range(60_000):\n    one = []\n    one.append(one)\n"
    tests = ("import gc\nassert gc.isenabled()", f"{made}assert gc.get_stats()[0]['collections'] > 0")
    with Runner(1) as runner:
        (verdict,) = runner.run([Job("import gc", tests)])
    assert verdict.status is Status.PASS, verdict
