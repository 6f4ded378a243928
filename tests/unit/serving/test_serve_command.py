"""`linewise serve` as it is called: status and logs, its socket or port, and the addresses it cannot have."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from servers import mode, text

from linewise.errors import ServerError
from linewise.serving.client import ServerEngine
from linewise.serving.connection import Address, Connection, LostConnectionError
from linewise.serving.starting import Starter


def linewise_serve(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "linewise", "serve", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)


def test_the_command_line_tells_stops_and_shows_logs(own_engine: ServerEngine, starter: Starter) -> None:
    (server,) = json.loads(linewise_serve("status", "--json").stdout)["servers"]
    assert (server["model"], server["state"]) == (str(starter._model), "serving")
    assert "begins to serve" in linewise_serve("logs").stdout
    assert linewise_serve("stop").stdout == "Stopped 1.\n"
    status = linewise_serve("status")
    assert (status.returncode, status.stdout) == (1, "No model server runs.\n")


def test_a_server_that_is_starting_is_told_as_one(starter: Starter) -> None:
    with starter.place.held():
        (server,) = json.loads(linewise_serve("status", "--json").stdout)["servers"]
        told = linewise_serve("status")
    assert (server["state"], server["pid"]) == ("starting", None)
    assert (told.returncode, "None" in told.stdout) == (0, False)
    assert told.stdout == f"A server is starting; its log is {starter.place.log}.\n"


def test_minutes_that_are_no_number_are_refused() -> None:
    ended = linewise_serve("--idle", "nan")
    assert (ended.returncode, "no number of minutes" in ended.stderr) == (2, True)


def test_a_port_with_its_token_serves_openais_own_client(tiny_gguf: Path, runtime: Path) -> None:
    import openai

    command = [sys.executable, "-m", "linewise", "serve", "--model", str(tiny_gguf), "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        base = process.stderr.readline().split(" on ")[1].strip()
        token_file = Path(process.stderr.readline().rpartition(" in ")[2].strip())
        assert mode(token_file) == 0o600
        client = openai.OpenAI(base_url=base, api_key=token_file.read_text(), max_retries=0)
        (model,) = client.models.list().data
        whole = client.completions.create(
            model=model.id, prompt="def area", max_tokens=8, seed=3, logprobs=0, n=2
        )
        assert [choice.index for choice in whole.choices] == [0, 1]
        assert whole.usage is not None
        assert whole.usage.completion_tokens <= 16
        first = whole.choices[0]
        assert first.logprobs is not None
        assert "".join(first.logprobs.tokens or []) == first.text
        parts = client.completions.create(
            model=model.id, prompt="def area", max_tokens=8, seed=3, stream=True
        )
        assert "".join(part.choices[0].text for part in parts) == first.text
        with pytest.raises(openai.NotFoundError, match="not served here"):
            client.completions.create(model="gpt-4", prompt="x")
        with pytest.raises(openai.BadRequestError, match="holds 512"):
            client.completions.create(model=model.id, prompt="x " * 2000)
        with pytest.raises(openai.AuthenticationError):
            openai.OpenAI(base_url=base, api_key="wrong", max_retries=0).models.list()
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 0


def test_a_socket_path_that_is_too_long_is_told(
    runtime: Path, tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINEWISE_RUNTIME_DIR", str(runtime / ("long" * 30)))
    with pytest.raises(ServerError, match="too long for a socket"):
        ServerEngine(Starter(tiny_gguf))


def test_a_named_socket_whose_path_is_too_long_is_told(
    runtime: Path, tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINEWISE_SERVE_SOCKET", str(runtime / ("long" * 30)))
    ended = linewise_serve("--model", str(tiny_gguf))
    assert (ended.returncode, "a shorter path in serve.socket" in ended.stderr) == (1, True)


def test_a_socket_is_put_in_no_files_place(
    runtime: Path, tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = runtime / "notes.txt"
    notes.write_text("mine")
    monkeypatch.setenv("LINEWISE_SERVE_SOCKET", str(notes))
    ended = linewise_serve("--model", str(tiny_gguf))
    assert (ended.returncode, "no socket" in ended.stderr) == (1, True)
    assert notes.read_text() == "mine"


def test_a_port_that_is_taken_is_told_in_one_sentence(tiny_gguf: Path, runtime: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = linewise_serve("--model", str(tiny_gguf), "--port", str(port))
    assert (ended.returncode, ended.stderr.count("127.0.0.1")) == (1, 1)
    assert "name another one" in ended.stderr


def test_a_socket_is_taken_from_dead_servers_only(
    own_engine: ServerEngine, starter: Starter, tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = starter.place.folder / "named.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    monkeypatch.setenv("LINEWISE_SERVE_SOCKET", str(path))
    served = linewise_serve("--model", str(tiny_gguf), "--idle", "0.001")
    assert (served.returncode, f"on {path}" in served.stderr, path.exists()) == (0, True, False)
    monkeypatch.setenv("LINEWISE_SERVE_SOCKET", str(starter.place.socket))
    ended = linewise_serve("--model", str(tiny_gguf))
    assert (ended.returncode, "Another server listens" in ended.stderr) == (1, True)
    assert text(own_engine, "say ok") == "ok"


def test_an_address_that_is_logged_does_not_tell_its_token() -> None:
    assert "secret" not in repr(Address(None, 80, "secret"))


def test_nobody_listens_is_known_at_once(tmp_path: Path) -> None:
    with pytest.raises(LostConnectionError):
        Connection(Address(str(tmp_path / "none")))
