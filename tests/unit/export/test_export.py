"""From a Hugging Face folder to a GGUF file: what is written, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from gguf import GGUFReader
from safetensors.numpy import load_file, save_file

from linewise.engines import Request, Sampling, Segment, llama_library, load_engine
from linewise.errors import ModelError
from linewise.models.description import describe
from linewise_training.export import QUANTIZATIONS, export
from linewise_training.export.command import export_command
from linewise_training.export.gguf_model import NEED_IMPORTANCE
from tiny_model import write_checkpoint

PROMPT = (Segment("<|diff|>", special=True), Segment("@1,0\ndef area(radius):\n"))


@pytest.fixture
def checkpoint(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A copy of the tiny checkpoint that a test may spoil."""
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "checkpoint"))


def change_json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def next_logprobs(path: Path) -> list[float]:
    engine = load_engine(path, threads=1)
    found = []
    for seed in range(30):
        (token,) = engine.stream(Request(PROMPT, Sampling(temperature=2.0, seed=seed, max_tokens=1)))
        found.append(token.logprob)
    engine.close()
    return found


@pytest.mark.parametrize("quantization", [name for name in QUANTIZATIONS if name not in NEED_IMPORTANCE])
def test_every_quantization_loads_and_wider_types_stay_closer(
    tiny_checkpoint: Path, tiny_gguf: Path, tmp_path: Path, quantization: str
) -> None:
    out = tmp_path / "quantized.gguf"
    written = export(tiny_checkpoint, out, quantization=quantization, metadata={})
    assert written.size_bytes == out.stat().st_size
    assert written.parameters == sum(int(tensor.n_elements) for tensor in GGUFReader(tiny_gguf).tensors)
    bits = written.size_bytes * 8 / written.parameters
    expected = {"f32": 32, "f16": 16, "bf16": 16, "q8_0": 8.5, "q6_k": 6.6}.get(quantization)
    assert bits == pytest.approx(expected, rel=0.06) if expected else 1 < bits < 8
    engine = load_engine(out, threads=1)
    assert len(list(engine.stream(Request(PROMPT, Sampling(max_tokens=4))))) == 4
    engine.close()


def test_eight_bits_change_the_models_opinion_little(
    tiny_checkpoint: Path, tiny_gguf: Path, tmp_path: Path
) -> None:
    out = tmp_path / "q8.gguf"
    export(tiny_checkpoint, out, quantization="q8_0", metadata={})
    exact, rounded = load_engine(tiny_gguf, threads=1), load_engine(out, threads=1)
    (best,) = exact.stream(Request(PROMPT, Sampling(max_tokens=1)))
    (also,) = rounded.stream(Request(PROMPT, Sampling(max_tokens=1)))
    assert best.id == also.id
    assert also.logprob == pytest.approx(best.logprob, abs=0.2)


def test_the_file_says_what_the_checkpoint_says(tiny_gguf: Path) -> None:
    fields = GGUFReader(tiny_gguf).fields
    value = {key: field.contents() for key, field in fields.items() if not key.startswith("GGUF.")}
    assert value["general.architecture"] == "llama"
    assert value["linewise.format"] == "edit-log/1"
    assert value["tokenizer.ggml.model"] == "gpt2"
    assert value["tokenizer.ggml.pre"] == "qwen2"
    assert value["tokenizer.ggml.add_bos_token"] is False
    assert value["tokenizer.ggml.eos_token_id"] == value["tokenizer.ggml.padding_token_id"] == 0
    assert value["tokenizer.ggml.token_type"][:5] == [3, 3, 3, 3, 1]
    assert value["llama.context_length"] == 512
    assert value["llama.attention.head_count_kv"] == 2


def test_generation_ends_with_every_token_that_the_checkpoint_names(checkpoint: Path, tmp_path: Path) -> None:
    change_json(checkpoint / "config.json", lambda config: config.update(eos_token_id=[0, 5, 6]))
    export(checkpoint, tmp_path / "out.gguf", quantization="f32", metadata={})
    model = llama_library.load_model(tmp_path / "out.gguf", tokenizer_only=True)
    ends = llama_library.read_vocabulary(model).ends
    llama_library.api.llama_model_free(model)
    assert {0, 5, 6} <= ends and 7 not in ends


def test_half_precision_checkpoints_are_read_exactly(checkpoint: Path, tmp_path: Path) -> None:
    weights = load_file(checkpoint / "model.safetensors")
    halved = {name: array.astype(np.float16) for name, array in weights.items()}
    save_file(
        {name: array.astype(np.float32) for name, array in halved.items()}, checkpoint / "model.safetensors"
    )
    export(checkpoint, tmp_path / "wide.gguf", quantization="f32", metadata={"general.name": "same"})
    save_file(halved, checkpoint / "model.safetensors")
    export(checkpoint, tmp_path / "half.gguf", quantization="f32", metadata={"general.name": "same"})
    assert (tmp_path / "wide.gguf").read_bytes() == (tmp_path / "half.gguf").read_bytes()


def test_bfloat16_checkpoints_are_read_exactly(checkpoint: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file as load_torch
    from safetensors.torch import save_file as save_torch

    rounded = {name: t.to(torch.bfloat16) for name, t in load_torch(checkpoint / "model.safetensors").items()}
    save_torch({name: tensor.float() for name, tensor in rounded.items()}, checkpoint / "model.safetensors")
    export(checkpoint, tmp_path / "wide.gguf", quantization="f32", metadata={"general.name": "same"})
    save_torch(rounded, checkpoint / "model.safetensors")
    export(checkpoint, tmp_path / "brain.gguf", quantization="f32", metadata={"general.name": "same"})
    assert (tmp_path / "wide.gguf").read_bytes() == (tmp_path / "brain.gguf").read_bytes()


def test_an_untied_model_keeps_its_own_output_matrix(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "untied", tie_word_embeddings=False)
    with pytest.raises(ModelError, match=r"no tensor lm_head\.weight"):
        export(folder, tmp_path / "out.gguf", quantization="f32", metadata={})
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"] = -weights["model.embed_tokens.weight"]
    save_file(weights, folder / "model.safetensors")
    export(folder, tmp_path / "untied.gguf", quantization="f32", metadata={})
    write_checkpoint(tmp_path / "tied")
    export(tmp_path / "tied", tmp_path / "tied.gguf", quantization="f32", metadata={})
    assert next_logprobs(tmp_path / "untied.gguf") != next_logprobs(tmp_path / "tied.gguf")


def test_embeddings_beyond_the_tokenizer_are_never_generated(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "padded", vocab_size=512)
    export(folder, tmp_path / "padded.gguf", quantization="f32", metadata={})
    engine = load_engine(tmp_path / "padded.gguf", threads=1)
    assert engine.info.vocabulary_size == 512
    tokens = list(engine.stream(Request(PROMPT, Sampling(temperature=50.0, max_tokens=200))))
    assert tokens
    assert not any("[unused" in token.text for token in tokens)
    engine.close()


def test_rows_that_are_no_multiple_of_256_fall_back_to_a_wider_type(tmp_path: Path) -> None:
    folder = write_checkpoint(
        tmp_path / "narrow", hidden_size=192, num_attention_heads=3, num_key_value_heads=3
    )
    written = export(folder, tmp_path / "narrow.gguf", quantization="q4_k_m", metadata={})
    assert written.tensor_types["Q5_0"] > 0
    load_engine(tmp_path / "narrow.gguf", threads=1).close()


class TestRefusals:
    @pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
    def test_a_missing_file_is_named(self, checkpoint: Path, tmp_path: Path, name: str) -> None:
        (checkpoint / name).unlink()
        with pytest.raises(ModelError, match=f"has no {name}"):
            export(checkpoint, tmp_path / "out.gguf", quantization="f32", metadata={})

    @pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
    @pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.999])
    def test_a_half_written_file_is_named(
        self, checkpoint: Path, tmp_path: Path, name: str, share: float
    ) -> None:
        path = checkpoint / name
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
        with pytest.raises(ModelError, match=name):
            export(checkpoint, tmp_path / "out.gguf", quantization="f32", metadata={})

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"model_type": "gpt2"}, "architecture 'gpt2'"),
            ({"hidden_act": "gelu"}, "activation 'gelu'"),
            ({"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4}}, "position scaling 'dynamic'"),
            ({"num_hidden_layers": 3}, r"no tensor model\.layers\.2"),
            ({"intermediate_size": 500}, "shape"),
            ({"eos_token_id": None}, "eos_token_id"),
            ({"eos_token_id": 100_000}, "token 100000"),
            ({"eos_token_id": [0, 5, 6, 7]}, "names 4 tokens"),
            ({"vocab_size": 100}, "100 embeddings"),
        ],
    )
    def test_a_config_that_cannot_be_exported_is_refused(
        self, checkpoint: Path, tmp_path: Path, change: dict[str, object], message: str
    ) -> None:
        change_json(checkpoint / "config.json", lambda config: config.update(change))
        with pytest.raises(ModelError, match=message):
            export(checkpoint, tmp_path / "out.gguf", quantization="f32", metadata={})

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda t: t["model"].update(type="Unigram"), "only BPE"),
            (lambda t: t["pre_tokenizer"]["pretokenizers"].pop(0), "pre-tokenizer"),
            (lambda t: t["pre_tokenizer"]["pretokenizers"][1].update(add_prefix_space=True), "pre-tokenizer"),
            (lambda t: t.update(normalizer={"type": "Lowercase"}), "normalizer 'Lowercase'"),
            (lambda t: t["model"]["vocab"].pop("a"), "256 bytes"),
        ],
    )
    def test_a_tokenizer_that_llama_cpp_would_run_otherwise_is_refused(
        self, checkpoint: Path, tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
    ) -> None:
        change_json(checkpoint / "tokenizer.json", change)
        with pytest.raises(ModelError, match=message):
            export(checkpoint, tmp_path / "out.gguf", quantization="f32", metadata={})

    def test_weights_that_are_not_numbers_are_refused_and_the_old_file_stays(
        self, checkpoint: Path, tmp_path: Path
    ) -> None:
        weights = load_file(checkpoint / "model.safetensors")
        weights["model.layers.1.mlp.up_proj.weight"][3, 5] = np.nan
        save_file(weights, checkpoint / "model.safetensors")
        out = tmp_path / "out" / "model.gguf"
        out.parent.mkdir()
        out.write_bytes(b"what was there before")
        with pytest.raises(ModelError, match=r"layers\.1\.mlp\.up_proj.*not numbers"):
            export(checkpoint, out, quantization="q8_0", metadata={})
        assert out.read_bytes() == b"what was there before"
        assert list(out.parent.iterdir()) == [out]

    def test_a_folder_in_the_files_place_is_refused(self, checkpoint: Path, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match="is a folder"):
            export(checkpoint, tmp_path, quantization="f32", metadata={})

    def test_unknown_quantizations_and_foreign_metadata_are_refused(
        self, checkpoint: Path, tmp_path: Path
    ) -> None:
        with pytest.raises(ModelError, match="q8_0"):
            export(checkpoint, tmp_path / "out.gguf", quantization="q9", metadata={})
        with pytest.raises(ModelError, match=r"llama\.context_length"):
            export(
                checkpoint, tmp_path / "o.gguf", quantization="f32", metadata={"llama.context_length": "9"}
            )


class TestCommand:
    def test_it_writes_the_file_and_prints_its_size(self, tiny_checkpoint: Path, tmp_path: Path) -> None:
        out = tmp_path / "sub" / "model.gguf"
        options = ["--model", str(tiny_checkpoint), "--out", str(out), "--quantize", "q8_0"]
        options += ["--format", "edit-log/1", "--note", "steps=12", "--name", "Tiny"]
        result = CliRunner().invoke(export_command, options)
        assert result.exit_code == 0, result.output
        assert f"{out.stat().st_size:,} bytes" in result.output
        assert "Q8_0" in result.output
        engine = load_engine(out, threads=1)
        assert (engine.info.name, engine.info.format) == ("Tiny", "edit-log/1")
        assert engine.info.metadata["linewise.steps"] == "12"
        engine.close()

    @pytest.mark.parametrize(
        ("card", "options", "named"),
        [
            (None, [], None),
            ("# A model without front matter", [], None),
            ("---\nlicense: mit\n---\n# A model", [], "mit"),
            ("---\nlicense: mit\n---\n# A model", ["--license", "Apache-2.0"], "Apache-2.0"),
            ("---\nlicense: other\nlicense_name: deepseek\n---\n", [], "deepseek"),
            ("---\nlicense: other\n---\n", [], "other"),
            ("---\nlicense: [mit, apache-2.0]\n---\n", [], "mit AND apache-2.0"),
            ("---\nlicense: [\n---\n", ["--licence", "MIT"], "MIT"),
        ],
    )
    def test_the_file_names_the_licence_that_is_given_or_that_the_model_card_names(
        self, checkpoint: Path, tmp_path: Path, card: str | None, options: list[str], named: str | None
    ) -> None:
        if card is not None:
            (checkpoint / "README.md").write_text(card)
        out = tmp_path / "model.gguf"
        result = CliRunner().invoke(
            export_command, ["--model", str(checkpoint), "--out", str(out), "--quantize", "f32", *options]
        )
        assert result.exit_code == 0, result.output
        assert f"licence {named or 'not named'}" in result.output
        assert describe(out).licence == named

    @pytest.mark.parametrize(
        ("card", "options", "said"),
        [
            ("---\nlicense: [\n---\n", [], "--license"),
            ("---\nlicense: {a: 1}\n---\n", [], "SPDX"),
            ("", ["--license", " "], "SPDX"),
            ("", ["--license", "Permission is hereby\ngranted"], "SPDX"),
        ],
    )
    def test_what_names_no_licence_is_refused(
        self, checkpoint: Path, tmp_path: Path, card: str, options: list[str], said: str
    ) -> None:
        (checkpoint / "README.md").write_text(card)
        out = tmp_path / "model.gguf"
        result = CliRunner().invoke(export_command, ["--model", str(checkpoint), "--out", str(out), *options])
        assert result.exit_code != 0
        assert said in result.output
        assert not out.exists()

    def test_an_error_is_one_line_and_a_failing_exit_status(self, tmp_path: Path) -> None:
        out = tmp_path / "model.gguf"
        result = CliRunner().invoke(export_command, ["--model", str(tmp_path), "--out", str(out)])
        assert result.exit_code == 1
        assert "has no config.json" in result.output
        assert len(result.output.splitlines()) == 1
        assert not out.exists()
