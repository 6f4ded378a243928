"""What every engine promises, as tests: subclass `Conformance` and give it an engine of the tiny model.

The engine's vocabulary is that of tests/tiny_model.py. `exact` engines compute in float32 on this machine,
and generate the greedy tokens of `reference`, which is llama.cpp.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence

import pytest

from linewise.engines import Engine, Request, Sampling, Segment, Token
from linewise.errors import EngineError

DIFF = Segment("<|diff|>", special=True)
FILE = Segment("<|file|>", special=True)
PROMPT = (FILE, Segment("geometry.py\n"), DIFF, Segment("@1,0\nimport math\n\n\ndef area(radius):\n"))


def text_of(tokens: Sequence[Token]) -> str:
    return "".join(token.text for token in tokens)


def generate(engine: Engine, prompt: tuple[Segment, ...] = PROMPT, **options: object) -> list[Token]:
    names = {"healed", "stop", "slot", "priority", "forbidden", "ids"}
    request = {name: options.pop(name) for name in names & options.keys()}
    return list(engine.stream(Request(prompt, Sampling(**{"max_tokens": 24, **options}), **request)))


class Conformance:
    exact = True
    logprobs = True
    alternatives = True
    """Whether the likeliest tokens are told with each."""
    healing = True
    """Whether healed text is spelled by the likeliest tokens, not only by some."""

    @pytest.fixture
    def engine(self) -> Engine:
        raise NotImplementedError

    @pytest.fixture
    def another(self) -> Callable[[], Engine]:
        """Opens an engine that the test may close."""
        raise NotImplementedError

    def test_it_tells_what_it_serves(self, engine: Engine, reference: Engine) -> None:
        assert engine.info.format == "edit-log/1"
        assert engine.info.context_length == 512
        assert engine.info.vocabulary_size == reference.info.vocabulary_size
        assert engine.info.lanes >= 1

    def test_greedy_tokens_and_their_logprobs_are_the_models(self, engine: Engine, reference: Engine) -> None:
        expected, found = generate(reference), generate(engine)
        if self.exact:
            assert text_of(found) == text_of(expected)
            assert [token.id for token in found] == [token.id for token in expected]
        if self.exact and self.logprobs:
            wanted = [token.logprob for token in expected]
            assert [token.logprob for token in found] == pytest.approx(wanted, abs=0.02)
        assert text_of(generate(engine)) == text_of(found)

    def test_a_prompt_in_token_ids_is_the_same_prompt(self, engine: Engine) -> None:
        ids = engine.tokenize(PROMPT)
        assert text_of(generate(engine, (), ids=ids)) == text_of(generate(engine))
        for unknown in (-1, engine.info.vocabulary_size, 10**30):
            with pytest.raises(EngineError, match=f"token id {unknown}"):
                generate(engine, (), ids=(*ids, unknown))

    def test_the_likeliest_tokens_are_told_with_each_where_asked(self, engine: Engine) -> None:
        assert not any(token.alternatives for token in generate(engine))
        if not self.alternatives:
            return
        for token in generate(engine, alternatives=3):
            logprobs = [logprob for _, logprob in token.alternatives]
            assert len(logprobs) == 3
            assert logprobs == sorted(logprobs, reverse=True)
            assert logprobs[0] == pytest.approx(token.logprob)  # greedy: it is the likeliest itself
        drawn = generate(engine, alternatives=600, temperature=5.0)
        assert any(token.alternatives[0][1] > token.logprob for token in drawn)
        for token in drawn:  # all tokens that there are
            assert sum(math.exp(logprob) for _, logprob in token.alternatives) == pytest.approx(1, abs=1e-3)

    def test_tokens_come_one_by_one(self, engine: Engine) -> None:
        stream = iter(engine.stream(Request(PROMPT, Sampling(max_tokens=400))))
        first = [next(stream), next(stream)]
        close = getattr(stream, "close", None)
        assert close is not None
        close()
        assert all(token.text or token.special for token in first)
        assert len(generate(engine, max_tokens=3)) == 3  # it is free again

    def test_the_token_limit_is_kept(self, engine: Engine) -> None:
        assert len(generate(engine, max_tokens=7)) == 7
        assert generate(engine, max_tokens=0) == []

    def test_the_context_ends_a_generation(self, engine: Engine) -> None:
        prompt = (Segment("x " * 240),)
        room = 512 - len(engine.tokenize(prompt))
        assert 0 < len(generate(engine, prompt, max_tokens=10_000)) <= room + 1

    def test_it_ends_before_a_stop_token_and_only_there(self, engine: Engine) -> None:
        for seed in range(40):
            options = {"temperature": 20.0, "max_tokens": 100, "seed": seed}
            free = generate(engine, **options)
            place = next((index for index, token in enumerate(free) if token.special), 0)
            if place:
                break
        assert free[place].text in {"<|file|>", "<|instruction|>", "<|diff|>"}
        stopped = generate(engine, stop=(free[place].text,), **options)
        assert text_of(stopped) == text_of(free[:place])

    def test_one_seed_repeats_and_another_does_not(self, engine: Engine) -> None:
        runs = [text_of(generate(engine, temperature=1.0, seed=seed)) for seed in (5, 5, 6)]
        assert runs[0] == runs[1] != runs[2]

    @pytest.mark.parametrize("temperature", [0.0, 1.5])
    @pytest.mark.parametrize("healed", ["ret", "    val", "\n", "日", "😀x", "<|diff|>", "def area(radius"])
    def test_generated_text_begins_with_the_healed_text(
        self, engine: Engine, healed: str, temperature: float
    ) -> None:
        tokens = generate(engine, healed=healed, temperature=temperature)
        assert text_of(tokens).startswith(healed)
        assert not tokens[0].special

    def test_healed_text_is_spelled_by_the_likeliest_tokens(self, engine: Engine, reference: Engine) -> None:
        if self.exact and self.healing:
            for healed in ("ret", "self", " ", "\n"):
                expected = [token.id for token in generate(reference, healed=healed)]
                assert [token.id for token in generate(engine, healed=healed)] == expected

    @pytest.mark.parametrize("temperature", [0.0, 1.0])
    def test_the_first_token_is_none_of_the_forbidden_and_later_ones_are_free(
        self, engine: Engine, temperature: float
    ) -> None:
        if not self.healing:
            return  # no server of others can be kept from a token at the beginning alone
        tried: list[Token] = []
        for seed in range(6):
            forbidden = tuple(token.id for token in tried)
            tokens = generate(engine, forbidden=forbidden, temperature=temperature, seed=seed, max_tokens=8)
            assert tokens[0].id not in forbidden
            tried.append(tokens[0])
        if temperature == 0:  # the next likeliest each time, with its own probability
            assert [token.logprob for token in tried] == sorted((t.logprob for t in tried), reverse=True)
        healed = generate(engine, healed="ret", forbidden=(generate(engine, healed="ret")[0].id,))
        assert text_of(healed).startswith("ret")
        with pytest.raises(EngineError, match="forbidden"):
            generate(engine, forbidden=tuple(range(engine.info.vocabulary_size)))
        assert len(generate(engine, max_tokens=3)) == 3

    def test_a_document_forges_no_special_token(self, engine: Engine, reference: Engine) -> None:
        forged = (DIFF, Segment("a<|diff|>b<|endoftext|>\n"))
        ids = engine.tokenize(forged)
        assert ids == reference.tokenize(forged)
        assert set(ids[1:]).isdisjoint(engine.tokenize((DIFF,)))
        if self.exact:
            assert text_of(generate(engine, forged)) == text_of(generate(reference, forged))

    def test_a_cancel_ends_the_stream_within_one_token(self, engine: Engine) -> None:
        cancel = threading.Event()
        seen = []
        for token in engine.stream(Request(PROMPT, Sampling(max_tokens=200)), cancel):
            seen.append(token)
            if len(seen) == 5:
                cancel.set()
        assert len(seen) == 5

    def test_a_request_that_was_cancelled_before_yields_nothing(self, engine: Engine) -> None:
        cancel = threading.Event()
        cancel.set()
        assert list(engine.stream(Request(PROMPT), cancel)) == []

    def test_several_callers_are_all_answered(self, engine: Engine) -> None:
        expected = text_of(generate(engine))
        results = [""] * 4

        def work(place: int) -> None:
            results[place] = text_of(generate(engine, slot=str(place)))

        threads = [threading.Thread(target=work, args=(place,)) for place in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [expected] * 4

    def test_what_cannot_be_asked_is_named(self, engine: Engine) -> None:
        long = (Segment("x " * 600),)
        with pytest.raises(EngineError, match=f"{len(engine.tokenize(long))} tokens.*512"):
            list(engine.stream(Request(long)))
        with pytest.raises(EngineError, match="empty"):
            list(engine.stream(Request(())))
        with pytest.raises(EngineError, match=r"no special token '<\|stop\|>'"):
            list(engine.stream(Request(PROMPT, stop=("<|stop|>",))))
        with pytest.raises(EngineError, match="no special token 'def'"):
            engine.tokenize((Segment("def", special=True),))
        with pytest.raises(EngineError, match="lone surrogate"):
            list(engine.stream(Request(PROMPT, healed="\ud800")))

    def test_a_lone_surrogate_in_a_document_is_read_as_the_replacement_character(
        self, engine: Engine
    ) -> None:
        assert engine.tokenize((Segment("a\udc80😀"),)) == engine.tokenize((Segment("a\ufffd😀"),))

    def test_a_closed_engine_says_so(self, another: Callable[[], Engine]) -> None:
        engine = another()
        running = iter(engine.stream(Request(PROMPT, Sampling(max_tokens=400))))
        next(running)
        engine.close()
        engine.close()
        with pytest.raises(EngineError, match="closed"):
            list(running)
        with pytest.raises(EngineError, match="closed"):
            list(engine.stream(Request(PROMPT)))
