"""C functions are called in their order, as often as is asked; what is forked among them comes back, too."""

from __future__ import annotations

import ctypes
import os
import sys
from types import SimpleNamespace

import pytest

from linewise_training.execution import in_turn, zygote
from linewise_training.execution import namespaces as ns
from linewise_training.execution.in_turn import ROOM, calls_in_turn
from linewise_training.execution.memory import Number

if not sys.platform.startswith("linux"):
    pytest.skip("these are Linux's system calls", allow_module_level=True)
libc = ctypes.PyDLL(None)
needs_contexts = pytest.mark.skipif(not hasattr(libc, "makecontext"), reason="no glibc")


def call(calls):
    for function, arguments in calls:
        function(*arguments)


@needs_contexts
def test_functions_are_called_in_their_order_each_time():
    one, other = ctypes.create_string_buffer(8), ctypes.create_string_buffer(8)
    room = ctypes.create_string_buffer(ROOM)
    calls = calls_in_turn(
        ctypes.addressof(room),
        (libc.memcpy, (ctypes.addressof(other), ctypes.addressof(one), 8)),
        (libc.memset, (ctypes.addressof(one), ord("z"), 4)),
    )
    for text in (b"first...", b"second.."):
        one.raw = text
        call(calls)
        assert (one.raw, other.raw) == (b"zzzz" + text[4:], text)


@needs_contexts
def test_six_arguments_arrive():
    one, other = ctypes.create_string_buffer(b"text", 8), ctypes.create_string_buffer(8)
    piece = ctypes.c_size_t * 2
    here, there = piece(ctypes.addressof(other), 8), piece(ctypes.addressof(one), 8)
    arguments = os.getpid(), ctypes.addressof(here), 1, ctypes.addressof(there), 1, 0
    room = ctypes.create_string_buffer(ROOM)
    call(calls_in_turn(ctypes.addressof(room), (libc.process_vm_readv, arguments)))
    assert other.value == b"text"


def test_where_there_are_no_contexts_that_is_said(monkeypatch):
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine="vax"))
    with pytest.raises(OSError, match="no contexts"):
        calls_in_turn(0)


@pytest.mark.parametrize("contexts", [pytest.param(True, marks=needs_contexts), False])
def test_a_process_is_forked_and_waited_for_with_and_without_contexts(monkeypatch, contexts):
    monkeypatch.setattr(zygote, "_FORK", zygote._FORK & ~ns.CLONE_NEWPID)  # which takes a privilege
    if not contexts:
        monkeypatch.setattr(in_turn, "_MACHINES", ())
    job, forked, own = Number(), ctypes.c_int(), os.getpid()
    fork = zygote._forking(job, forked)
    for status in (3, 4):
        job.value, forked.value = 0, zygote._RUNS
        call(fork)
        if os.getpid() != own:
            os._exit(status + (forked.value != zygote._RUNS))
        assert os.waitstatus_to_exitcode(forked.value) == status
        assert job.value > 0


def test_that_no_process_could_be_forked_is_an_error():
    with pytest.raises(OSError, match="no process could be forked"):
        zygote._exit_status(zygote._RUNS)
