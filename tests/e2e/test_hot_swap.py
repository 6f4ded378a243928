"""A real language server whose settings and model files change under it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import DEADLINE, URI, BareClient, server_environment, wait_for


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_gguf: Path) -> Iterator[Path]:
    """The user's file; the tiny model serves."""
    path = tmp_path / "config" / "linewise.toml"
    path.parent.mkdir()
    monkeypatch.setenv("LINEWISE_CONFIG", str(path))
    monkeypatch.setenv("LINEWISE_MODELS", str(tmp_path / "models"))
    monkeypatch.delenv("LINEWISE_SERVE_ENABLED", raising=False)
    shutil.copy(tiny_gguf, tmp_path / "one.gguf")
    write(path, tmp_path / "one.gguf")
    with tempfile.TemporaryDirectory(prefix="lw-", dir="/tmp") as runtime:
        monkeypatch.setenv("LINEWISE_RUNTIME_DIR", runtime)
        yield path
        linewise("serve", "stop")


@pytest.fixture
def client(config: Path) -> Iterator[BareClient]:
    bare = BareClient.on_stdio()
    bare.initialize()
    bare.open(URI, "def area(radius):\n    \n")
    yield bare
    bare.kill()


def write(config: Path, model: Path, shared: bool = False) -> None:
    config.write_text(f"model = '{model}'\nthreads = 1\n[serve]\nenabled = {str(shared).lower()}\n")


def linewise(*arguments: str) -> None:
    command = [sys.executable, "-m", "linewise", *arguments]
    subprocess.run(command, check=True, capture_output=True, env=server_environment(), timeout=DEADLINE)


def told(client: BareClient, part: str) -> Callable[[], bool]:
    """Whether the user was told something with `part` in it; asks something, so that messages are read."""

    def check() -> bool:
        answered(client)
        notes = [note for note in client.notifications if note["method"] == "window/showMessage"]
        return any(part in note["params"]["message"] for note in notes)

    return check


def answered(client: BareClient) -> None:
    """Every request is answered, whichever model serves."""
    response = client.answer(client.complete(URI, 1, 4))
    assert "error" not in response


def test_a_model_that_is_set_is_served_and_a_damaged_one_is_not(
    client: BareClient, config: Path, tmp_path: Path, fim_gguf: Path
) -> None:
    answered(client)
    shutil.copy(fim_gguf, tmp_path / "two.gguf")
    write(config, tmp_path / "two.gguf")
    wait_for("the other model", told(client, "is served from now on"))
    (tmp_path / "three.gguf").write_bytes(fim_gguf.read_bytes()[:5000])
    write(config, tmp_path / "three.gguf")
    wait_for("a refusal", told(client, "the one before stays: "))
    config.write_text("[serve\n")
    wait_for("a word on the broken file", told(client, "is no TOML"))
    answered(client)
    assert client.stop() == 0


@pytest.mark.parametrize("shared", [False, True])
def test_a_model_file_that_is_replaced_is_loaded_again(
    client: BareClient, config: Path, tmp_path: Path, fim_gguf: Path, shared: bool
) -> None:
    answered(client)
    if shared:
        write(config, tmp_path / "one.gguf", shared)
        wait_for("the shared server", told(client, "is served from now on"))
        client.notifications.clear()
    shutil.copy(fim_gguf, tmp_path / "new")
    (tmp_path / "new").replace(tmp_path / "one.gguf")
    wait_for("the new file", told(client, "is served from now on"))
    answered(client)
    (tmp_path / "new").write_bytes(fim_gguf.read_bytes()[:5000])
    (tmp_path / "new").replace(tmp_path / "one.gguf")
    wait_for("a refusal", told(client, "the one before stays: "))
    assert client.stop() == 0


def test_a_model_that_is_taken_into_use_is_served(client: BareClient, config: Path, tiny_gguf: Path) -> None:
    config.write_text("threads = 1\n[serve]\nenabled = false\n")
    wait_for("the embedded model", told(client, "is served from now on"))
    client.notifications.clear()
    linewise("models", "add", str(tiny_gguf), "--name", "mine", "--use")
    wait_for("the model in use", told(client, "tiny is served from now on"))
    assert client.stop() == 0
