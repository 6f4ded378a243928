"""Which engine and which model the settings open."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from linewise import engines
from linewise.configuration import EngineSettings, HttpSettings, Settings
from linewise.engines import kind_of
from linewise.errors import ConfigurationError, ModelError
from linewise.models.opening import configured_model_path, open_engine, open_shared_engine

HTTP = EngineSettings(kind="http")


@pytest.fixture
def connected(monkeypatch):
    """The options that an engine of other servers was asked for with."""
    found = []
    monkeypatch.setattr(engines, "connect_engine", found.append)
    return found


def test_what_lies_at_the_path_says_what_runs_it(tmp_path: Path) -> None:
    (tmp_path / "converted").mkdir()
    (tmp_path / "converted" / "model.bin").touch()
    assert kind_of(tmp_path / "model.gguf") == "llama_cpp"
    assert kind_of(tmp_path / "converted") == "ctranslate2"
    assert kind_of(tmp_path) == "transformers"


def test_a_bare_name_is_a_registered_models_only(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").touch()
    with pytest.raises(
        ModelError, match="'mine' is set as the model, and is no model of `linewise models list`"
    ):
        configured_model_path(Settings(model="mine"))
    assert configured_model_path(Settings(model="embedded")).suffix == ".gguf"


def test_the_key_is_the_environments_or_the_files(tmp_path: Path, connected) -> None:
    key = tmp_path / "key"
    settings = Settings(engine=HTTP, http=HttpSettings(addresses=("http://a",), key_file=key))
    key.write_text("from-file\n")
    open_engine(settings, {})
    open_engine(settings, {"LINEWISE_HTTP_KEY": "from-environment"})
    assert [options.key for options in connected] == ["from-file", "from-environment"]
    assert connected[0].addresses == ("http://a",)
    for content in (b"", b"two words", "schlüssel".encode(), b"\xff"):
        key.write_bytes(content)
        with pytest.raises(ConfigurationError, match=r"http\.key_file"):
            open_engine(settings, {})
    key.unlink()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        open_engine(settings, {})


def test_a_server_must_be_named(connected) -> None:
    with pytest.raises(ConfigurationError, match=r"set http\.addresses"):
        open_engine(Settings(engine=HTTP), {})


def test_documents_share_a_scheduler_where_llama_cpp_runs_the_model(tiny_gguf: Path) -> None:
    settings = Settings(model=str(tiny_gguf), engine=EngineSettings(lanes=3, slots=2, speculation="off"))
    shared, alone = open_shared_engine(settings), open_engine(settings)
    assert (shared.info.lanes, alone.info.lanes) == (3, 1)
    assert replace(shared.info, lanes=1) == alone.info
    shared.close()
    alone.close()


def test_what_no_scheduler_runs_is_opened_as_it_is(tmp_path: Path, monkeypatch, connected) -> None:
    (tmp_path / "model.bin").touch()
    kinds = []
    monkeypatch.setattr(engines, "load_engine", lambda path, **options: kinds.append(options["kind"]))
    open_shared_engine(Settings(model=str(tmp_path)))
    open_shared_engine(Settings(model=str(tmp_path), engine=EngineSettings(kind="transformers")))
    open_shared_engine(Settings(engine=HTTP, http=HttpSettings(addresses=("http://a",))), {})
    assert (kinds, len(connected)) == (["auto", "transformers"], 1)
