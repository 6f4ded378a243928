"""Editors share one model server, started by the first of them; without it each works alone and says so."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from harness import URI, BareClient, wait_for

from linewise.serving.place import Place, places

TEXT = "def area(width, height):\n    return width * height\n\n\ndef volume(width, height, depth):\n    "


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="lw-"))
    yield path
    for place in served(path):
        with suppress(ProcessLookupError):
            os.kill(pid_of(place), signal.SIGKILL)
    shutil.rmtree(path)


@pytest.fixture
def open_lsp(folder: Path) -> Iterator[Callable[..., BareClient]]:
    clients: list[BareClient] = []

    def start(**variables: str) -> BareClient:
        environment = {
            **os.environ, "LINEWISE_SERVE_ENABLED": "true", "LINEWISE_RUNTIME_DIR": str(folder),
            "LINEWISE_SERVE_IDLE_MINUTES": "1",  # where the tests are killed, nothing else ends a server
            **variables,
        }  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, "-m", "linewise", "lsp", "--verifier", "none"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        assert process.stdin and process.stdout
        client = BareClient(process.stdout, process.stdin, process)
        clients.append(client)
        client.initialize()
        client.open(URI, TEXT)
        return client

    yield start
    for client in clients:
        client.kill()


def served(folder: Path) -> list[Place]:
    return [place for place in places({"LINEWISE_RUNTIME_DIR": str(folder)}) if place.is_served()]


def pid_of(place: Place) -> int:
    record = place.read_record()
    assert record is not None
    return record.pid


def complete(client: BareClient) -> Any:
    return client.answer(client.complete(URI, 5, 4))["result"]


def test_two_editors_share_a_server_that_outlives_the_first(
    open_lsp: Callable[..., BareClient], folder: Path
) -> None:
    first = open_lsp()
    answer = complete(first)
    assert answer["items"]
    second = open_lsp()
    assert complete(second) == answer
    (place,) = served(folder)
    pid = pid_of(place)
    assert first.stop() == 0
    assert complete(second) == answer
    assert pid_of(place) == pid
    assert not second.shown_messages()
    os.kill(pid, signal.SIGKILL)
    assert complete(second) == answer
    assert pid_of(place) != pid
    assert not second.shown_messages()
    assert second.stop() == 0


def test_an_editor_goes_on_alone_where_a_newer_server_takes_the_place_of_its_own(
    open_lsp: Callable[..., BareClient], folder: Path
) -> None:
    client = open_lsp()
    answer = complete(client)
    (place,) = served(folder)
    record, before = place.read_record(), pid_of(place)
    assert record is not None
    os.kill(before, signal.SIGTERM)
    wait_for("its end", lambda: not place.is_served())
    newer = "import linewise; linewise.__version__ = '99.0.0'; from linewise.cli import main; main()"
    command = [sys.executable, "-c", newer, "serve", "--model", record.model, "--key", place.key]
    with subprocess.Popen(command, env={**os.environ, "LINEWISE_RUNTIME_DIR": str(folder)}) as process:
        try:
            wait_for("the newer server", lambda: (found := place.read_record()) and found.pid == process.pid)
            assert complete(client) is None
            assert complete(client) == answer
            (message,) = client.shown_messages()
            assert "99.0.0 runs" in message
            assert process.poll() is None
        finally:
            process.terminate()
    assert client.stop() == 0


def test_without_a_server_the_model_runs_in_the_language_server_which_says_so_once(
    open_lsp: Callable[..., BareClient], folder: Path
) -> None:
    (folder / "file").write_text("")
    client = open_lsp(LINEWISE_RUNTIME_DIR=str(folder / "file" / "run"))
    assert complete(client)["items"]
    assert complete(client)["items"]
    (message,) = wait_for("a message", client.shown_messages)
    assert message.startswith("Linewise: The model runs inside this editor's own language server. ")
    assert "LINEWISE_RUNTIME_DIR" in message
    assert served(folder) == []
    assert client.stop() == 0


def test_who_wants_no_server_gets_none(open_lsp: Callable[..., BareClient], folder: Path) -> None:
    client = open_lsp(LINEWISE_SERVE_ENABLED="false")
    assert complete(client)["items"]
    assert not client.shown_messages()
    assert list(folder.iterdir()) == []
    assert client.stop() == 0
