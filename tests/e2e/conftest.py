"""Fixtures of the end-to-end tests."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness import SCRIPTED_SERVER, URI, BareClient, Editor, ScriptedModel, Served, wait_for


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    scripted = ScriptedModel()
    yield scripted
    scripted.close()


@pytest.fixture
def fresh_client(model: ScriptedModel) -> Iterator[BareClient]:
    """A client of a server on standard streams, not initialized yet."""
    bare = BareClient.on_stdio("--control", str(model.port))
    yield bare
    bare.kill()


@pytest.fixture(scope="module")
def shared_servers() -> Iterator[list[Served]]:
    servers: list[Served] = []
    yield servers
    for server in servers:
        server.close()


@pytest.fixture
def served(shared_servers: list[Served], request: pytest.FixtureRequest) -> Iterator[Served]:
    """An initialized server with no document open; a test that fails takes it with it."""
    server = shared_servers.pop() if shared_servers else Served()
    server.client.notifications.clear()
    server.client.granted_tokens.clear()
    failed_before = request.session.testsfailed
    yield server
    if request.session.testsfailed == failed_before and server.is_clean():
        server.client.notify("textDocument/didClose", {"textDocument": {"uri": URI}})
        shared_servers.append(server)
    else:
        server.close()


@pytest.fixture
def open_editor(tmp_path: Path) -> Iterator[Callable[..., Editor]]:
    """Start Neovim with a server command, and open a file with a text in it."""
    editors: list[Editor] = []

    def start(command: list[str], text: str | None = None, **options: str) -> Editor:
        editor = Editor(tmp_path, command, **options)
        editors.append(editor)
        if text is not None:
            path = tmp_path / "example.py"
            path.write_text(text, encoding="utf-8")
            editor.edit(path)
        return editor

    yield start
    for editor in editors:
        editor.close()


@pytest.fixture
def edit(open_editor: Callable[..., Editor], model: ScriptedModel) -> Callable[..., Editor]:
    """Open a text in Neovim, served by the scripted model."""

    def start(text: str, **options: str) -> Editor:
        command = [sys.executable, str(SCRIPTED_SERVER), "--control", str(model.port)]
        editor = open_editor(command, text, **options)
        wait_for("the server to serve the buffer", editor.is_attached)
        return editor

    return start
