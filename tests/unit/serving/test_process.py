"""A server's life: one wins, it leaves nothing behind, and no fault of a client or a disk ends it."""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from servers import SCRIPTED, mode, text, wait_for

import linewise
from linewise.engines.protocol import Request, Sampling, Segment
from linewise.errors import ModelError, ServerError
from linewise.models.description import describe
from linewise.serving import starting, wire
from linewise.serving.client import ServerEngine
from linewise.serving.connection import Address, Connection
from linewise.serving.fingerprint import fingerprint
from linewise.serving.logs import QuietRotatingFileHandler, last_lines, log_to
from linewise.serving.place import Record, place_of, prepared_folder, runtime_folder
from linewise.serving.starting import Starter, ask_to_stop, running, version_key


def test_nobody_else_gets_near_the_socket(own_engine: ServerEngine, starter: Starter) -> None:
    place = starter.place
    assert mode(place.folder) == 0o700
    assert mode(place.socket) == mode(place.record) == 0o600
    assert mode(place.lock) & 0o077 == 0


def test_a_folder_that_others_can_enter_is_closed_to_them(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o755)
    assert mode(prepared_folder({"LINEWISE_RUNTIME_DIR": str(tmp_path / "run")})) == 0o700


def test_a_folder_with_other_things_in_it_is_not_closed_to_others(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "notes").write_text("")
    with pytest.raises(ServerError, match="chmod 700"):
        prepared_folder({"LINEWISE_RUNTIME_DIR": str(tmp_path)})
    assert mode(tmp_path) == 0o755


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_folder_in_somebody_elses_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.chown(tmp_path, 1, 1)
    monkeypatch.setattr("platformdirs.user_runtime_path", lambda *_, **__: tmp_path / "linewise")
    with pytest.raises(ServerError, match="another user"):
        prepared_folder({})


def test_a_user_without_a_safe_folder_is_told_what_to_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> Path:
        raise PermissionError("runtime directory is owned by another user")

    monkeypatch.setattr("platformdirs.user_runtime_path", refuse)
    with pytest.raises(ServerError, match=r"another user.*LINEWISE_RUNTIME_DIR"):
        prepared_folder({})


def test_a_folder_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ServerError, match="LINEWISE_RUNTIME_DIR"):
        prepared_folder({"LINEWISE_RUNTIME_DIR": str(tmp_path / "file" / "run")})


def test_the_folder_is_the_users_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert runtime_folder({}) == tmp_path / "linewise"


def test_each_model_and_each_way_of_running_it_has_a_place(runtime: Path, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    here = place_of(tmp_path / "a")
    assert place_of(tmp_path / "link") == here
    assert len({here.key, place_of(tmp_path / "b").key, place_of(tmp_path / "a", {"X": "1"}).key}) == 3


def test_eight_starters_start_one_server(model_file: Path) -> None:
    engines: list[ServerEngine] = []

    def start() -> None:
        engines.append(ServerEngine(Starter(model_file, command=SCRIPTED)))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [text(engine, "say ok") for engine in engines] == ["ok"] * 8
    assert len(model_file.with_suffix(".starts").read_text().split()) == 1
    for engine in engines:
        engine.close()


def test_of_two_server_processes_the_second_gives_way(own_engine: ServerEngine, starter: Starter) -> None:
    second = subprocess.run(
        [*SCRIPTED, "--model", str(starter._model), "--key", starter.place.key],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert second.returncode != 0
    assert "runs already" in second.stderr
    assert text(own_engine, "say ok") == "ok"


def test_what_a_dead_server_left_is_no_obstacle(starter: Starter) -> None:
    place = starter.place
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(place.socket))
    place.write_record(Record(1 << 22, linewise.__version__, "x", str(place.socket), None))
    engine = ServerEngine(starter)
    assert text(engine, "say ok") == "ok"
    engine.close()


@pytest.mark.parametrize("left", [b"", b"{", b"[]", b'{"pid": 1}', b"\xff"])
def test_a_damaged_record_says_nothing(runtime: Path, tmp_path: Path, left: bytes) -> None:
    place = place_of(tmp_path / "a")
    place.record.write_bytes(left)
    assert running(place) is None


def test_a_port_that_a_dead_server_had_is_not_told_the_token(runtime: Path, tmp_path: Path) -> None:
    place = place_of(tmp_path / "a")
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        place.write_record(Record(os.getpid(), linewise.__version__, "x", None, stranger.getsockname()[1]))
        place.token.write_text("secret")
        assert running(place) is None
        stranger.setblocking(False)
        with pytest.raises(BlockingIOError):
            stranger.accept()


def test_an_idle_server_ends_and_leaves_nothing(model_file: Path) -> None:
    starter = Starter(model_file, command=SCRIPTED, environment={**os.environ, "SCRIPTED_IDLE": "0.2"})
    engine = ServerEngine(starter)
    assert text(engine, "say ok") == "ok"
    assert starter.place.is_served()  # a client is connected, so it is not idle
    engine.close()
    wait_for("its end", lambda: not starter.place.is_served())
    assert not starter.place.socket.exists()
    assert not starter.place.record.exists()
    assert "Nobody has been connected" in starter.place.log.read_text()


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="there is no /proc")
@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        (None, "glibc.malloc.hugetlb=1"),
        ("glibc.malloc.tcache_count=2", "glibc.malloc.tcache_count=2:glibc.malloc.hugetlb=1"),
        ("glibc.malloc.hugetlb=0", "glibc.malloc.hugetlb=0"),
    ],
)
def test_a_server_asks_for_huge_pages_unless_its_user_chose(
    model_file: Path, monkeypatch: pytest.MonkeyPatch, chosen: str | None, told: str
) -> None:
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    environment = {**os.environ, **({} if chosen is None else {"GLIBC_TUNABLES": chosen})}
    starter = Starter(model_file, command=SCRIPTED, environment=environment)
    engine = ServerEngine(starter)
    record = starter.place.read_record()
    assert record is not None
    variables = Path(f"/proc/{record.pid}/environ").read_bytes()
    # glibc cuts its variable up where it stands, as it reads it.
    assert f":GLIBC_TUNABLES={told}:".encode() in variables.replace(b"\0", b":")
    engine.close()


@pytest.mark.parametrize("way", ["stop", "SIGTERM", "SIGINT"])
def test_a_server_that_is_told_to_end_finishes_what_it_generates(
    own_engine: ServerEngine, starter: Starter, way: str
) -> None:
    asked = Request((Segment("count 100"),), Sampling(max_tokens=10_000))
    tokens = own_engine.stream(asked)
    said = next(tokens).text
    record = starter.place.read_record()
    assert record is not None
    if way == "stop":
        ask_to_stop(Address(record.socket))
    else:
        os.kill(record.pid, getattr(signal, way))
    said += "".join(token.text for token in tokens)
    assert said == "".join(f"{number} " for number in range(100))
    wait_for("its end", lambda: not starter.place.is_served())
    assert not starter.place.socket.exists()


@pytest.mark.parametrize(
    "garbage",
    [b"\x00" * 1000, b"GET / HTTP/1.1\r\n\r\n", b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n",
     b"GET " + b"/" * 100_000, b"\x16\x03\x01\x02\x00", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
     b"POST /v1/linewise/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
     b"POST /v1/linewise/generate HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n"],
)  # fmt: skip
def test_garbage_on_the_socket_harms_nobody_else(
    engine: ServerEngine, shared_starter: Starter, garbage: bytes
) -> None:
    with socket.socket(socket.AF_UNIX) as rude:
        rude.connect(str(shared_starter.place.socket))
        rude.sendall(garbage)
        assert text(engine, "say ok") == "ok"


def test_clients_that_vanish_in_mid_stream_leave_nothing_running(
    engine: ServerEngine, shared_starter: Starter
) -> None:
    body = {
        "to": wire.peer(fingerprint(shared_starter._model)),
        "slot": "", "priority": "write", "prefix": "", "count": 0, "rest": ["count 1000000"],
        "sampling": {"max_tokens": 10_000_000}, "healed": "", "stop": [], "forbidden": [],
    }  # fmt: skip
    address = Address(str(shared_starter.place.socket))
    for _ in range(20):
        connection = Connection(address)
        assert connection.begin("POST", "/v1/linewise/generate", body) == 200
        assert connection.read()
        connection.close()
    ours = Connection(address)
    wait_for("their end", lambda: ours.ask("GET", "/health")[1]["running"] == 0)
    ours.close()
    assert text(engine, "say ok") == "ok"


def test_an_older_server_gives_way_to_a_newer_version(
    own_engine: ServerEngine, starter: Starter, model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = starter.place.read_record()
    assert before is not None
    monkeypatch.setattr(starting.linewise, "__version__", "99.0.0")
    # What is started is of this version in truth, so that it is not the one wanted, either.
    with pytest.raises(ServerError):
        starter.reach()
    first, second = model_file.with_suffix(".starts").read_text().split()
    assert first == str(before.pid) != second
    assert "Traceback" not in starter.place.log.read_text()


def test_a_newer_server_is_left_alone(
    own_engine: ServerEngine, starter: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting.linewise, "__version__", "0.0.1")
    with pytest.raises(ServerError, match="restart this editor"):
        starter.reach()
    assert text(own_engine, "say ok") == "ok"


def test_versions_compare_as_numbers() -> None:
    assert version_key("0.10.0") > version_key("0.9.3") > version_key("0.9")


def test_a_model_that_changed_is_loaded_anew(
    own_engine: ServerEngine, starter: Starter, model_file: Path
) -> None:
    before = starter.place.read_record()
    model_file.write_bytes(b"better")
    engine = ServerEngine(Starter(model_file, command=SCRIPTED))
    assert starter.place.read_record() != before
    assert text(engine, "say ok") == "ok"
    engine.close()


def test_a_model_that_cannot_be_loaded_is_told_by_who_starts(runtime: Path) -> None:
    model = runtime / "broken.gguf"
    model.write_bytes(b"no model at all" * 100)
    with pytest.raises(ServerError, match=r"broken\.gguf"):
        ServerEngine(Starter(model))


def test_a_model_file_cut_short_under_the_server_ends_nothing(tiny_gguf: Path, runtime: Path) -> None:
    model = runtime / "tiny.gguf"
    model.write_bytes(tiny_gguf.read_bytes())
    starter = Starter(model, check=describe)
    engine = ServerEngine(starter)
    asked = Request((Segment("@1,0\n"),), Sampling(max_tokens=4))
    assert list(engine.stream(asked))
    before = starter.place.read_record()
    os.truncate(model, 4096)
    with pytest.raises(ModelError, match=r"tiny\.gguf"):  # a server of what is left would be of no use
        ServerEngine(Starter(model, check=describe))
    assert list(engine.stream(asked))
    assert starter.place.read_record() == before
    engine.close()


def test_the_clocks_jumps_do_not_matter(own_engine: ServerEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: -1e9)
    assert text(own_engine, "say ok") == "ok"
    for path in Path(starting.__file__).parent.rglob("*.py"):
        assert "time.time()" not in path.read_text().replace("int(time.time())", ""), path


def test_a_full_disk_for_logs_is_no_trouble(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    handler = QuietRotatingFileHandler("/dev/full", maxBytes=0, delay=True)
    handler.emit(logging.makeLogRecord({"msg": "lost"}))
    handler.baseFilename = str(tmp_path / "log")
    handler.emit(logging.makeLogRecord({"msg": "kept"}))
    handler.close()
    assert (tmp_path / "log").read_text() == "kept\n"
    assert capfd.readouterr() == ("", "")


def test_a_full_disk_for_locks_is_told(starter: Starter, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(starting.FileLock, "acquire", full)
    with pytest.raises(ServerError, match=r"No space left.*LINEWISE_RUNTIME_DIR"):
        starter.reach()


def test_a_server_serves_without_a_log(starter: Starter) -> None:
    starter.place.log.mkdir()
    engine = ServerEngine(starter)
    assert text(engine, "say ok") == "ok"
    engine.close()


def test_logs_rotate_and_are_read_across_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linewise.serving.logs.LARGEST_LOG", 400)
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    try:
        log_to(tmp_path / "logs" / "server.log")
        for number in range(40):
            logging.getLogger("x").info("line %d", number)
    finally:
        for handler in root.handlers[:]:
            handler.close()
            root.removeHandler(handler)
        for handler in before:
            root.addHandler(handler)
        root.setLevel(level)
    assert len(list((tmp_path / "logs").iterdir())) == 4
    assert [line.rpartition(" ")[2] for line in last_lines(tmp_path / "logs" / "server.log", 3)] == [
        "37", "38", "39",
    ]  # fmt: skip
