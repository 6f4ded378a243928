"""The language server goes by the workspace's file and the editor's options, and outlives wrong ones."""

from __future__ import annotations

from pathlib import Path

from harness import URI, BareClient, ScriptedModel, wait_for


def told(client: BareClient) -> list[str]:
    notes = [note for note in client.notifications if note["method"] == "window/showMessage"]
    return [note["params"]["message"] for note in notes]


def completed(client: BareClient, model: ScriptedModel) -> str:
    client.open(URI, "\n")
    request_id = client.complete(URI, 0, 0)
    model.answer("a = 1\nb = 2\nc = 3\nd = 4\n")
    (item,) = client.answer(request_id)["result"]["items"]
    return item["insertText"]


def test_the_workspaces_file_and_the_editors_options_hold(
    fresh_client: BareClient, model: ScriptedModel, tmp_path: Path
) -> None:
    (tmp_path / ".linewise.toml").write_text("[inline]\nmax_lines = 1\nmax_tokens = 100\n")
    options = {"inline": {"max_lines": 2}}
    fresh_client.initialize(rootUri=tmp_path.as_uri(), initializationOptions=options)
    assert completed(fresh_client, model) == "a = 1\nb = 2"
    assert not told(fresh_client)
    assert fresh_client.stop() == 0


def test_a_broken_file_and_wrong_options_are_told_once_and_the_rest_holds(
    fresh_client: BareClient, model: ScriptedModel, tmp_path: Path
) -> None:
    (tmp_path / "linewise.toml").write_text("[inline\n")
    options = {"inline": {"max_lines": 3, "maxTokens": 5}, "nonsense": True}
    fresh_client.initialize(rootUri=tmp_path.as_uri(), initializationOptions=options)
    assert completed(fresh_client, model) == "a = 1\nb = 2\nc = 3"
    assert completed(fresh_client, model) == "a = 1\nb = 2\nc = 3"
    wait_for("a message", lambda: told(fresh_client))
    (message,) = told(fresh_client)
    file, key, other = message.splitlines()
    assert "is no TOML" in file
    assert "do you mean inline.max_tokens?" in key
    assert "there is no setting nonsense" in other
    assert fresh_client.stop() == 0
