"""Programs run as ever after their memory has moved, and a number that is kept is kept."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys

import pytest

from linewise_training.execution.memory import Number
from linewise_training.execution.python_job import CompiledSources

STARTED = """
from linewise_training.execution import memory
def maps():
    return memory._mappings(open('/proc/self/maps').read())
memory.use_huge_pages()
import typing, json, decimal
first = [object() for _ in range(200_000)]
before = maps()
"""
MOVED = """
memory.join_mappings()
memory.settle(open('/proc/self/maps').read())
after = maps()
"""


def run(code, first=STARTED + MOVED):
    done = subprocess.run([sys.executable, "-c", first + code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_what_runs_after_the_move_runs_as_ever():
    said = run("""
import os, threading, traceback
def deep(n): return 0 if not n else 1 + deep(n - 1)
try: 1 / 0
except ZeroDivisionError as error: print(traceback.format_exception_only(error)[-1].strip())
thread = threading.Thread(target=lambda: print(deep(900)))
thread.start(); thread.join()
print(json.loads("[1]"), sum(map(hash, range(10 ** 6))))
if os.fork() == 0: print(decimal.Decimal(2).sqrt(), flush=True); os._exit(0)
os.wait()
""")
    assert said.split("\n") == [
        "ZeroDivisionError: division by zero", "900", "[1] 499999500000", "1.414213562373095048801688724", "",
    ]  # fmt: skip


def test_memory_of_small_objects_is_given_back_after_the_move():
    said = run("""
def resident(): return int(open('/proc/self/statm').read().split()[1]) >> 8
def fill():
    chain = None
    for _ in range(10 ** 6): chain = (chain,)
    return chain
empty, objects = resident(), fill()
full = resident()
del objects
print(full - empty > 40, resident() - empty < 20)
for _ in range(5): fill()
print(resident() - empty < 20)
""")
    assert said == "True True\nTrue\n"


def test_there_are_fewer_mappings_and_objects_lie_in_the_heap():
    said = run("""
heaps = [(start, end) for start, end, _, name in before if name == '[heap]']
inside = sum(any(start <= id(one) < end for start, end in heaps) for one in first)
print(len(after) < len(before), inside > 100_000)
""")
    fewer, inside = said.split()
    assert fewer == "True"
    if "glibc" in os.confstr("CS_GNU_LIBC_VERSION"):
        assert inside == "True"


@pytest.mark.parametrize("refused", ["madvise", "mprotect", "mremap", "mmap"])
def test_the_program_stays_where_it_was_where_the_system_refuses_a_step(refused):
    """Huge pages, executable memory that is of no file (SELinux can), a new place, memory at all."""
    said = run(
        f"""
class Refusing:
    def __getattr__(self, name): return getattr(libc, name)
    def {refused}(self, *_): return memory._pointer(-1).value
libc, memory._libc = memory._libc, Refusing()
memory.settle(open('/proc/self/maps').read())
files = [[one for one in found if one[3].startswith("/")] for found in (before, maps())]
print(files[0] == files[1] != [], json.dumps(1))
""",
        STARTED,
    )
    assert said == "True 1\n"


def test_a_number_that_is_kept_is_not_there_in_children():
    number = Number()
    number.value = 4711
    if (pid := os.fork()) == 0:
        number.value += 1  # shared so far
        number.keep()
        if (inner := os.fork()) == 0:
            signal.signal(signal.SIGSEGV, signal.SIG_DFL)
            os._exit(int(ctypes.c_int.from_address(number.pointer.value).value == 0))
        os._exit(os.WTERMSIG(os.waitpid(inner, 0)[1]))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == signal.SIGSEGV
    assert number.value == 4712


def test_a_source_is_compiled_once():
    compiled = CompiledSources()
    assert compiled("x = 1", 0) is compiled("x = 1", 0)
    assert compiled("x = 1", 1).co_filename == "test 1"
    assert compiled("x = (", 0) == "x = ("


@pytest.mark.parametrize(("used", "kept"), [("", "bcd"), ("a", "acd")])
def test_sources_used_last_are_kept_and_no_more_than_bounded(used, kept):
    compiled = CompiledSources(most=330)
    codes = {name: compiled(f"{name:10}", 0) for name in "abc"}
    for name in used:
        compiled(f"{name:10}", 0)
    codes["d"] = compiled(f"{'d':10}", 0)
    assert all(compiled(f"{name:10}", 0) is codes[name] for name in kept)
    dropped = (set("abcd") - set(kept)).pop()
    assert compiled(f"{dropped:10}", 0) is not codes[dropped]
