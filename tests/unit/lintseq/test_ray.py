"""LintSeq on Ray: the same files as on processes, and nothing of Ray's own on standard output."""

import json
import socket
import sys
import threading

import pytest
from click.testing import CliRunner

from linewise.errors import LinewiseError
from linewise.installation import install_extra
from linewise_training.lintseq import lintseq_command, on_ray
from linewise_training.lintseq.cluster import require_cluster


def run(source, out, backend):
    arguments = ["--in", str(source), "--out", str(out), "--samples", "2", "--linter", "fast", "--json"]
    return CliRunner().invoke(lintseq_command, [*arguments, "--workers", "2", "--backend", backend])


@pytest.fixture
def source(tmp_path):
    rows = [{"program": f"a{at} = {at}\nfor b in range(a{at}):\n    print(b)\n"} for at in range(30)]
    rows[20] = {"program": "def f(:"}
    lines = [json.dumps(row) for row in rows]
    lines[11] = "not json"
    path = tmp_path / "in.jsonl"
    path.write_text("".join(line + "\n" for line in lines))
    return path


def test_ray_writes_the_files_that_processes_write(tmp_path, source, monkeypatch, capfd):
    pytest.importorskip("ray.data", reason="Ray is not there for this Python")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(on_ray, "_BLOCK", 5)
    monkeypatch.setattr(on_ray, "_WINDOW_BLOCKS", 2)  # two windows
    outs = {backend: tmp_path / f"{backend}.jsonl" for backend in ("local", "ray")}
    for backend, out in outs.items():
        done = run(source, out, backend)
        assert done.exit_code == 0, done.output
        told = json.loads(done.stdout)
        assert (told["programs"], told["sequences"], told["skipped"]) == (28, 56, 2)
    assert capfd.readouterr().out == ""
    assert outs["ray"].read_bytes() == outs["local"].read_bytes()
    skipped = [tmp_path / f"{backend}.jsonl.skipped.jsonl" for backend in outs]
    assert skipped[0].read_bytes() == skipped[1].read_bytes()
    assert [json.loads(line)["line"] for line in skipped[0].read_text().splitlines()] == [12, 21]


def test_without_ray_the_command_says_what_to_install_and_writes_nothing(tmp_path, source, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "ray.data", None)
    done = run(source, tmp_path / "out.jsonl", "ray")
    assert done.exit_code == 1
    assert f"not installed; install it with: {install_extra('ray')}" in done.stderr
    assert "Traceback" not in done.output
    assert not list(tmp_path.glob("out.jsonl*"))


@pytest.fixture
def answering():
    """Starts a server that answers each client with the given bytes, and gives its port."""
    servers = []

    def start(answer):
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def serve():
            with server.accept()[0] as client:
                client.recv(100)
                client.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        return server.getsockname()[1]

    yield start
    for server in servers:
        server.close()


def test_a_cluster_that_is_not_there_is_one_clear_line_and_nothing_is_written(tmp_path, source, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]  # nothing listens there once it is closed
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
    done = run(source, tmp_path / "out.jsonl", "ray")
    assert done.exit_code == 1
    assert (
        f"no Ray cluster can be reached at 127.0.0.1:{port} (RAY_ADDRESS): Connection refused" in done.stderr
    )
    assert not list(tmp_path.glob("out.jsonl*"))


@pytest.mark.parametrize(
    "address",
    ["cluster", "cluster:", "http://127.0.0.1:8265", ":6379x", "cluster:70000", "ray://cluster", ":6379"],
)
def test_an_address_that_is_none_is_named(address):
    with pytest.raises(LinewiseError, match="not HOST:PORT"):
        require_cluster(address)


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_server_that_speaks_as_ray_does_is_let_pass_and_another_is_not(answering, scheme):
    require_cluster(f"{scheme}127.0.0.1:{answering(bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))}")
    for other in (b"HTTP/1.0 505 Version Not Supported", b""):
        with pytest.raises(LinewiseError, match="is no Ray cluster"):
            require_cluster(f"{scheme}127.0.0.1:{answering(other)}")


def test_a_name_that_no_host_can_have_is_named():
    with pytest.raises(LinewiseError, match="can be reached at aaaa"):
        require_cluster(f"{'a' * 64}:6379")


def test_where_ray_finds_its_cluster_itself_nothing_is_asked(monkeypatch):
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("asked"))
    for address in ("", "auto", "local"):
        require_cluster(address)
