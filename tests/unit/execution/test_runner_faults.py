"""What a runner does when its own processes fail it: everyone who waits gets an answer."""

from __future__ import annotations

import threading

import pytest

from linewise_training.execution import Job, Runner, Status, runner
from linewise_training.execution.runner import ExecutionError

WAIT = 60.0  # seconds; a runner that hangs is found out by this, whatever the machine


def verdicts(opened, jobs):
    """What `opened.run` gives, or the error that it raises; fails where it gives neither."""
    told = []

    def collect():
        try:
            told.extend(opened.run(jobs))
        except ExecutionError as error:
            told.append(error)

    thread = threading.Thread(target=collect, daemon=True)
    thread.start()
    thread.join(WAIT)
    assert not thread.is_alive(), "the runner hangs"
    return told


@pytest.mark.timeout(120)
def test_a_worker_that_cannot_be_replaced_ends_the_run_with_an_error(monkeypatch):
    original = runner._Worker
    made = []

    class Mortal(original):
        def __init__(self, settings):
            if made:
                raise ExecutionError("no process to run code in could be started: no memory")
            made.append(self)
            super().__init__(settings)

        def verdict(self):
            self.kill()
            raise EOFError  # as reading from it does, if nothing was written before

    monkeypatch.setattr(runner, "_Worker", Mortal)
    with Runner(1) as opened:
        (error,) = verdicts(opened, [Job("x = 1", ()), Job("x = 2", ())])
    assert "no memory" in str(error)


@pytest.mark.timeout(120)
def test_a_job_that_cannot_be_sent_ends_the_run_and_the_next_one_goes_on(monkeypatch):
    original = runner.job_to_json

    def fragile(job):
        if job.code == "poison":
            raise ValueError("this job has no text")
        return original(job)

    monkeypatch.setattr(runner, "job_to_json", fragile)
    with Runner(1) as opened:
        with pytest.raises(ValueError, match="no text"):
            list(opened.run([Job("x = 1", ()), Job("poison", ()), Job("x = 2", ())]))
        (after,) = verdicts(opened, [Job("x = 1", ("assert x == 1",))])
    assert after.status is Status.PASS


def test_a_job_of_text_of_another_type_is_run():
    class Text(str):
        __slots__ = ()

    with Runner(1) as opened:
        (found,) = verdicts(opened, [Job(Text("x = 'é'"), (Text("assert len(x) == 1"),))])
    assert found.status is Status.PASS, found


@pytest.mark.timeout(120)
def test_long_jobs_and_long_verdicts_do_not_wait_for_each_other():
    """Each side's pipe full, and each side writing."""
    talks = Job("import sys\nsys.stdout.write('\\x01' * 70_000)", ())
    is_long = Job("x = 1\n# " + "y" * 400_000, ("assert x == 1",))
    with Runner(1) as opened:
        found = verdicts(opened, [talks, is_long] * 2)
    assert [(verdict.status, len(verdict.output)) for verdict in found] == [
        (Status.PASS, 65_536), (Status.PASS, 0), (Status.PASS, 65_536), (Status.PASS, 0),
    ]  # fmt: skip


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "message", ['{"step": Infinity, "kind": "k", "message": ""}', "[" * 60_000, "{}", "1"]
)
def test_what_code_writes_to_the_channel_does_not_harm_its_worker(message):
    code = f"import os\nos.write(3, {message.encode()!r})\ny = 1"
    with Runner(1) as opened:
        first, second = verdicts(opened, [Job(code, ("assert y == 1",)), Job("x = 1", ("assert x == 1",))])
        worker = opened._serving[0]._worker
        assert worker is not None
    assert "died" not in first.message
    assert second.status is Status.PASS


@pytest.mark.timeout(120)
def test_a_worker_that_dies_in_the_middle_of_a_verdict_is_replaced(monkeypatch):
    original, cut = runner._Worker, []

    class Mortal(original):
        def _bytes(self, count):
            if hasattr(self, "walls") and count > 100 and not cut:  # not of what it says first
                cut.append(count)
                self.kill()
                self._process.stdout.read(count // 2)
                self._process.stdout.read()  # what was on its way
            return super()._bytes(count)

    monkeypatch.setattr(runner, "_Worker", Mortal)
    with Runner(1) as opened:
        talks = Job("print('x' * 300)", ("assert True",))
        found = verdicts(opened, [talks, Job("x = 1", ("assert x == 1",))])
    assert cut
    assert [verdict.status for verdict in found] == [Status.PASS] * 2
