"""What `linewise doctor` says of the sandbox: each layer, tried by a program that would find it missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from linewise.commands.doctor import Check
from linewise_training.execution.job import Job
from linewise_training.execution.languages import OTHERS
from linewise_training.execution.runner import ExecutionError, Runner

_IMPORTS = "import os, resource, socket\n"
_PROBES: Mapping[str, str] = MappingProxyType(
    {
        "user namespace": "assert 'CapEff:\\t0000000000000000' in open('/proc/self/status').read()\n"
        "assert os.getuid() != 0 and len(open('/proc/self/uid_map').read().splitlines()) == 1",
        "file system": "assert not os.path.exists('/sys') and not os.access('/usr', os.W_OK)\n"
        "assert os.statvfs('/usr').f_flag & os.ST_RDONLY and os.listdir(os.environ['HOME']) == []",
        "network": "assert [name for _, name in socket.if_nameindex() if name != 'lo'] == []\n"
        "with socket.socket() as s: assert s.connect_ex(('127.0.0.1', 9)) == 101  # unreachable",
        "process IDs": "assert os.getpid() == 1",
        "shared memory": "assert len(open('/proc/sysvipc/shm').read().splitlines()) == 1",
        "/proc": "assert [name for name in os.listdir('/proc') if name.isdigit()] == ['1']",
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
