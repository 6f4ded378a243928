"""What a job leaves, in all that it can write to, the next job of the same worker does not see."""

from __future__ import annotations

import textwrap

import pytest

from linewise_training.execution import Job, Runner, Status


@pytest.fixture(scope="module")
def runner():
    with Runner(1) as opened:
        if not all(layer.active for layer in opened.layers()):
            pytest.skip("without namespaces jobs share the system's /tmp and shared memory")
        yield opened


def run(runner, code, *tests, timeout=2.0):
    (verdict,) = runner.run([Job(textwrap.dedent(code), tests, timeout=timeout)])
    return verdict


LEAVING = {
    "files, and folders without permissions": """
        import os
        open('file', 'w').write('left')
        os.makedirs('/tmp/folder/inner')
        open('/tmp/folder/inner/file', 'w').write('left')
        os.chmod('/tmp/folder/inner', 0)
        os.chmod('/tmp/folder', 0)""",
    "links": """
        import os
        os.symlink('/etc', 'link')
        os.symlink('/etc/passwd', '/tmp/link')""",
    "another folder in the place of its own": """
        import os
        os.rename('/tmp/work', '/tmp/old')
        os.symlink('/etc', '/tmp/work')""",
    "no folder": "import os\nos.rmdir('/tmp/work')",
    "permissions": "import os\nos.chmod('/tmp/work', 0)\nos.chmod('/tmp', 0o111)",
    "times": "import os\nos.utime('/tmp', (1, 1))\nos.utime('/tmp/work', (1, 1))",
    "extended attributes": """
        import errno, os
        for path in ('/tmp', '/tmp/work'):
            try: os.setxattr(path, 'user.left', b'left')
            except OSError as error: assert error.errno == errno.ENOTSUP""",
    "System V shared memory": "assert libc.shmget(4711, 4096, 0o1666) >= 0",
    "a queue of System V messages": "assert libc.msgget(4711, 0o1666) >= 0",
    "System V semaphores": "assert libc.semget(4711, 1, 0o1666) >= 0",
    "all of System V's, by a process that lives on and makes ever more": """
        import os
        assert libc.msgget(4712, 0o1666) >= 0
        if os.fork() == 0:
            os.setsid()
            while True:
                libc.shmget(0, 4096, 0o1666); libc.msgget(0, 0o1666); libc.semget(0, 1, 0o1666)""",
    "POSIX shared memory and semaphores": """
        import os
        from multiprocessing import shared_memory, resource_tracker
        resource_tracker.register = lambda *a: None
        shared_memory.SharedMemory('left', create=True, size=4096)
        libc.sem_open.restype = ctypes.c_void_p
        assert libc.sem_open(b'/left', os.O_CREAT, 0o666, 1)""",
    "a message queue": """
        import os
        assert libc.mq_open(b'/left', os.O_CREAT | os.O_RDWR, 0o666, None) == -1""",
    "sockets that a process listens on": """
        import os, socket, time
        for address in ('/tmp/socket', '\\0left'):
            server = socket.socket(socket.AF_UNIX)
            server.bind(address)
            server.listen()
        if os.fork() == 0:
            os.setsid()
            time.sleep(60)""",
    "its channel and output shut and full": """
        import os, socket
        socket.socket(fileno=os.dup(3)).setblocking(False)
        os.set_blocking(1, False)
        try:
            while True: os.write(1, b'left' * 1000)
        except BlockingIOError: pass""",
}
LOOK = """
    import os, socket
    seen = {'cwd': os.getcwd(), 'pid': os.getpid(), 'proc': os.listdir('/proc')}
    seen['files'] = [(top, *found) for top, *found in os.walk('/tmp')]
    for path in ('/tmp', '/tmp/work'):
        status = os.stat(path)
        seen[path] = (status.st_mode, status.st_uid, os.listxattr(path), status.st_mtime > 10 ** 9)
    there = (ctypes.c_int * 32)()
    seen['shm'] = libc.shmctl(0, 14, there), there[0]
    seen['msg'] = libc.msgctl(0, 12, there), there[0]
    seen['sem'] = libc.semctl(0, 0, 19, there), (there[7], there[9])
    with socket.socket(socket.AF_UNIX) as client:
        seen['socket'] = client.connect_ex('\\0left')
    try: os.kill(-1, 0)
    except OSError as error: seen['kill'] = error.errno
    print(seen)"""


@pytest.mark.parametrize("name", LEAVING)
def test_a_job_sees_nothing_that_another_left(runner, name):
    head = "import ctypes\nlibc = ctypes.CDLL(None)\n"
    before = run(runner, head + textwrap.dedent(LOOK), timeout=10)
    left = run(runner, head + textwrap.dedent(LEAVING[name]), timeout=10)
    after = run(runner, head + textwrap.dedent(LOOK), timeout=10)
    assert (before.status, left.status) == (Status.PASS, Status.PASS), (before, left)
    assert "'/tmp/work', [], [])" in before.output
    assert (after.status, after.output) == (Status.PASS, before.output)
