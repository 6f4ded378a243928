"""What a job's process does first: all of it, or it ends."""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path

import pytest

from linewise_training.execution import namespaces as ns
from linewise_training.execution.entry import Entry, begin
from linewise_training.execution.sandbox import CHANNEL

if not sys.platform.startswith("linux"):
    pytest.skip("these are Linux's system calls", allow_module_level=True)


def in_a_child(act):
    """What `act` returns in a child whose output is a pipe, or what it says; and the child's exit status."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(write, 1)
        os.write(1, json.dumps(act()).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as stream:
        said = stream.read()
    return said.decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_the_process_has_its_group_bound_processors_and_nothing_else_that_is_open():
    entry = Entry((min(os.sched_getaffinity(0)),))
    entry.bound(3)
    status = Path("/proc/self/status")

    def act():
        os.dup2(1, 77)
        begin(entry.calls)
        closed = 0
        for fd in (CHANNEL + 1, 77):
            try:
                os.fstat(fd)
            except OSError:
                closed += 1
        held = next(line for line in status.read_text().splitlines() if line.startswith("CapEff"))
        limit = resource.getrlimit(resource.RLIMIT_CPU)
        return [
            os.getpgid(0) == os.getpid(),
            len(os.sched_getaffinity(0)),
            limit,
            int(held.split()[1], 16),
            closed,
        ]

    assert in_a_child(act) == ("[true, 1, [5, 5], 0, 2]", 0)


def test_a_lower_bound_of_processor_time_stays():
    def act():
        resource.setrlimit(resource.RLIMIT_CPU, (4, 4))
        entry = Entry(tuple(os.sched_getaffinity(0)))
        entry.bound(100)
        begin(entry.calls)
        return resource.getrlimit(resource.RLIMIT_CPU)

    assert in_a_child(act) == ("[4, 4]", 0)


def test_processors_beyond_the_first_word_are_asked_for():
    asked = Entry((0, 130)).calls[2][1]
    assert list(asked[2]._obj) == [1, 0, 1 << 2]
    assert asked[1].value == 24


def test_a_call_that_fails_ends_the_process():
    entry = Entry(tuple(os.sched_getaffinity(0)))
    entry.bound(3)
    broken = [(call, arguments) for call, arguments in entry.calls if arguments != ns.CAPSET_ARGUMENTS]
    broken.append((entry.calls[3][0], (None, None)))
    said, status = in_a_child(lambda: begin(broken))
    assert status == 70
    assert said == "the sandbox could not be made: [Errno 14] Bad address"
