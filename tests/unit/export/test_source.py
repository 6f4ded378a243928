"""Where a checkpoint comes from: a folder, a hub (a small one on this machine), or nowhere."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from linewise.errors import ModelError
from linewise_training.export.source import checkpoint_folder, folder_sha256

COMMIT = "1" * 40
NAME = "owner/tiny"


class Hub(ThreadingHTTPServer):
    """Serves one model folder as the hub does, as far as a download asks."""

    def __init__(self, folder: Path, spoiled: str | None = None) -> None:
        self.folder, self.spoiled = folder, spoiled
        super().__init__(("127.0.0.1", 0), _Handler)

    def about(self) -> dict[str, object]:
        siblings = []
        for path in sorted(self.folder.iterdir()):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            size = path.stat().st_size
            large = (
                {"sha256": digest, "size": size, "pointerSize": 100}
                if path.suffix == ".safetensors"
                else None
            )
            siblings.append({"rfilename": path.name, "size": size, "blobId": digest[:40], "lfs": large})
        return {
            "id": NAME,
            "modelId": NAME,
            "sha": COMMIT,
            "siblings": siblings,
            "tags": [],
            "private": False,
        }


class _Handler(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub = self.server
        path = self.path.split("?")[0]
        if path.startswith(f"/api/models/{NAME}/tree"):
            files = hub.about()["siblings"]
            rows = [
                {"type": "file", "path": f["rfilename"], "size": f["size"], "oid": f["blobId"]} for f in files
            ]
            body = json.dumps(rows).encode()
        elif path.startswith(f"/api/models/{NAME}"):
            body = json.dumps(hub.about()).encode()
        elif path.startswith(f"/{NAME}/resolve/{COMMIT}/") and (hub.folder / Path(path).name).exists():
            body = (hub.folder / Path(path).name).read_bytes()
            if Path(path).name == hub.spoiled:
                body = body[:-1] + bytes([body[-1] ^ 1])
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def hub(tiny_checkpoint: Path, tmp_path: Path) -> Iterator[Hub]:
    folder = Path(shutil.copytree(tiny_checkpoint, tmp_path / "on the hub"))
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Tiny\n")
    server = Hub(folder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def convert(tmp_path: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`linewise models convert` in a process of its own, since the hub's client reads its settings once."""
    return subprocess.run(
        [sys.executable, "-m", "linewise", "models", "convert", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_DISABLE_XET": "1", **environment},
    )


def test_a_model_of_the_hub_is_downloaded_checked_and_kept(hub: Hub, tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{hub.server_port}"
    done = convert(tmp_path, NAME, HF_ENDPOINT=address)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "tiny-q8_0.gguf").exists()
    assert folder_sha256(hub.folder) in done.stdout
    assert "licence apache-2.0" in done.stdout
    hub.shutdown()
    again = convert(tmp_path, NAME, "--out", "again.gguf", HF_ENDPOINT="http://127.0.0.1:9")
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "again.gguf").read_bytes() == (tmp_path / "tiny-q8_0.gguf").read_bytes()


def test_a_download_that_is_not_what_the_hub_has_is_refused(hub: Hub, tmp_path: Path) -> None:
    hub.spoiled = "model.safetensors"
    done = convert(tmp_path, NAME, HF_ENDPOINT=f"http://127.0.0.1:{hub.server_port}")
    assert done.returncode == 1 and "is not what the hub has" in done.stderr
    assert not list(tmp_path.glob("*.gguf"))


def test_an_unknown_name_and_a_hub_out_of_reach_are_one_line(hub: Hub, tmp_path: Path) -> None:
    for name, environment, message in (
        ("owner/none", {"HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}"}, "no such model"),
        (NAME, {"HF_ENDPOINT": "http://127.0.0.1:9"}, "cannot be reached"),
        (NAME, {"HF_HUB_OFFLINE": "1"}, "cannot be reached"),
    ):
        done = convert(tmp_path, name, **environment)
        assert done.returncode == 1 and message in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_a_folder_is_itself_and_its_checksum_pins_it(tiny_checkpoint: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_checkpoint, tmp_path / "copy"))
    checksum = folder_sha256(tiny_checkpoint)
    (folder / "README.md").write_text("not part of the model")
    assert checkpoint_folder(str(folder), sha256=checksum.upper()) == folder
    (folder / "config.json").write_text((folder / "config.json").read_text() + "\n")
    with pytest.raises(ModelError, match="another one"):
        checkpoint_folder(str(folder), sha256=checksum)


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, message in ((str(tmp_path / "file"), "is a file"), ("/no/such/folder", "no folder")):
        with pytest.raises(ModelError, match=message):
            checkpoint_folder(name)
    with pytest.raises(ModelError, match="no files of a model"):
        folder_sha256(tmp_path / "nowhere")
