"""Programs run as ever after their memory has moved, and a number that is kept is kept."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from linewise_training.execution.memory import Number
from linewise_training.execution.python_job import CompiledSources

HAS_CONTEXTS = hasattr(ctypes.CDLL(None), "makecontext")
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
huge_ones = memory.settle(open('/proc/self/maps').read())
after = maps()
def huge():
    return sum(int(line.split()[1]) for line in open("/proc/self/smaps") if line.startswith("AnonHuge"))
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


def test_a_library_is_moved_with_what_has_been_written_to_it():
    said = run("""
import ctypes
libraries = [one for one in before if ".so" in one[3] and one[2] == "rw-p"]
left = [one for one in after if ".so" in one[3] and one[2] == "rw-p"]
ctypes.c_int.in_dll(ctypes.pythonapi, "Py_OptimizeFlag").value = 0
print(len(left) < len(libraries) / 2, json.dumps({"a": [None, True, 1.5, "b" * 3]}), decimal.Decimal(1) / 7)
""")
    moved, rest = said.split(" ", 1)
    assert rest == '{"a": [null, true, 1.5, "bbb"]} 0.1428571428571428571428571429\n'
    if (
        Path("/sys/kernel/mm/transparent_hugepage/enabled").exists()
        and HAS_CONTEXTS
        and os.uname().machine == "x86_64"
    ):
        assert moved == "True"


def test_what_is_only_reserved_takes_no_memory():
    said = run(
        """
import mmap
def resident(): return int(open("/proc/self/statm").read().split()[1]) >> 8
reserved = mmap.mmap(-1, 1 << 28, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
was = resident()
memory.settle(open("/proc/self/maps").read())
print(resident() - was < 100, reserved[1 << 27], json.dumps(1))
""",
        STARTED,
    )
    assert said == "True 0 1\n"


def test_huge_pages_stay_whole_where_children_are_forked_and_waited_for_in_turn():
    said = run("""
import ctypes, os
from linewise_training.execution import namespaces as ns, zygote
zygote._FORK &= ~ns.CLONE_NEWPID  # which takes a privilege
forked = ctypes.c_int()
fork = zygote._forking(memory.Number(), forked)
whole = 0
for number in range(20):
    memory.mend(huge_ones)
    was = huge()
    forked.value = -1
    for call, arguments in fork: call(*arguments)
    if forked.value == -1:
        first.append([number] * 1000)
        os._exit(number)
    assert os.waitstatus_to_exitcode(forked.value) == number
    first.append(number)
    whole += huge() >= was
print(whole > 10)  # not always, for the kernel may have a page in its hands
""")
    assert said == "True\n"


def test_huge_pages_that_have_become_small_are_made_again():
    said = run("""
import os, signal
was = huge()
if (child := os.fork()) == 0: signal.pause()
first.append(json.loads("[1]"))  # a copy of a page, since the child has it, too
left = huge()
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
for _ in range(9): memory.mend(huge_ones)  # the kernel may have a page in its hands
print(left < was or not was, huge() >= was, first[-1])
""")
    assert said == "True True [1]\n"


@pytest.mark.parametrize(
    "refusing",
    [
        "def madvise(self, *_): return -1",
        "def mprotect(self, *_): return -1",
        "def process_vm_readv(self, *_): return -1",
        "def mmap(self, *_): return memory._pointer(-1).value",
        "mremap = libc.getppid",  # called by no Python, so no Python
    ],
)
def test_the_program_stays_where_it_was_where_the_system_refuses_a_step(refusing):
    """Huge pages, executable memory that is of no file (SELinux can), reading, memory at all, a new place."""
    said = run(
        f"""
libc = memory._libc
class Refusing:
    def __getattr__(self, name): return getattr(libc, name)
    {refusing}
memory._libc = Refusing()
memory.settle(open('/proc/self/maps').read())
files = [[one for one in found if one[3].startswith("/")] for found in (before, maps())]
print(files[0] == files[1] != [], json.dumps(1))
""",
        STARTED,
    )
    assert said == "True 1\n"


def test_programs_stay_where_they_were_where_a_processor_must_be_told_of_new_code():
    said = run(
        """
class Machine:
    machine = "aarch64"
memory.os.uname = Machine
memory.settle(open("/proc/self/maps").read())
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
