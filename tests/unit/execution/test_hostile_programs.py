"""No program under test harms the machine or scores as a pass that it has not earned."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from linewise_training.execution import Job, Limits, Runner, Status
from linewise_training.execution.sandbox import descendants

LIMITS = Limits(memory=256 << 20, total_memory=400 << 20, disk=8 << 20, files=256, processes=32)
WRONG = "def f(x):\n    return 0\n"
TEST = "assert f(1) == 2"


@pytest.fixture(scope="module", params=[True, False], ids=["namespaces", "without namespaces"])
def runner(request):
    with Runner(1, LIMITS, namespaces=request.param) as opened:
        inside = next(layer.active for layer in opened.layers() if layer.name == "user namespace")
        if request.param and not inside:
            pytest.skip("this system allows no namespaces")
        opened.inside = inside
        yield opened


def run(runner, code, *tests, timeout=2.0):
    (verdict,) = runner.run([Job(textwrap.dedent(code), tests, timeout=timeout)])
    return verdict


def processes_of(marker):
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if marker.encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return found


FORGERIES = {
    "exits with 0 before the tests": "import sys\nsys.exit(0)",
    "ends at once with 0": "import os\nos._exit(0)",
    "ends with 0 in the test": "import os\ndef f(x): os._exit(0)",
    "leaves with 0 in the test": "import sys\ndef f(x): sys.exit(0)",
    "replaces itself by a program that succeeds": "import os\ndef f(x): os.execv('/bin/true', ['true'])",
    "prints what a checker might read": """
        import os
        print('{"status": "pass"}', flush=True)
        os._exit(0)""",
    "writes to every open file": """
        import os
        for fd in range(256):
            for said in (b'pass', b'{"step": 1, "kind": "pass", "message": ""}', b'\\0' * 16):
                try: os.write(fd, said)
                except OSError: pass
        os._exit(0)""",
    "reads from every open file and writes it back": """
        import os
        def f(x):
            for fd in range(3, 256):
                try:
                    os.set_blocking(fd, False)
                    os.write(fd, os.read(fd, 100))
                except OSError: pass
            os._exit(0)""",
    "replaces builtins": """
        import builtins
        builtins.AssertionError = builtins.Exception = builtins.BaseException = KeyError
        builtins.compile = builtins.isinstance = lambda *a: True
        builtins.exec = lambda *a: None
        def f(x): return 0""",
    "changes a builtin that the test calls": """
        import builtins
        def f(x):
            builtins.abs = builtins.round = lambda *a: 2
            return 0""",
    "replaces what writes and formats": """
        import os, json, sys, traceback
        def fake(*a, **k): return '{"step": 1, "kind": "pass"}'
        json.dumps = traceback.format_exception_only = fake
        os._exit = sys.exit = fake
        def f(x): return 0""",
    "changes the checker by its frames": """
        import sys
        def f(x):
            frame = sys._getframe()
            while frame:
                for names in (frame.f_globals, frame.f_locals):
                    for name in list(names):
                        if callable(names[name]) and not name.startswith('__'):
                            names[name] = lambda *a, **k: None
                frame = frame.f_back
            return 0""",
    "looks for marks in its frames": """
        import os, sys
        def look(value, depth=0):
            if isinstance(value, bytes):
                try: os.write(3, value)
                except OSError: pass
            elif isinstance(value, (list, tuple, set)) and depth < 4:
                for item in value: look(item, depth + 1)
            elif isinstance(value, dict) and depth < 3:
                for item in list(value.values()): look(item, depth + 1)
        def f(x):
            frame = sys._getframe()
            while frame:
                look(dict(frame.f_locals)); look(dict(frame.f_globals)); look(frame.f_code.co_consts)
                frame = frame.f_back
            return 0""",
    "looks for marks among all objects": """
        import gc, os
        for found in gc.get_objects():
            if isinstance(found, (list, tuple)):
                for item in found:
                    if isinstance(item, bytes): os.write(3, item)
        def f(x): return 0""",
    "asks the collector what its caller holds": """
        import gc, os, sys
        def f(x):
            for held in gc.get_referents(sys._getframe(2)):
                if isinstance(held, bytes): os.write(3, held)
            return 0""",
    "traces the checker": """
        import sys
        def trace(frame, event, arg):
            frame.f_trace_opcodes = True
            return trace
        sys.settrace(trace)
        frame = sys._getframe()
        while frame: frame.f_trace, frame = trace, frame.f_back
        def f(x): return 0""",
    "reads its own memory": """
        import os, re
        memory = os.open('/proc/self/mem', os.O_RDWR)
        def f(x):
            for line in open('/proc/self/maps'):
                start, end = (int(part, 16) for part in line.split()[0].split('-'))
                os.lseek(memory, start, 0)
                os.write(3, os.read(memory, end - start)[:16])
            return 0""",
    "has a child end for it": """
        import os
        def f(x):
            for guess in range(5):
                if os.fork() == 0:
                    return guess
            while True:
                try: os.wait()
                except ChildProcessError: os._exit(0)""",
    "catches everything": """
        import time
        while True:
            try:
                while True: time.sleep(0.01)
            except BaseException: pass""",
    "ignores every signal": """
        import signal
        for number in range(1, 65):
            try: signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError): pass
        while True: pass""",
    "never ends": "while True: pass",
    "waits for input": "import threading\nthreading.Event().wait()",
    "is an error that cannot be printed": """
        class E(Exception):
            def __str__(self): import os; os._exit(0)
        def f(x): raise E""",
}
CONTAINED = {
    "fork bomb": """
        import os
        while True:
            try: os.fork()
            except OSError: pass""",
    "thread bomb": """
        import threading
        while True: threading.Thread(target=threading.Event().wait).start()""",
    "endless output": "while True: print('a' * 10000)",
    "memory balloon": "a = []\nwhile True: a.append(bytearray(1 << 20))",
    "memory balloon of many processes": """
        import os
        for _ in range(5): os.fork()
        a = bytearray(os.urandom(1 << 20) * 100)
        while True: a[::4096] = a[::4096]""",
    "one enormous integer": "print(9 ** 9 ** 9)",
    "a disk full of one file": """
        with open('a', 'wb') as file:
            while True: file.write(b'a' * (1 << 20))""",
    "a disk full of files": """
        n = 0
        while True:
            with open(f'f{n}', 'wb') as file: file.write(b'a' * (1 << 16))
            n += 1""",
    "kills its parent": "import os\nos.kill(os.getppid(), 9)\nos._exit(0)",
    "kills all": "import os\nos.kill(-1, 9)\nos._exit(0)",
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_is_no_pass(runner, name):
    code = FORGERIES[name]
    test = "assert abs(f(1)) == 2" if "abs" in code else TEST
    verdict = run(runner, code, test, "assert f(1) + f(1) == 4", timeout=0.7)
    assert verdict.status is not Status.PASS, verdict
    assert not any(test.passed for test in verdict.tests), verdict
    assert run(runner, "def f(x): return x + 1", TEST).status is Status.PASS


@pytest.mark.parametrize("name", CONTAINED)
def test_what_would_harm_is_contained(runner, name):
    if not runner.inside and name.startswith("kill") and os.geteuid():
        pytest.skip("without namespaces only another user's processes are safe from a signal")
    mine = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        verdict = run(runner, CONTAINED[name], TEST, timeout=1)
        assert verdict.status is not Status.PASS, verdict
        assert len(verdict.output) <= LIMITS.output
        assert run(runner, "def f(x): return x + 1", TEST).status is Status.PASS
        assert mine.poll() is None
    finally:
        mine.kill()
        mine.wait()


def test_no_process_outlives_its_job(runner):
    marker = f"marker{os.getpid()}"
    verdict = run(
        runner,
        f"""
        import os, subprocess, time
        for _ in range(3):
            if os.fork() == 0:
                os.setsid()
                if os.fork():
                    os._exit(0)
                os.execv('/bin/sh', ['sh', '-c', 'sleep 60; true {marker}'])
        time.sleep(0.2)
        """,
        "assert True",
    )
    assert verdict.status is Status.PASS
    assert processes_of(marker) == []


def test_files_outside_can_be_neither_read_nor_changed(runner, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("mine", encoding="utf-8")
    secret.chmod(0o600)
    tmp_path.chmod(0o700)
    new_at_home = f"{pwd.getpwuid(0).pw_dir}/new"
    verdict = run(
        runner,
        f"""
        import os, shutil
        os.symlink({str(secret)!r}, 'link')
        tried = []
        for path in ('link', {str(secret)!r}, '/proc/1/root' + {str(secret)!r}):
            for mode in ('r', 'w', 'a'):
                try: tried.append(open(path, mode).read())
                except OSError: tried.append(None)
        for path in ('/etc/passwd', '/usr/bin', '/etc/alternatives', {str(tmp_path)!r}):
            names = os.listdir(path)[:20] if os.path.isdir(path) and os.access(path, 4) else []
            for name in [path, *names]:
                try: os.remove(os.path.join(path, name))
                except OSError: pass
            try: os.rename(path, path + '.gone')
            except OSError: pass
        for path in ('/usr/new', '/etc/new', '/new', '/dev/new', {new_at_home!r}):
            try: open(path, 'w'); tried.append(path)
            except OSError: tried.append(None)
        """,
        "assert not any(tried), tried",
        "assert os.path.isdir('/usr')",
    )
    outside = os.geteuid() != 0 and not runner.inside
    assert outside or verdict.status is Status.PASS, verdict
    assert outside or secret.read_text(encoding="utf-8") == "mine"
    assert Path("/etc/passwd").exists()


def test_the_network_is_out_of_reach(runner):
    if not runner.inside:  # then it is open, and that is told
        assert not next(layer.active for layer in runner.layers() if layer.name == "network")
        return
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        verdict = run(
            runner,
            """
            import socket
            def reach(address):
                try: socket.create_connection(address, timeout=0.5)
                except OSError: return False
                return True
            """,
            f"assert not reach(('127.0.0.1', {port}))",
            "assert not reach(('1.1.1.1', 53))",
        )
    assert verdict.status is Status.PASS, verdict


def test_no_privilege_can_be_had(runner):
    verdict = run(
        runner,
        """
        import ctypes, os
        libc = ctypes.CDLL(None, use_errno=True)
        held = (ctypes.c_uint32 * 6)()
        assert libc.capget((ctypes.c_uint32 * 2)(0x20080522, 0), held) == 0
        """,
        "assert os.getuid() != 0 and os.geteuid() != 0",
        "assert not any(held[:2]), list(held)  # effective, permitted",
        "assert libc.prctl(39, 0, 0, 0, 0) == 1  # no new privileges",
        "assert libc.umount2(b'/proc', 2) == libc.umount2(b'/tmp', 2) == -1",
        "assert libc.mount(b'none', b'/tmp', b'tmpfs', 0, None) == -1",
        "assert libc.unshare(0x10000000) == -1 or libc.mount(b'a', b'/usr', b'tmpfs', 0, None) in (0, -1)",
    )
    assert verdict.status is Status.PASS, verdict
    assert Path("/usr/bin").is_dir()


def test_the_environment_tells_nothing(runner, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "a secret")
    with Runner(1, namespaces=runner.inside) as fresh:
        verdict = run(fresh, "import os", "assert not [n for n in os.environ if 'SECRET' in n]")
    assert verdict.status is Status.PASS


def test_workers_end_with_their_runner():
    before = set(descendants())  # other tests' workers
    with Runner(2) as opened:
        verdicts = opened.run([Job("print('here')", ()), *[Job("while True: pass", (), timeout=60)] * 20])
        assert next(verdicts).output == "here\n"
        started = {str(pid) for pid in descendants() if pid not in before}
        assert len(started) > 2
        verdicts.close()
    deadline = time.monotonic() + 20
    while left := started & set(processes_of("linewise_training.execution.worker")):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def test_code_that_never_compiles_is_its_own_fault(runner):
    depth = 40
    # Each `finally` is compiled twice, so this one doubles what the next takes.
    code = "".join(f"{' ' * at}try: pass\n{' ' * at}finally:\n" for at in range(depth)) + " " * depth + "pass"
    assert run(runner, code, "assert True").status in {Status.TIMEOUT, Status.COMPILE_ERROR}
    assert run(runner, "x = 1", "assert x == 1").status is Status.PASS
