"""Every engine of this machine keeps the same promises; those of a server are in test_http_engine.py."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine_conformance import PROMPT, Conformance, generate, text_of
from linewise.engines import Engine, load_engine
from linewise.errors import EngineError, ModelError
from linewise.serving.scheduler import Scheduler


@pytest.fixture(scope="module")
def folder(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model's folder, which names its format."""
    copy = Path(shutil.copytree(tiny_checkpoint, tmp_path_factory.mktemp("named") / "tiny"))
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "linewise_format": "edit-log/1"}))
    return copy


@pytest.fixture(scope="module")
def converted(folder: Path) -> Path:
    pytest.importorskip("ctranslate2")
    from linewise_training.export.ctranslate import convert

    return convert(folder, folder.parent / "converted", quantization="float32").path


class TestLlamaCpp(Conformance):
    @pytest.fixture
    def another(self, tiny_gguf: Path) -> Callable[[], Engine]:
        return lambda: load_engine(tiny_gguf, threads=1)

    @pytest.fixture
    def engine(self, reference: Engine) -> Engine:
        return reference


@pytest.fixture(scope="module")
def scheduler(tiny_gguf: Path) -> Iterator[Engine]:
    engine = Scheduler(tiny_gguf, threads=1, lanes=2, slots=3)
    yield engine
    engine.close()


class TestScheduler(Conformance):
    @pytest.fixture
    def another(self, tiny_gguf: Path) -> Callable[[], Engine]:
        return lambda: Scheduler(tiny_gguf, threads=1, lanes=2, slots=3)

    @pytest.fixture
    def engine(self, scheduler: Engine) -> Engine:
        return scheduler


@pytest.fixture(scope="module")
def transformers(folder: Path) -> Iterator[Engine]:
    engine = load_engine(folder, threads=1)
    yield engine
    engine.close()


class TestTransformers(Conformance):
    @pytest.fixture
    def another(self, folder: Path) -> Callable[[], Engine]:
        return lambda: load_engine(folder, threads=1)

    @pytest.fixture
    def engine(self, transformers: Engine) -> Engine:
        return transformers

    def test_the_cache_of_the_last_stream_is_used_and_changes_nothing(
        self, engine: Engine, another: Callable[[], Engine]
    ) -> None:
        fresh = another()
        for prompt in (PROMPT, (*PROMPT, *PROMPT[2:]), PROMPT[:2] + PROMPT[3:]):
            generate(engine, PROMPT)
            assert [t.id for t in generate(engine, prompt)] == [t.id for t in generate(fresh, prompt)]
            fresh._held = []
            fresh._cache = None
        fresh.close()


@pytest.fixture(scope="module")
def ctranslate2(converted: Path) -> Iterator[Engine]:
    engine = load_engine(converted, threads=1)
    yield engine
    engine.close()


class TestCTranslate2(Conformance):
    @pytest.fixture
    def another(self, converted: Path) -> Callable[[], Engine]:
        return lambda: load_engine(converted, threads=1)

    @pytest.fixture
    def engine(self, ctranslate2: Engine) -> Engine:
        return ctranslate2

    def test_it_samples_what_llama_cpp_does(self, engine: Engine, reference: Engine) -> None:
        same = [
            text_of(generate(engine, temperature=0.7, seed=seed))
            == text_of(generate(reference, temperature=0.7, seed=seed))
            for seed in range(4)
        ]
        assert sum(same) >= 2  # two tokens may be so nearly equally likely that rounding decides

    def test_states_that_were_kept_are_let_go(
        self, another: Callable[[], Engine], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine = another()
        tokens = len(engine.tokenize(PROMPT))
        monkeypatch.setattr("linewise.engines.ctranslate2_engine._KEPT_TOKENS", 3 * tokens)
        once = text_of(generate(engine, temperature=1.0, seed=1))
        for _ in range(6):
            assert text_of(generate(engine, temperature=1.0, seed=1)) == once
            assert engine._kept <= 3 * tokens
        engine.close()

    def test_a_folder_that_lacks_something_is_named(self, converted: Path, tmp_path: Path) -> None:
        copy = Path(shutil.copytree(converted, tmp_path / "copy"))
        (copy / "linewise.json").unlink()
        with pytest.raises(ModelError, match="how many tokens its model was trained for"):
            load_engine(copy)
        load_engine(copy, context_length=64).close()
        (copy / "vocabulary.json").write_text("{}")
        with pytest.raises(ModelError, match="no list of tokens"):
            load_engine(copy)
        (copy / "vocabulary.json").write_bytes((converted / "vocabulary.json").read_bytes())
        (copy / "model.bin").write_bytes((converted / "model.bin").read_bytes()[:-5000])
        with pytest.raises(ModelError, match="damaged or cut off"):
            load_engine(copy, context_length=64)
        (copy / "tokenizer.json").unlink()
        with pytest.raises(ModelError, match=r"no tokenizer\.json"):
            load_engine(copy)


@pytest.mark.parametrize("options", [{"context_length": 513}, {"context_length": 0}, {"threads": 0}])
def test_options_that_cannot_be_had_are_refused(
    folder: Path, converted: Path, options: dict[str, int]
) -> None:
    for path in (folder, converted):
        with pytest.raises(EngineError, match=r"context length|threads"):
            load_engine(path, **options)
