"""The language server seen from the wire: every request answered, every position in its own encoding."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from harness import URI, BareClient, ScriptedModel, Served, wait_for


def at(line: int, start: int, end_line: int, end: int, text: str) -> dict[str, Any]:
    place = {"start": {"line": line, "character": start}, "end": {"line": end_line, "character": end}}
    return {"range": place, "text": text}


def prompt_lines(request: dict[str, str]) -> list[str]:
    return request["prompt"].split("\n")


def apply_edit(text: str, request: dict[str, Any], encoding: str = "utf-16-le", unit: int = 2) -> str:
    """What an editor's text is after the server's one edit; columns count code units."""
    (change,) = request["params"]["edit"]["documentChanges"][0]["edits"]
    lines = text.split("\n")

    def offset(position: dict[str, int]) -> int:
        line = lines[position["line"]]
        column = len(line.encode(encoding)[: position["character"] * unit].decode(encoding))
        return sum(len(before) + 1 for before in lines[: position["line"]]) + column

    start, end = offset(change["range"]["start"]), offset(change["range"]["end"])
    return text[:start] + change["newText"] + text[end:]


def land(client: BareClient, text: str, version: int, uri: str = URI) -> str:
    """Play the editor: apply the server's next edit, tell of the change, answer."""
    request = client.server_request("workspace/applyEdit")
    document = request["params"]["edit"]["documentChanges"][0]["textDocument"]
    assert document == {"uri": uri, "version": version}
    after = apply_edit(text, request)
    client.change(uri, version + 1, {"text": after})
    client.reply(request, {"applied": True})
    return after


def test_inline_completion_and_the_write_command_are_announced(fresh_client: BareClient) -> None:
    capabilities = fresh_client.initialize()
    assert capabilities["inlineCompletionProvider"] is not None
    assert capabilities["executeCommandProvider"]["commands"] == ["linewise.write"]
    assert capabilities["textDocumentSync"]["change"] == 2
    assert fresh_client.stop() == 0


@pytest.mark.parametrize("offered", ["utf-8", "utf-16", "utf-32"])
def test_incremental_changes_count_in_the_negotiated_encoding(
    fresh_client: BareClient, model: ScriptedModel, offered: str
) -> None:
    assert fresh_client.initialize([offered])["positionEncoding"] == offered
    units = {"utf-8": 4, "utf-16": 2, "utf-32": 1}[offered]
    fresh_client.open(URI, 's = "😀😀"\nx = 1\n')
    fresh_client.change(URI, 2, at(0, 5 + units, 0, 5 + 2 * units, "é"))
    request_id = fresh_client.complete(URI, 1, 5)
    assert 's = "😀é"' in prompt_lines(model.answer("\n"))
    assert fresh_client.answer(request_id)["result"] is None


def test_several_changes_in_one_notification_each_see_the_last_ones_text(served: Served) -> None:
    client, model = served.client, served.model
    client.open(URI, "a\nb\n")
    client.change(URI, 2, at(0, 1, 0, 1, "\nnew"), at(1, 3, 1, 3, "er"), at(3, 0, 3, 0, "end\n"))
    client.complete(URI, 3, 3)
    request = model.answer("\n")
    whole = request["prompt"] + request["healed"]
    assert "newer" in prompt_lines(request)
    assert whole.endswith("\na\nnewer\nb\nend")


def test_form_feeds_and_line_separators_are_no_line_ends(served: Served) -> None:
    client, model = served.client, served.model
    client.open(URI, "a = '\u2028\f\x1c'\nb = 2\n")
    client.change(URI, 2, at(1, 4, 1, 5, "3"))
    client.complete(URI, 1, 5)
    request = model.answer("\n")
    assert (request["prompt"] + request["healed"]).endswith("a = '\u2028\f\x1c'\nb = 3")


def test_a_carriage_return_stays_in_the_document_and_out_of_the_prompt(served: Served) -> None:
    client, model = served.client, served.model
    client.open(URI, "a = 1\r\nb = 2\r\n")
    command = client.write_command(URI, "a third")
    assert "\r" not in model.request()["prompt"]
    model.end("@2,1\nb = 2\nc = 3\n")
    after = land(client, "a = 1\r\nb = 2\r\n", 1)
    assert after == "a = 1\r\nb = 2\r\nc = 3\r\n"
    assert client.answer(command)["result"]["edits"] == 1


def test_an_inline_completion_replaces_the_columns_that_it_names(served: Served) -> None:
    client, model = served.client, served.model
    client.open(URI, "s = '😀'\nprint(s\n")
    request_id = client.complete(URI, 1, 7)
    request = model.request()
    model.end(request["healed"] + ")\n")
    (item,) = client.answer(request_id)["result"]["items"]
    assert item["insertText"] == ")"
    assert item["range"] == {"start": {"line": 1, "character": 7}, "end": {"line": 1, "character": 7}}


def test_two_inline_requests_at_once_are_both_answered(served: Served) -> None:
    client, model = served.client, served.model
    client.open(URI, "x = \n")
    first = client.complete(URI, 0, 4)
    model.request()
    second = client.complete(URI, 0, 4)
    model.cancelled()
    request = model.request()
    model.end(request["healed"] + "42\n")
    assert client.answer(first)["result"] is None
    assert client.answer(second)["result"]["items"][0]["insertText"] == "42"


def test_a_cancelled_inline_request_is_answered_and_its_generation_ends(served: Served) -> None:
    client, model = served.client, served.model
    client.open(URI, "x = \n")
    request_id = client.complete(URI, 0, 4)
    model.request()
    client.notify("$/cancelRequest", {"id": request_id})
    assert client.answer(request_id)["error"]["code"] == -32800
    model.cancelled()


def test_a_completion_for_a_text_that_has_changed_is_nothing(served: Served) -> None:
    client, model = served.client, served.model
    client.open(URI, "x = \n")
    request_id = client.complete(URI, 0, 4)
    model.request()
    client.change(URI, 2, at(0, 4, 0, 4, "7"))
    marker = client.start(
        "textDocument/hover", {"textDocument": {"uri": URI}, "position": {"line": 0, "character": 0}}
    )
    client.answer(marker)  # the change was read before this was answered
    model.end("42\n")
    assert client.answer(request_id)["result"] is None


def test_an_inline_request_while_a_write_runs_is_answered_with_nothing_at_once(served: Served) -> None:
    client, model = served.client, served.model
    client.open(URI, "x = 1\n")
    command = client.write_command(URI, "more")
    model.request()
    assert client.answer(client.complete(URI, 0, 5))["result"] is None
    model.end()
    assert client.answer(command)["result"] == {
        "edits": 0,
        "tokens": 0,
        "seconds": client.answers[command]["result"]["seconds"],
        "reason": "complete",
    }


@pytest.mark.parametrize(
    "arguments",
    [
        [{"uri": URI, "instruction": "more"}],
        [URI, "more"],
        [URI, "more", {"start": {"line": 0, "character": 0}, "end": {"line": 1, "character": 0}}],
    ],
)
def test_hunks_land_one_after_another_as_versioned_edits(served: Served, arguments: list[Any]) -> None:
    client, model = served.client, served.model
    client.open(URI, "a = 1\n")
    command = client.write_command(*arguments)
    assert "<|instruction|>more\n" in model.request()["prompt"]
    model.emit("@1,1\na = 1\nb = 2\n<|diff|>@2,1\n")
    text = land(client, "a = 1\n", 1)
    assert text == "a = 1\nb = 2\n"
    assert command not in client.answers
    model.end("b = 2\nc = 3\n")
    assert land(client, text, 2) == "a = 1\nb = 2\nc = 3\n"
    result = client.answer(command)["result"]
    assert (result["edits"], result["reason"]) == (2, "complete")
    assert result["tokens"] > 0


def test_an_edit_that_the_editor_refuses_because_of_typing_is_rebased_and_sent_again(served: Served) -> None:
    client, model = served.client, served.model
    client.open(URI, "a = 1\nz = 26\n")
    command = client.write_command(URI, "more")
    model.request()
    model.emit("@2,1\nz = 26\ny = 25\n<|diff|>")
    refused = client.server_request("workspace/applyEdit")
    client.reply(refused, {"applied": False, "failureReason": "the buffer has changed since"})
    client.change(URI, 2, at(0, 0, 0, 0, "# typed\n"))
    after = land(client, "# typed\na = 1\nz = 26\n", 2)
    assert after == "# typed\na = 1\nz = 26\ny = 25\n"
    assert "# typed" in model.answer("")["prompt"]
    assert client.answer(command)["result"]["edits"] == 1


def test_a_refusal_without_typing_ends_the_write_with_the_editors_reason(served: Served) -> None:
    client, model = served.client, served.model
    client.open(URI, "a = 1\n")
    command = client.write_command(URI, "more")
    model.request()
    model.emit("@1,1\na = 1\nb = 2\n<|diff|>")
    refused = client.server_request("workspace/applyEdit")
    client.reply(refused, {"applied": False, "failureReason": "the buffer is not modifiable"})
    error = client.answer(command)["error"]
    assert "the buffer is not modifiable" in error["message"]
    assert error["code"] == -32803


def test_a_cancelled_write_is_answered_as_cancelled_and_writes_no_more(served: Served) -> None:
    client, model = served.client, served.model
    client.open(URI, "a = 1\n")
    command = client.write_command(URI, "more")
    model.request()
    client.notify("$/cancelRequest", {"id": command})
    assert client.answer(command)["error"]["code"] == -32800
    model.cancelled()
    again = client.write_command(URI, "again")
    model.answer("")
    assert client.answer(again)["result"]["edits"] == 0


def test_progress_runs_under_the_clients_token_and_can_be_stopped_by_it(served: Served) -> None:
    client, model = served.client, served.model
    client.open(URI, "a = 1\n")
    command = client.write_command(URI, "more", workDoneToken="mine")
    model.request()
    model.emit("@1,1\na = 1\nb = 2\n")

    def kinds() -> list[str]:
        told = [note["params"] for note in client.notifications if note["method"] == "$/progress"]
        assert all(params["token"] == "mine" for params in told)
        return [params["value"]["kind"] for params in told]

    wait_for("a report", lambda: "report" in kinds())
    client.notify("window/workDoneProgress/cancel", {"token": "mine"})
    assert client.answer(command)["result"]["reason"] == "cancelled"
    assert (kinds()[0], kinds()[-1]) == ("begin", "end")


def test_progress_without_a_token_asks_the_editor_for_one(served: Served) -> None:
    client, model = served.client, served.model
    client.open(URI, "a = 1\n")
    command = client.write_command(URI, "more")
    model.answer("")
    client.answer(command)
    told = [note["params"] for note in client.notifications if note["method"] == "$/progress"]
    assert [params["value"]["kind"] for params in told] == ["begin", "end"]
    assert [params["token"] for params in told] == client.granted_tokens * 2


def test_a_write_stopped_while_it_waits_for_another_one_never_starts(served: Served) -> None:
    client, model = served.client, served.model
    other = "file:///project/other.py"
    client.open(URI, "a = 1\n")
    client.open(other, "b = 1\n")
    first = client.write_command(URI, "more")
    model.request()
    second = client.write_command(other, "more", workDoneToken="second")
    wait_for(
        "its progress", lambda: any(note["params"].get("token") == "second" for note in client.notifications)
    )
    client.notify("window/workDoneProgress/cancel", {"token": "second"})
    # Messages are handled in order: an answer to this one means that the stop has been, too.
    client.answer(client.complete(URI, 0, 0))
    model.end()
    client.answer(first)
    assert client.answer(second)["result"]["reason"] == "cancelled"
    assert model.is_idle()


def test_a_document_closed_in_mid_stream_ends_its_write(served: Served) -> None:
    client, model = served.client, served.model
    client.open(URI, "a = 1\n")
    command = client.write_command(URI, "more")
    model.request()
    client.notify("textDocument/didClose", {"textDocument": {"uri": URI}})
    model.cancelled()
    assert client.answer(command)["result"]["reason"] == "cancelled"
    assert client.stop() == 0


def test_shutdown_in_mid_stream_answers_everything_and_exits_cleanly(
    fresh_client: BareClient, model: ScriptedModel
) -> None:
    fresh_client.initialize()
    fresh_client.open(URI, "a = 1\n")
    command = fresh_client.write_command(URI, "more")
    model.request()
    assert fresh_client.stop() == 0
    assert (
        "result" in fresh_client.answers[command] or fresh_client.answers[command]["error"]["code"] == -32800
    )


def test_an_editor_that_dies_while_an_edit_is_on_its_way_takes_the_server_with_it(
    fresh_client: BareClient, model: ScriptedModel
) -> None:
    fresh_client.initialize()
    fresh_client.open(URI, "a = 1\n")
    fresh_client.write_command(URI, "more")
    model.request()
    model.emit("@1,1\na = 1\nb = 2\n<|diff|>")
    fresh_client.server_request("workspace/applyEdit")
    fresh_client.hang_up()
    assert fresh_client.process.wait(60) == 0


def test_a_second_write_in_the_same_document_is_refused_with_a_sentence(served: Served) -> None:
    client, model = served.client, served.model
    client.open(URI, "a = 1\n")
    first = client.write_command(URI, "more")
    model.request()
    assert "already running" in client.answer(client.write_command(URI, "also"))["error"]["message"]
    model.end()
    client.answer(first)


@pytest.mark.parametrize(
    "arguments", [[], [URI], [URI, ""], [{"uri": URI}], [URI, "more", 5], [URI, "x", None, 1]]
)
def test_wrong_arguments_are_answered_as_such(served: Served, arguments: list[Any]) -> None:
    client = served.client
    client.open(URI, "a = 1\n")
    assert client.answer(client.write_command(*arguments))["error"]["code"] == -32602


def test_an_engine_that_fails_is_told_once_and_the_server_lives_on(served: Served) -> None:
    client, model = served.client, served.model
    client.open(URI, "x = \n")
    for _ in range(2):
        request_id = client.complete(URI, 0, 4)
        model.request()
        model.fail("the back end gave up")
        assert client.answer(request_id)["result"] is None
    assert client.shown_messages() == ["Linewise: the back end gave up"]
    command = client.write_command(URI, "more")
    model.request()
    model.fail("the back end gave up")
    assert client.answer(command)["error"]["message"] == "the back end gave up"


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("untitled:Untitled-1", "Untitled-1.py"),
        ("vscode-notebook-cell:/x.ipynb#a%20b", "x.ipynb"),
        ("file:///a%3Ab/c%20d.py", "c d.py"),
    ],
)
def test_documents_need_not_be_files(served: Served, uri: str, name: str) -> None:
    client, model = served.client, served.model
    client.open(uri, "a = 1\n")
    command = client.write_command(uri, "more")
    assert model.request()["prompt"].startswith(f"<|file|>{name}\n")
    model.end("@1,1\na = 1\nb = 2\n")
    assert land(client, "a = 1\n", 1, uri) == "a = 1\nb = 2\n"
    assert client.answer(command)["result"]["edits"] == 1


def test_requests_out_of_turn_or_out_of_shape_are_answered_with_errors(fresh_client: BareClient) -> None:
    early = fresh_client.complete(URI, 0, 0)
    assert fresh_client.answer(early)["error"]["code"] == -32002
    fresh_client.initialize()
    shapeless = fresh_client.start("textDocument/inlineCompletion", {"textDocument": 5})
    assert fresh_client.answer(shapeless)["error"]["code"] == -32602
    unknown = fresh_client.start("linewise/noSuchThing", {})
    assert fresh_client.answer(unknown)["error"]["code"] == -32601
    assert fresh_client.answer(fresh_client.complete("file:///never/opened.py", 0, 0))["result"] is None
    fresh_client.call("shutdown")
    assert fresh_client.answer(fresh_client.complete(URI, 0, 0))["error"]["code"] == -32600


def test_garbage_between_messages_does_not_matter(fresh_client: BareClient) -> None:
    fresh_client.write(b"what is this?\r\n\xff\xfe\n")
    fresh_client.initialize()
    for body in (b"not json", b"[1, 2]", b"5", b'"text"', json.dumps({"id": 1}).encode()):
        fresh_client.send_raw(body)
    fresh_client.write(b"\n\n")
    assert fresh_client.stop() == 0


def test_positions_outside_the_document_are_answered_not_crashed_on(served: Served) -> None:
    client, model = served.client, served.model
    client.open(URI, "a\n")
    assert client.answer(client.complete(URI, 99, 0))["result"] is None
    client.change(URI, 2, at(50, 0, 51, 0, "b"))
    wait_for("a message", client.shown_messages)
    assert client.answer(client.complete(URI, 0, 0))["result"] is None
    client.open(URI, "x = \n", version=3)
    request_id = client.complete(URI, 0, 4)
    request = model.request()
    model.end(request["healed"] + "1\n")
    assert client.answer(request_id)["result"]["items"]


def test_what_libraries_print_does_not_reach_the_editor(model: ScriptedModel) -> None:
    client = BareClient.on_stdio("--control", str(model.port), "--chatter")
    client.initialize()
    client.open(URI, "x = \n")
    request_id = client.complete(URI, 0, 4)
    request = model.request()
    model.end(request["healed"] + "1\n")
    assert client.answer(request_id)["result"]["items"]
    assert client.stop() == 0


def test_the_same_server_speaks_tcp(model: ScriptedModel) -> None:
    client = BareClient.on_tcp("--control", str(model.port))
    client.initialize()
    client.open(URI, "x = \n")
    request_id = client.complete(URI, 0, 4)
    request = model.request()
    model.end(request["healed"] + "1\n")
    assert client.answer(request_id)["result"]["items"][0]["insertText"] == "1"
    assert client.stop() == 0


@pytest.mark.parametrize("content", [None, b"", b"GGUF\x03\x00", b"not a model at all" * 100])
def test_a_model_that_cannot_be_loaded_gives_one_message_and_a_living_server(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "model.gguf"
    if content is not None:
        path.write_bytes(content)
    client = BareClient.on_stdio("--model", str(path))
    client.initialize()
    client.open(URI, "x = \n")
    wait_for("a message", client.shown_messages)
    assert client.answer(client.complete(URI, 0, 4))["result"] is None
    error = client.answer(client.write_command(URI, "more"))["error"]
    (shown,) = client.shown_messages()
    assert str(path) in shown
    assert error["message"] in shown
    assert client.stop() == 0
