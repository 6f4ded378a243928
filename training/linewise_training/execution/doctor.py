"""What `linewise doctor` says of the sandbox: each layer, tried by a program that would find it missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from linewise.commands.doctor import Check
from linewise_training.execution.job import Job
from linewise_training.execution.languages import OTHERS
from linewise_training.execution.runner import ExecutionError, Runner

_IMPORTS = "import ctypes, os, resource, socket\nlibc = ctypes.CDLL(None)\n"
_PROBES: Mapping[str, str] = MappingProxyType(
    {
        "user namespace": "held = (ctypes.c_uint32 * 6)()\n"
        "assert libc.capget((ctypes.c_uint32 * 2)(0x20080522, 0), held) == 0 and not any(held)\n"
        "assert os.getuid() != 0\n"
        "try: os.setuid(os.getuid() + 1)\n"
        "except OSError as error: assert error.errno == 22  # there is no other user\n"
        "else: raise AssertionError('there is another user')",
        "file system": "assert not os.path.exists('/sys') and not os.access('/usr', os.W_OK)\n"
        "assert os.statvfs('/usr').f_flag & os.ST_RDONLY and os.listdir(os.environ['HOME']) == []",
        "network": "assert [name for _, name in socket.if_nameindex() if name != 'lo'] == []\n"
        "with socket.socket() as s: assert s.connect_ex(('127.0.0.1', 9)) == 101  # unreachable",
        "process IDs": "assert os.getpid() == 1",
        "shared memory": "there = (ctypes.c_int * 16)()\n"
        "assert libc.shmctl(0, 14, there) == 0 and there[0] == 0  # SHM_INFO",
        "/proc": "assert os.listdir('/proc') == []",
        "resource limits": "\n".join(
            f"assert resource.getrlimit(resource.RLIMIT_{name})[1] != resource.RLIM_INFINITY"
            for name in ("CPU", "AS", "FSIZE", "NPROC", "NOFILE")
        ),
    }
)
_ADVICE = "allow unprivileged user namespaces: docs/evaluation.md, Running code"


def checks() -> Iterator[Check]:
    """One check for each layer of the sandbox, one for each language."""
    try:
        with Runner(1) as runner:
            layers = runner.layers()
            tests = tuple(_PROBES[layer.name] for layer in layers)
            (verdict,) = runner.run([Job(_IMPORTS, tests)])
    except ExecutionError as error:
        yield Check("sandbox", "absent", str(error), "only to run generated code")
        return
    for layer, result in zip(layers, verdict.tests, strict=True):
        name = f"sandbox {layer.name}"
        if layer.active and result.passed:
            yield Check(name, "ok", layer.detail)
        else:
            detail = layer.detail if not layer.active else f"does not hold: {result.message}"
            yield Check(name, "absent", detail, _ADVICE)
    for name, language in OTHERS.items():
        if missing := language.missing():
            yield Check(f"run {name}", "absent", missing)
        else:
            yield Check(f"run {name}", "ok", " and ".join(language.commands))
