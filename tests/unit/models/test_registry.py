"""The models that a user added: what is kept, what is refused, and that nothing is lost."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest

from linewise.errors import ModelError
from linewise.models import MODEL_VARIABLE, MODELS_VARIABLE, default_model_path, named_model_path
from linewise.models.index import INDEX_NAME
from linewise.models.registry import EMBEDDED, Registry, file_sha256, name_of, served_path


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "registry")


def add(registry: Registry, source: Path, name: str = "mine", *, link: bool = False):
    return registry.add(source, name, form="edit-log/1", link=link)


def spoil(path: Path, *, keep_time: bool = False) -> None:
    """Change one byte of the weights."""
    status = path.stat()
    raw = bytearray(path.read_bytes())
    raw[-100] ^= 1
    path.write_bytes(raw)
    if keep_time:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    else:
        os.utime(path, ns=(1, 1))


class TestAdding:
    def test_a_copy_is_whole_and_remembered_with_its_checksum(
        self, registry: Registry, tiny_gguf: Path
    ) -> None:
        done: list[int] = []
        entry = registry.add(tiny_gguf, "mine", form="edit-log/1", progress=done.append)
        assert entry.path.read_bytes() == tiny_gguf.read_bytes()
        assert entry.path.parent == registry.folder
        assert sum(done) == entry.size_bytes == tiny_gguf.stat().st_size
        assert entry.sha256 == file_sha256(tiny_gguf)
        assert Registry(registry.folder).entry("mine") == entry

    def test_a_link_leaves_the_file_where_it_is(self, registry: Registry, tiny_gguf: Path) -> None:
        entry = add(registry, tiny_gguf, link=True)
        assert entry.path == tiny_gguf
        assert not list(registry.folder.glob("*.gguf"))
        registry.remove("mine")
        assert tiny_gguf.exists()

    def test_the_folder_may_be_moved_with_its_copies(
        self, registry: Registry, tiny_gguf: Path, tmp_path: Path
    ) -> None:
        add(registry, tiny_gguf)
        registry.folder.rename(tmp_path / "moved")
        entry = Registry(tmp_path / "moved").entry("mine")
        assert served_path(entry) == tmp_path / "moved" / "mine.gguf"

    @pytest.mark.parametrize("name", ["mine", "MINE", EMBEDDED])
    def test_a_name_is_given_once(self, registry: Registry, tiny_gguf: Path, name: str) -> None:
        add(registry, tiny_gguf)
        with pytest.raises(ModelError, match="already"):
            add(registry, tiny_gguf, name)
        assert list(registry.index().models) == ["mine"]

    @pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "-x", "a b", "x" * 101])
    def test_a_name_that_is_no_file_name_is_refused(
        self, registry: Registry, tiny_gguf: Path, name: str
    ) -> None:
        with pytest.raises(ModelError, match="name"):
            add(registry, tiny_gguf, name)

    def test_a_name_is_made_of_the_files(self) -> None:
        assert name_of(Path("/x/Qwen2.5 Coder (0.5B).Q8_0.gguf")) == "Qwen2.5-Coder-0.5B-.Q8_0"
        with pytest.raises(ModelError, match="--name"):
            name_of(Path("日本.gguf"))

    def test_a_file_that_was_half_copied_is_refused(
        self, registry: Registry, tiny_gguf: Path, tmp_path: Path
    ) -> None:
        half = tmp_path / "half.gguf"
        half.write_bytes(tiny_gguf.read_bytes()[:-4096])
        with pytest.raises(ModelError, match="cut short"):
            add(registry, half)
        with pytest.raises(ModelError, match="no model file"):
            add(registry, tmp_path / "gone.gguf")
        assert not registry.index().models

    def test_what_a_killed_copy_left_is_cleared_away(self, registry: Registry, tiny_gguf: Path) -> None:
        add(registry, tiny_gguf, "first")
        left = registry.folder / ".copying-second"
        left.write_bytes(b"half")
        add(registry, tiny_gguf, "second")
        assert not left.exists()

    def test_a_file_that_is_in_no_list_is_not_written_over(
        self, registry: Registry, tiny_gguf: Path, tmp_path: Path
    ) -> None:
        """As after a damaged list was moved away: the copies are still there, and can be added again."""
        entry = add(registry, tiny_gguf)
        (registry.folder / INDEX_NAME).unlink()
        other = tmp_path / "other.gguf"
        other.write_bytes(tiny_gguf.read_bytes())
        with pytest.raises(ModelError, match="in no list"):
            add(registry, other)
        again = add(registry, entry.path)
        assert (again.path, again.sha256) == (entry.path, entry.sha256) and again.path.exists()

    def test_a_copy_that_lay_there_stays_where_the_list_cannot_be_written(
        self, registry: Registry, tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        entry = add(registry, tiny_gguf)
        (registry.folder / INDEX_NAME).unlink()

        def full(folder: Path, index: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("linewise.models.registry.write_index", full)
        with pytest.raises(ModelError, match="no room"):
            add(registry, entry.path)
        assert file_sha256(entry.path) == entry.sha256
        with pytest.raises(ModelError, match="no room"):
            add(registry, tiny_gguf, "other")
        assert not (registry.folder / "other.gguf").exists()

    @pytest.mark.parametrize("limit", [100_000, 10])
    def test_where_there_is_no_room_nothing_is_left(
        self, registry: Registry, tiny_gguf: Path, limit: int
    ) -> None:
        """The limit of a file's size stands for a full disk: it fails in the same calls."""
        add(registry, tiny_gguf, "first")
        before = {path: path.read_bytes() for path in registry.folder.iterdir()}
        code = (
            "import resource, sys; from pathlib import Path; from linewise.models.registry import Registry\n"
            f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY))\n"
            "link = sys.argv[3] == '10'\n"
            "Registry(Path(sys.argv[1])).add(Path(sys.argv[2]), 'second', form=None, link=link)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(registry.folder), str(tiny_gguf), str(limit)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "ModelError" in done.stderr and "no room left" in done.stderr
        assert {path: path.read_bytes() for path in registry.folder.iterdir()} == before


class TestServing:
    def environment(self, registry: Registry, **values: str) -> dict[str, str]:
        return {MODELS_VARIABLE: str(registry.folder), **values}

    def test_the_one_in_use_is_served_until_another_is(self, registry: Registry, tiny_gguf: Path) -> None:
        environment = self.environment(registry)
        embedded = default_model_path(environment)
        entry = add(registry, tiny_gguf)
        assert default_model_path(environment) == embedded
        registry.use("mine")
        assert default_model_path(environment) == entry.path
        registry.use(EMBEDDED)
        assert default_model_path(environment) == embedded

    def test_what_the_user_names_goes_first_and_may_be_a_name(
        self, registry: Registry, tiny_gguf: Path
    ) -> None:
        entry = add(registry, tiny_gguf)
        add(registry, tiny_gguf, "other")
        registry.use("other")
        assert default_model_path(self.environment(registry, **{MODEL_VARIABLE: "mine"})) == entry.path
        assert named_model_path(Path("mine"), self.environment(registry)) == entry.path
        assert named_model_path(Path("no/mine"), self.environment(registry)) == Path("no/mine")
        assert named_model_path(Path("none"), self.environment(registry)) == Path("none")
        assert named_model_path(tiny_gguf, self.environment(registry)) == tiny_gguf

    def test_a_model_without_a_format_cannot_be_used(self, registry: Registry, tiny_gguf: Path) -> None:
        registry.add(tiny_gguf, "plain", form=None)
        with pytest.raises(ModelError, match="names no format"):
            registry.use("plain")
        with pytest.raises(ModelError, match=r"no model 'gone'.*embedded, plain"):
            registry.use("gone")

    def test_a_damaged_file_is_never_served(self, registry: Registry, tiny_gguf: Path) -> None:
        entry = add(registry, tiny_gguf)
        registry.use("mine")
        spoil(entry.path)
        with pytest.raises(ModelError, match=r"'mine' cannot be served.*checksum"):
            default_model_path(self.environment(registry))
        entry.path.write_bytes(b"short")
        with pytest.raises(ModelError, match="checksum"):
            default_model_path(self.environment(registry))
        entry.path.unlink()
        with pytest.raises(ModelError, match="not there any more"):
            default_model_path(self.environment(registry))

    def test_a_file_that_was_only_touched_is_served(self, registry: Registry, tiny_gguf: Path) -> None:
        entry = add(registry, tiny_gguf)
        os.utime(entry.path, ns=(1, 1))
        assert served_path(entry) == entry.path


class TestRemoving:
    def test_a_copy_goes_with_its_entry(self, registry: Registry, tiny_gguf: Path) -> None:
        entry = add(registry, tiny_gguf)
        registry.remove("mine")
        assert not entry.path.exists() and not registry.index().models
        with pytest.raises(ModelError, match="no model 'mine'"):
            registry.remove("mine")

    def test_the_one_in_use_stays_unless_forced(self, registry: Registry, tiny_gguf: Path) -> None:
        entry = add(registry, tiny_gguf)
        registry.use("mine")
        with pytest.raises(ModelError, match="in use"):
            registry.remove("mine")
        assert entry.path.exists()
        registry.remove("mine", force=True)
        assert registry.index().default is None

    def test_the_embedded_model_stays(self, registry: Registry) -> None:
        with pytest.raises(ModelError, match="comes with Linewise"):
            registry.remove(EMBEDDED, force=True)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: "", "damaged"),
        (lambda text: text[:40], "damaged"),
        (lambda text: "[]", "damaged"),
        (lambda text: text.replace('"sha256"', '"sha"'), "damaged.*sha256"),
        (lambda text: text.replace('"linked": false', '"linked": "no"'), "damaged.*linked"),
        (lambda text: text.replace('"default": null', '"default": "gone"'), "damaged.*gone"),
        (lambda text: text.replace('"version": 1', '"version": 2'), "version 2"),
    ],
)
def test_a_damaged_list_is_said_to_be_and_left_alone(
    registry: Registry, tiny_gguf: Path, damage, message: str
) -> None:
    add(registry, tiny_gguf)
    index = registry.folder / INDEX_NAME
    index.write_text(damage(index.read_text()))
    damaged = index.read_text()
    for attempt in (registry.index, lambda: add(registry, tiny_gguf, "b"), lambda: registry.use(EMBEDDED)):
        with pytest.raises(ModelError, match=f"{index}.*{message}"):
            attempt()
    with pytest.raises(ModelError, match=message):
        default_model_path({MODELS_VARIABLE: str(registry.folder)})
    assert index.read_text() == damaged


def _add_and_remove(folder: Path, source: Path, number: int) -> None:
    registry = Registry(folder)
    for turn in range(5):
        registry.add(source, f"keep-{number}-{turn}", form=None)
        registry.add(source, f"drop-{number}-{turn}", form=None, link=True)
        registry.remove(f"drop-{number}-{turn}")


def test_processes_at_once_lose_nothing(registry: Registry, tiny_gguf: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=_add_and_remove, args=(registry.folder, tiny_gguf, number))
        for number in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    expected = {f"keep-{number}-{turn}" for number in range(3) for turn in range(5)}
    assert set(registry.index().models) == expected
    assert {path.stem for path in registry.folder.glob("*.gguf")} == expected
    assert json.loads((registry.folder / INDEX_NAME).read_text())["version"] == 1
