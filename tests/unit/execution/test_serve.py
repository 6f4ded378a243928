"""The worker's side: messages come whole, and no more is read of a job than tells its verdict."""

from __future__ import annotations

import json
import marshal
import os
import signal

from linewise_training.execution.python_job import CompiledSources, Heard
from linewise_training.execution.serve import _LENGTH, _Messages


def framed(message):
    encoded = marshal.dumps(message)
    return _LENGTH.pack(len(encoded)) + encoded


def test_messages_come_whole_however_the_pipe_cuts_them():
    read, write = os.pipe()
    messages = _Messages(read)
    sent = [{"number": number, "text": "é" * number} for number in (0, 3, 2000)]
    stream = b"".join(framed(message) for message in sent)
    os.write(write, stream[:-100])
    assert [messages(), messages()] == sent[:2]
    os.write(write, stream[-100:])
    assert messages() == sent[2]
    os.close(write)
    assert messages() is None
    os.close(read)


def test_a_message_that_is_cut_off_is_none():
    read, write = os.pipe()
    os.write(write, framed({"a": 1})[:-1])
    os.close(write)
    assert _Messages(read)() is None
    os.close(read)


def test_no_more_is_heard_when_all_marks_have_come():
    heard = Heard((b"code", b"test"))
    assert [heard(message) for message in (b"junk", b"code", b"code", b"test")] == [True, True, True, False]


def test_more_is_heard_where_a_failure_was_told():
    heard = Heard((b"code", b"test"))
    told = json.dumps({"step": 1, "kind": "raised", "message": "why"}).encode()
    assert [heard(message) for message in (b"code", told, b"test")] == [True, True, True]
    assert heard.passed == {0}


def test_the_time_for_compiling_is_bounded_only_where_something_is_compiled(monkeypatch):
    set_to = []
    monkeypatch.setattr(signal, "setitimer", lambda kind, seconds: set_to.append(seconds > 0))
    compiled = CompiledSources()
    first = compiled.all_of(["x = 1", "assert x"])
    assert set_to == [True, False]
    assert compiled.all_of(["x = 1", "assert x"]) == first
    assert set_to == [True, False]
    compiled.all_of(["x = 1", "assert not x"])
    assert set_to == [True, False] * 2
