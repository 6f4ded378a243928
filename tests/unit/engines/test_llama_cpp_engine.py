"""What the engine promises to its callers, on a tiny random model."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from linewise.engines import Engine, Request, Sampling, Segment, Token, load_engine
from linewise.engines.cache_slot import CHUNK
from linewise.engines.llama_cpp import LlamaCppEngine
from linewise.errors import EngineError

DIFF = Segment("<|diff|>", special=True)
FILE = Segment("<|file|>", special=True)
PROMPT = (FILE, Segment("geometry.py\n"), DIFF, Segment("@1,0\nimport math\n\n\ndef area(radius):\n"))
LONG = (*PROMPT, Segment("    value = item + 1\n" * 25), DIFF)


class CancelAfter:
    """A cancel signal that is set once `asked` was consulted `calls` times."""

    def __init__(self, calls: int) -> None:
        self.calls = calls

    def is_set(self) -> bool:
        self.calls -= 1
        return self.calls < 0


def generate(engine: Engine, prompt: tuple[Segment, ...], **sampling: float) -> list[Token]:
    options = {"max_tokens": 30, **sampling}
    return list(engine.stream(Request(prompt, Sampling(**options))))


def forget(engine: LlamaCppEngine) -> None:
    """Fill the cache with something that shares no token with the prompts of these tests."""
    generate(engine, (Segment("    "),), max_tokens=1)


def text_of(tokens: list[Token]) -> str:
    return "".join(token.text for token in tokens)


def test_the_model_file_tells_its_format_and_size(engine: LlamaCppEngine, tiny_gguf: Path) -> None:
    info = engine.info
    assert (info.name, info.architecture, info.format) == ("tiny", "llama", "edit-log/1")
    assert info.metadata["linewise.format"] == "edit-log/1"
    assert info.context_length == 512
    assert info.size_bytes == tiny_gguf.stat().st_size
    assert info.vocabulary_size == len(engine.vocabulary.pieces)
    assert info.parameters * 4 == pytest.approx(info.size_bytes, rel=0.01)


class TestTokenize:
    def test_a_special_segment_is_its_one_control_token(self, engine: LlamaCppEngine) -> None:
        (id_,) = engine.tokenize((DIFF,))
        assert engine.vocabulary.pieces[id_] == b"<|diff|>"
        assert id_ in engine.vocabulary.control

    def test_plain_text_never_forges_a_control_token(self, engine: LlamaCppEngine) -> None:
        ids = engine.tokenize((Segment("a<|diff|>b<|endoftext|>"),))
        assert not engine.vocabulary.control & set(ids)

    def test_segments_do_not_merge_with_their_neighbours(self, engine: LlamaCppEngine) -> None:
        apart = engine.tokenize((Segment("re"), Segment("turn"), Segment(""), Segment(" x")))
        each = [engine.tokenize((Segment(text),)) for text in ("re", "turn", " x")]
        assert apart == tuple(id_ for ids in each for id_ in ids)
        assert apart != engine.tokenize((Segment("return x"),))

    @pytest.mark.parametrize("text", ["<|nothing|>", "<|diff|><|diff|>", "<|diff|> ", "def", ""])
    def test_a_special_segment_that_is_no_control_token_is_refused(
        self, engine: LlamaCppEngine, text: str
    ) -> None:
        with pytest.raises(EngineError, match="no special token"):
            engine.tokenize((Segment(text, special=True),))

    def test_a_lone_surrogate_is_read_as_the_replacement_character(self, engine: LlamaCppEngine) -> None:
        assert engine.tokenize((Segment("a\udc80😀"),)) == engine.tokenize((Segment("a\ufffd😀"),))

    def test_the_cache_of_tokenized_text_is_bounded_and_right(
        self, engine: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("linewise.engines.llama_model._CACHED_TOKENS", 500)
        texts = [f"{index} " * 60 for index in range(10, 20)] + ["x " * 600]
        first = [engine.tokenize((Segment(text),)) for text in texts]
        assert sum(map(len, engine._model._tokenized.values())) <= 500
        assert [engine.tokenize((Segment(text),)) for text in texts] == first


class TestCacheReuse:
    def test_a_longer_prompt_reads_only_what_is_new_and_says_the_same(self, engine: LlamaCppEngine) -> None:
        longer = (*LONG, Segment("@9,1\n"))
        forget(engine)
        fresh = generate(engine, longer)
        assert engine.last_call is not None
        assert engine.last_call.reused_tokens == 0
        forget(engine)
        generate(engine, LONG, max_tokens=1)
        warm = generate(engine, longer)
        assert engine.last_call.reused_tokens == len(engine.tokenize(LONG))
        assert ids(warm) == ids(fresh)
        assert [token.logprob for token in warm] == pytest.approx([t.logprob for t in fresh], abs=0.05)

    def test_a_prompt_changed_near_its_end_keeps_its_beginning(self, engine: LlamaCppEngine) -> None:
        generate(engine, (*LONG, Segment("def one():\n")))
        changed = (*LONG, Segment("class Two:\n"))
        warm = generate(engine, changed)
        call = engine.last_call
        assert call is not None
        assert len(engine.tokenize(LONG)) <= call.reused_tokens < call.prompt_tokens
        forget(engine)
        assert ids(generate(engine, changed)) == ids(warm)

    def test_generated_tokens_that_become_prompt_are_not_read_again(self, engine: LlamaCppEngine) -> None:
        first = generate(engine, PROMPT, max_tokens=10)
        prompt = engine.tokenize(PROMPT)
        held = engine._slot._held
        assert held == [*prompt, *ids(first)[:-1]]  # the last one was never read

    def test_a_prompt_that_the_cache_holds_whole_still_generates(self, engine: LlamaCppEngine) -> None:
        once = generate(engine, PROMPT)
        again = generate(engine, PROMPT)
        assert ids(again) == ids(once)
        call = engine.last_call
        assert call is not None
        assert call.reused_tokens == call.prompt_tokens - 1


class TestEnding:
    def test_a_cancel_between_tokens_ends_the_stream_at_once(self, engine: LlamaCppEngine) -> None:
        cancel = threading.Event()
        seen = []
        for token in engine.stream(Request(PROMPT, Sampling(max_tokens=50)), cancel):
            seen.append(token)
            if len(seen) == 5:
                cancel.set()
        assert len(seen) == 5
        assert engine.last_call is not None
        assert engine.last_call.ended == "cancelled"

    def test_a_cancel_while_the_prompt_is_read_yields_nothing_and_keeps_what_was_read(
        self, engine: LlamaCppEngine
    ) -> None:
        prompt = (*LONG, Segment("x = 1\n" * 40))
        assert len(engine.tokenize(prompt)) > CHUNK
        forget(engine)
        assert list(engine.stream(Request(prompt), CancelAfter(1))) == []
        assert len(engine._slot._held) == CHUNK
        generate(engine, prompt, max_tokens=1)
        assert engine.last_call is not None
        assert engine.last_call.reused_tokens == CHUNK

    def test_a_consumer_that_walks_away_frees_the_engine(self, engine: LlamaCppEngine) -> None:
        stream = engine.stream(Request(PROMPT))
        next(stream)
        del stream
        assert len(generate(engine, PROMPT, max_tokens=3)) == 3

    def test_the_token_limit_is_kept(self, engine: LlamaCppEngine) -> None:
        assert len(generate(engine, PROMPT, max_tokens=7)) == 7
        assert engine.last_call is not None
        assert engine.last_call.ended == "token limit"
        assert generate(engine, PROMPT, max_tokens=0) == []

    def test_generation_ends_before_a_stop_token_and_only_there(self, engine: LlamaCppEngine) -> None:
        for seed in range(20):
            options = {"temperature": 50.0, "max_tokens": 200, "seed": seed}
            free = generate(engine, PROMPT, **options)
            place = next((index for index, token in enumerate(free) if token.special), 0)
            if place:
                break
        assert free[place].text in {"<|file|>", "<|instruction|>", "<|diff|>"}
        request = Request(PROMPT, Sampling(**options), stop=(free[place].text,))
        assert ids(list(engine.stream(request))) == ids(free[:place])
        assert engine.last_call is not None
        assert engine.last_call.ended == "stop token"

    def test_generation_ends_before_the_end_of_sequence(self, engine: LlamaCppEngine) -> None:
        for seed in range(20):
            tokens = generate(engine, PROMPT, temperature=50.0, max_tokens=400, seed=seed)
            assert engine.last_call is not None
            assert not any(token.id in engine.vocabulary.ends for token in tokens)
            if engine.last_call.ended == "end of sequence":
                return
        pytest.fail("no seed reached the end of sequence")

    def test_generation_ends_where_the_context_is_full(self, engine: LlamaCppEngine) -> None:
        prompt = (Segment("x " * 248),)
        room = engine.info.context_length - len(engine.tokenize(prompt)) + 1
        tokens = generate(engine, prompt, max_tokens=10_000)
        assert engine.last_call is not None
        assert (len(tokens), engine.last_call.ended) == (room, "context full")

    def test_a_prompt_that_does_not_fit_is_refused_with_both_lengths(self, engine: LlamaCppEngine) -> None:
        prompt = (Segment("x " * 600),)
        with pytest.raises(EngineError, match=f"{len(engine.tokenize(prompt))} tokens.*512"):
            engine.stream(Request(prompt))

    def test_an_empty_prompt_is_refused(self, engine: LlamaCppEngine) -> None:
        with pytest.raises(EngineError, match="empty"):
            engine.stream(Request(()))

    def test_an_unknown_stop_token_is_refused(self, engine: LlamaCppEngine) -> None:
        with pytest.raises(EngineError, match="no special token '<|stop|>'".replace("|", r"\|")):
            engine.stream(Request(PROMPT, stop=("<|stop|>",)))


class TestSamplingInTheEngine:
    def test_the_same_seed_repeats_the_same_tokens_and_another_does_not(self, engine: LlamaCppEngine) -> None:
        runs = [ids(generate(engine, PROMPT, temperature=1.0, seed=seed)) for seed in (5, 5, 6)]
        assert runs[0] == runs[1] != runs[2]

    def test_texts_join_to_the_decoded_bytes(self, engine: LlamaCppEngine) -> None:
        texts = ""
        for seed in range(5):
            tokens = [t for t in generate(engine, PROMPT, temperature=1.0, seed=seed) if not t.special]
            raw = b"".join(engine.vocabulary.pieces[token.id] for token in tokens)
            assert text_of(tokens) == raw.decode("utf-8", "replace")
            texts += text_of(tokens)
        assert "\ufffd" in texts


class TestHealing:
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        healed=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)
        | st.sampled_from(["ret", "    val", "def ", "\n", "日", "😀x", "<|diff|>", "self.va"]),
        temperature=st.sampled_from([0.0, 1.5]),
        seed=st.integers(0, 1000),
    )
    def test_the_generated_text_begins_with_the_healed_text(
        self, engine: LlamaCppEngine, healed: str, temperature: float, seed: int
    ) -> None:
        sampling = Sampling(temperature=temperature, seed=seed, max_tokens=24)
        tokens = list(engine.stream(Request(PROMPT, sampling, healed=healed)))
        assert text_of(tokens).startswith(healed)

    def test_the_first_healed_token_is_the_likeliest_of_all_that_fit(self, engine: LlamaCppEngine) -> None:
        for healed in ("ret", "self", " ", "\n", "é", "1"):
            raw = healed.encode()
            (first,) = engine.stream(Request(PROMPT, Sampling(max_tokens=1), healed=healed))
            engine._slot.reuse(engine.tokenize(PROMPT))
            logits = engine._slot.read(engine.tokenize(PROMPT)[-1:])
            assert logits is not None
            fitting = [
                id_
                for id_, piece in enumerate(engine.vocabulary.pieces)
                if id_ not in engine.vocabulary.control and (raw.startswith(piece) or piece.startswith(raw))
            ]
            assert first.id == max(fitting, key=lambda id_: logits[id_])
            scores = logits.astype(np.float64)
            expected = scores[first.id] - np.logaddexp.reduce(scores)
            assert first.logprob == pytest.approx(expected, abs=1e-4)

    def test_a_lone_surrogate_cannot_be_healed(self, engine: LlamaCppEngine) -> None:
        with pytest.raises(EngineError, match="lone surrogate"):
            engine.stream(Request(PROMPT, healed="\ud800"))


class TestTurns:
    def test_a_second_caller_waits_for_the_first(self, engine: LlamaCppEngine) -> None:
        expected = ids(generate(engine, PROMPT))
        results: list[list[int]] = [[] for _ in range(4)]

        def work(place: int) -> None:
            results[place] = ids(generate(engine, PROMPT))

        threads = [threading.Thread(target=work, args=(place,)) for place in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [expected] * 4

    def test_a_waiting_caller_can_cancel(self, engine: LlamaCppEngine) -> None:
        first = engine.stream(Request(PROMPT))
        next(first)
        assert list(engine.stream(Request(PROMPT), CancelAfter(0))) == []
        assert next(first).id >= 0
        first.close()  # type: ignore[attr-defined]

    def test_a_closed_engine_refuses_everything_with_one_message(self, tiny_gguf: Path) -> None:
        engine = load_engine(tiny_gguf, threads=1)
        running = engine.stream(Request(PROMPT))
        next(running)
        engine.close()
        engine.close()
        for use in (
            lambda: next(running),
            lambda: engine.stream(Request(PROMPT)),
            lambda: engine.tokenize((Segment("new text"),)),
        ):
            with pytest.raises(EngineError, match="closed"):
                use()


@pytest.mark.parametrize("options", [{"context_length": 0}, {"context_length": 513}, {"threads": 0}])
def test_options_that_cannot_be_had_are_refused(tiny_gguf: Path, options: dict[str, int]) -> None:
    with pytest.raises(EngineError, match=r"context length|threads"):
        load_engine(tiny_gguf, **options)


def test_a_shorter_context_is_kept_to(tiny_gguf: Path) -> None:
    engine = load_engine(tiny_gguf, context_length=64, threads=1)
    assert engine.info.context_length == 64
    assert len(generate(engine, (Segment("x"),), max_tokens=1000)) == 64
    engine.close()


def ids(tokens: list[Token]) -> list[int]:
    return [token.id for token in tokens]
