"""The Format fim: what stands around the cursor in, one hunk out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewise.assistant import Document, InlineOptions, complete, write
from linewise.edits import (
    EditLog,
    Hunk,
    HunkCompleted,
    LineAdded,
    Malformed,
    apply_hunk,
    join_lines,
)
from linewise.engines.llama_cpp import LlamaCppEngine
from linewise.engines.protocol import FimTokens, ModelInfo, Request, Sampling
from linewise.errors import EditError, LinewiseError, ModelError
from linewise.formats import Cursor, FimFormat, format_of, get_format
from linewise.formats.fim import PREFIX_CHARACTERS, SPECIAL_TOKENS, SUFFIX_CHARACTERS
from linewise.verify import NoVerifier

QWEN = FimTokens(*SPECIAL_TOKENS, ends=("<|file_sep|>",))
FORMAT = FimFormat(QWEN)
TEXT = "import math\n\ndef area(r):\n    return \n\nprint(area(2))\n"


def text_of(prompt):
    return "".join(segment.text for segment in prompt.segments)


def around(prompt):
    """(prefix, suffix) as the model reads them."""
    prefix, _, rest = text_of(prompt).removeprefix("<|fim_prefix|>").partition("<|fim_suffix|>")
    return prefix, rest.removesuffix("<|fim_middle|>")


def test_a_prompt_is_what_stands_before_and_after_the_cursor():
    prompt = FORMAT.inline_prompt(EditLog.open(TEXT), "geometry.py", Cursor(3, 11))
    assert text_of(prompt) + prompt.healed == (
        "<|fim_prefix|>import math\n\ndef area(r):\n    return"
        "<|fim_suffix|>\n\nprint(area(2))\n<|fim_middle|> "
    )
    assert prompt.stop == (*SPECIAL_TOKENS, "<|file_sep|>")
    assert [s.text for s in prompt.segments if s.special] == list(SPECIAL_TOKENS)


def test_a_model_that_wants_the_suffix_first_gets_it_so():
    tokens = FimTokens(*SPECIAL_TOKENS, begin="<s>", order="spm")
    prompt = FimFormat(tokens, shows_name=True).inline_prompt(EditLog.open("a(b)"), "x/y.py", Cursor(0, 2))
    assert text_of(prompt) + prompt.healed == (
        "<s><|file|>y.py\n<|fim_prefix|><|fim_suffix|>b)<|fim_middle|>a("
    )


def middle(log, cursor, text):
    """(hunk, lines it reported) of a middle that the model wrote, fed in pieces."""
    prompt = FORMAT.inline_prompt(log, "x.py", cursor)
    parser = FORMAT.parser(log.closed_lines, log.first_line)
    events = list(parser.feed(prompt.given))
    assert not [e for e in events if isinstance(e, Malformed)]
    for character in prompt.healed + text:
        events += parser.feed(character)
    events += parser.finish()
    (hunk,) = [event.hunk for event in events if isinstance(event, HunkCompleted)]
    return hunk, [event.line for event in events if isinstance(event, LineAdded)]


@given(
    st.lists(st.text("ab (:.\t", max_size=6), min_size=1, max_size=6),
    st.data(),
    st.text("xy (\n", max_size=12),
    st.sampled_from(["\n", "\r\n"]),
)
def test_the_hunk_puts_the_middle_in_at_the_cursor(rows, data, written, newline):
    text = newline.join(rows)
    line = data.draw(st.integers(0, len(rows) - 1))
    column = data.draw(st.integers(0, len(rows[line])))
    log = EditLog.open(text or "")
    hunk, _ = middle(log, Cursor(line, column), written)
    expected = [*rows[:line], rows[line][:column] + written + rows[line][column:], *rows[line + 1 :]]
    ended = newline if text.count(newline) else "\n"
    assert join_lines(apply_hunk(log.closed_lines, hunk)) == newline.join(expected).replace(
        newline, "\n"
    ).replace("\n", ended)


def test_typing_in_progress_is_part_of_the_prefix_and_of_the_hunk():
    log = EditLog.open("a = 1\nb = 2\n").typed(Hunk(1, (), ("x = 3", "y = f()")))
    prompt = FORMAT.inline_prompt(log, "x.py", Cursor(2, 6))
    assert around(prompt) == ("a = 1\nx = 3\ny = f", ")\nb = 2\n")
    hunk, _ = middle(log, Cursor(2, 6), "4")
    assert apply_hunk(log.closed_lines, hunk) == ("a = 1", "x = 3", "y = f(4)", "b = 2", "")


def test_a_window_is_counted_in_its_own_lines():
    log = EditLog.open("a\nb\nc", first_line=40)
    hunk, _ = middle(log, Cursor(1, 1), " = 1")
    assert hunk == Hunk(1, ("b",), ("b = 1",))


def test_a_long_file_is_shown_in_part_and_the_prefix_begins_where_it_began():
    lines = tuple(f"line_{n} = {n}" for n in range(5000))
    prompts = [
        around(FORMAT.inline_prompt(EditLog.open(lines), "x.py", Cursor(n, 4))) for n in range(2000, 2040)
    ]
    assert all(
        len(prefix) <= PREFIX_CHARACTERS and len(suffix) <= SUFFIX_CHARACTERS for prefix, suffix in prompts
    )
    assert all(len(prefix) > PREFIX_CHARACTERS / 2 for prefix, _ in prompts)
    assert len({prefix.split("\n")[0] for prefix, _ in prompts}) <= 3


@pytest.mark.parametrize("cursor", [Cursor(9, 0), Cursor(0, 99), Cursor(-1, 0)])
def test_a_cursor_outside_the_document_is_refused(cursor):
    with pytest.raises(EditError, match="outside"):
        FORMAT.inline_prompt(EditLog.open(TEXT), "x.py", cursor)


@pytest.mark.parametrize("given", ["no header\n", "@9,1|\n", "@1,9|\n", "@"])
def test_text_without_a_place_is_malformed(given):
    parser = FORMAT.parser(("a",))
    events = [*parser.feed(given), *parser.feed("more\n"), *parser.finish()]
    assert [type(event) for event in events] == [Malformed]


def test_writing_by_instruction_says_what_to_use(engine):
    events = write(Document("x.py", ""), "sum", engine=engine, format=FORMAT, verifier=NoVerifier())
    with pytest.raises(ModelError, match="edit-log/1 or lintseq"):
        next(iter(events))


def test_the_format_is_found_by_name_or_by_tokens():
    def info(name, fim):
        return ModelInfo("m", "qwen2", 1, 1, 1, 1, name, {}, fim)

    assert format_of(info(None, QWEN)).name == "fim"
    assert format_of(info("fim", QWEN)).name == "fim"
    assert format_of(info("edit-log/1", QWEN)).name == "edit-log/1"
    with pytest.raises(ModelError, match="no fill-in-the-middle tokens"):
        get_format("fim")
    with pytest.raises(ModelError, match="does not say"):
        format_of(info(None, None))


@pytest.fixture(scope="module")
def engine(fim_gguf):
    engine = LlamaCppEngine(fim_gguf, threads=1)
    yield engine
    engine.close()


def test_a_models_tokens_are_read_from_its_file(engine):
    assert engine.info.format is None
    assert engine.info.metadata["tokenizer.ggml.fim_pre_token_id"] == "4"
    assert engine.info.fim == QWEN
    assert engine.tokenize(FORMAT.inline_prompt(EditLog.open("a"), "x.py", Cursor(0, 1)).segments)[0] == 4


def test_a_completion_goes_in_at_the_cursor_and_keeps_what_stands_there(engine):
    form = format_of(engine.info)
    seen = 0
    for seed in range(12):
        document = Document("x.py", TEXT)
        options = InlineOptions(temperature=1.0, seed=seed, max_tokens=24)
        answer = complete(document, Cursor(3, 11), engine=engine, format=form, options=options)
        seen += answer is not None
        assert answer is None or (answer.line, answer.start, answer.end) == (3, 11, 11)
    assert seen


def test_a_middle_is_what_the_model_says_after_the_prompt(engine):
    """The completion is the raw continuation of the three-part prompt, cut where lines are."""
    form = format_of(engine.info)
    cursor = Cursor(3, 11)
    answer = complete(Document("x.py", TEXT), cursor, engine=engine, format=form)
    prompt = form.inline_prompt(EditLog.open(TEXT), "x.py", cursor)
    request = Request(prompt.segments, Sampling(max_tokens=128), prompt.healed, prompt.stop)
    raw = "".join(token.text for token in engine.stream(request)).removeprefix(prompt.healed)
    assert answer is not None
    assert raw.startswith(answer.text.split("\n")[0])


def test_an_order_that_nobody_knows_is_refused(tmp_path):
    from linewise_training.export import export
    from tiny_model import SPECIAL_TOKENS as OURS
    from tiny_model import write_checkpoint

    write_checkpoint(tmp_path / "c", special_tokens=(*OURS, *SPECIAL_TOKENS))
    export(tmp_path / "c", tmp_path / "m.gguf", quantization="f32", metadata={"linewise.fim.order": "msp"})
    with pytest.raises(LinewiseError, match="psm or spm"):
        LlamaCppEngine(tmp_path / "m.gguf", threads=1)


def test_tokens_of_any_name_are_found_by_the_older_keys_too(tmp_path, monkeypatch):
    from gguf import Keys

    from linewise_training.export import export, gguf_model
    from tiny_model import SPECIAL_TOKENS as OURS
    from tiny_model import write_checkpoint

    keys = (Keys.Tokenizer.PREFIX_ID, Keys.Tokenizer.SUFFIX_ID, Keys.Tokenizer.MIDDLE_ID)
    names = ("<|vor|>", "<|nach|>", "<|mitte|>")
    monkeypatch.setattr(gguf_model, "_FIM_KEYS", dict(zip(names, keys, strict=True)))
    write_checkpoint(tmp_path / "c", special_tokens=(*OURS, *names))
    export(tmp_path / "c", tmp_path / "m.gguf", quantization="f32", metadata={})
    engine = LlamaCppEngine(tmp_path / "m.gguf", threads=1)
    assert engine.info.fim == FimTokens(*names)
    prompt = format_of(engine.info).inline_prompt(EditLog.open("ab"), "x.py", Cursor(0, 1))
    assert engine.tokenize(prompt.segments)[0] == 4
    engine.close()
