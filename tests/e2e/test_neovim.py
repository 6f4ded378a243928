"""What a user of Neovim sees: a real Neovim, the plugin, the real server, and a scripted model."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from harness import ROOT, SCRIPTED_SERVER, Editor, ScriptedModel, wait_for

Edit = Callable[..., Editor]


def is_writing(editor: Editor) -> bool:
    return bool(editor.lua("return require('linewise').status() == 'writing'"))


def test_hunks_appear_one_after_another(edit: Edit, model: ScriptedModel) -> None:
    editor = edit("import math\n")
    editor.nvim.command("LinewiseWrite a circle's area")
    assert "<|instruction|>a circle's area\n" in model.request()["prompt"]
    model.emit("@1,1\nimport math\n\n\ndef area(r):\n    return r * r\n<|diff|>")
    editor.wait_for_lines(["import math", "", "", "def area(r):", "    return r * r"])
    assert is_writing(editor)
    model.end("@4,2\ndef area(r):\n    return math.pi * r * r\n")
    editor.wait_for_lines(["import math", "", "", "def area(r):", "    return math.pi * r * r"])
    wait_for("the end of the write", lambda: not is_writing(editor))
    assert editor.told[-1].startswith("Linewise: 2 edits in ")


def test_a_whole_write_undoes_in_one_step_and_comes_back_in_one(edit: Edit, model: ScriptedModel) -> None:
    editor = edit("a = 1\n")
    editor.keys("Ob = 2<Esc>")
    editor.wait_for_lines(["b = 2", "a = 1"])
    editor.nvim.command("LinewiseWrite three more")
    model.answer("@2,1\na = 1\nc = 3\n<|diff|>@3,1\nc = 3\nd = 4\n<|diff|>@1,1\nb = 22\n")
    wait_for("the end of the write", lambda: not is_writing(editor))
    written = ["b = 22", "a = 1", "c = 3", "d = 4"]
    assert editor.lines == written
    editor.keys("u")
    editor.wait_for_lines(["b = 2", "a = 1"])
    editor.keys("<C-r>")
    editor.wait_for_lines(written)
    editor.keys("uu")
    editor.wait_for_lines(["a = 1"])


def test_a_write_into_an_empty_buffer_leaves_no_blank_line(
    open_editor: Callable[..., Editor], model: ScriptedModel, tmp_path: Path
) -> None:
    editor = open_editor([sys.executable, str(SCRIPTED_SERVER), "--control", str(model.port)])
    editor.edit(tmp_path / "new.py")
    editor.nvim.command("LinewiseWrite x")
    model.answer("@1,0\nx = 1\n<|diff|>@1,1\nx = 1\ny = 2\n")
    editor.wait_for_lines(["x = 1", "y = 2"])


def test_text_typed_while_hunks_land_is_kept_where_it_was_typed(edit: Edit, model: ScriptedModel) -> None:
    editor = edit("first = 1\nlast = 9\n")
    editor.nvim.command("LinewiseWrite more")
    model.request()
    editor.keys("ggOtyped = ")
    wait_for("the typing", lambda: editor.lines[0] == "typed = ")
    model.emit("@1,1\nfirst = 1\nsecond = 2\n<|diff|>")
    wait_for("the hunk", lambda: "second = 2" in editor.lines)
    assert editor.mode == "i"
    editor.keys("0")
    wait_for("the typing", lambda: editor.lines[0] == "typed = 0")
    # The model is asked again, with what was typed.
    request = model.request()
    assert "typed = " in request["prompt"]
    model.end("@4,1\nlast = 9\nvery_last = 10\n")
    wait_for("the end of the write", lambda: not is_writing(editor))
    editor.keys("1<Esc>")
    editor.wait_for_lines(["typed = 01", "first = 1", "second = 2", "last = 9", "very_last = 10"])


def test_undo_around_typing_takes_back_one_thing_at_a_time(edit: Edit, model: ScriptedModel) -> None:
    editor = edit("first = 1\nlast = 9\n")
    editor.nvim.command("LinewiseWrite more")
    model.request()
    editor.keys("ggOtyped")
    wait_for("the typing", lambda: editor.lines[0] == "typed")
    model.emit("@2,1\nlast = 9\nmore = 10\n<|diff|>")
    wait_for("the hunk", lambda: "more = 10" in editor.lines)
    model.answer("")
    editor.keys(" = 0<Esc>")
    editor.wait_for_lines(["typed = 0", "first = 1", "last = 9", "more = 10"])
    seen = [editor.lines]
    while editor.lines != ["first = 1", "last = 9"]:
        editor.keys("u")
        wait_for("the undo", lambda: editor.lines != seen[-1])
        seen.append(editor.lines)
    assert ["typed = 0", "first = 1", "last = 9"] in seen
    editor.keys("9<C-r>")
    editor.wait_for_lines(seen[0])


def test_a_hunk_over_a_line_that_the_user_changed_is_dropped(edit: Edit, model: ScriptedModel) -> None:
    editor = edit("value = 1\n")
    editor.nvim.command("LinewiseWrite more")
    model.request()
    editor.keys("A0<Esc>")
    editor.wait_for_lines(["value = 10"])
    model.emit("@1,1\nvalue = 2\n<|diff|>")
    assert "value = 10" in model.answer("")["prompt"]
    wait_for("the end of the write", lambda: not is_writing(editor))
    assert editor.lines == ["value = 10"]


def test_another_buffer_may_have_the_focus_while_hunks_land(
    edit: Edit, model: ScriptedModel, tmp_path: Path
) -> None:
    editor = edit("a = 1\n")
    editor.nvim.command("LinewiseWrite more")
    model.request()
    editor.nvim.command(f"edit {tmp_path / 'other.txt'}")
    model.emit("@1,1\na = 1\nb = 2\n<|diff|>")
    model.end("@2,1\nb = 2\nc = 3\n")
    wait_for(
        "the hunks", lambda: editor.lua("return #vim.fn.getbufline(vim.fn.bufnr('example.py'), 1, '$')") == 3
    )
    assert editor.lines == [""]
    editor.nvim.command("buffer example.py")
    wait_for("the end of the write", lambda: not is_writing(editor))
    editor.keys("u")
    editor.wait_for_lines(["a = 1"])


def test_stop_ends_the_write_and_keeps_whole_hunks(edit: Edit, model: ScriptedModel) -> None:
    editor = edit("a = 1\n")
    editor.nvim.command("LinewiseWrite more")
    model.request()
    model.emit("@1,1\na = 1\nb = 2\n<|diff|>@2,1\nb = 2\nhalf")
    editor.wait_for_lines(["a = 1", "b = 2"])
    editor.nvim.command("LinewiseStop")
    model.cancelled()
    wait_for("the end of the write", lambda: not is_writing(editor))
    assert editor.lines == ["a = 1", "b = 2"]
    assert "(cancelled)" in editor.told[-1]


def test_a_range_is_handed_to_the_server(edit: Edit, model: ScriptedModel) -> None:
    editor = edit("a = 1\nb = 2\nc = 3\n")
    editor.nvim.command("2,3LinewiseWrite double it")
    model.answer("@1,2\na = 1\nb = 4\n")
    editor.wait_for_lines(["a = 1", "b = 4", "c = 3"])


def test_ghost_text_shows_on_a_pause_and_tab_takes_it_as_one_undo_step(
    edit: Edit, model: ScriptedModel
) -> None:
    editor = edit("import math\n")
    editor.keys("ofor i in ra")
    healed = model.request()["healed"]
    assert "for i in ra".endswith(healed)
    model.end(f"{healed}nge(3):\n    print(i)\n")
    wait_for("the ghost text", lambda: editor.ghost() == "nge(3):\n    print(i)")
    assert editor.lines == ["import math", "for i in ra"]
    editor.keys("<Tab>")
    editor.wait_for_lines(["import math", "for i in range(3):", "    print(i)"])
    assert editor.ghost() is None
    assert editor.mode == "i"
    editor.keys("<Esc>u")
    editor.wait_for_lines(["import math", "for i in ra"])


def test_the_ghost_text_is_typed_through_without_asking_again(edit: Edit, model: ScriptedModel) -> None:
    editor = edit("x = 1\n")
    editor.keys("opri")
    request = model.request()
    model.end(f"{request['healed']}nt(x)\n")
    wait_for("the ghost text", lambda: editor.ghost() == "nt(x)")
    editor.keys("nt")
    wait_for("the shorter ghost text", lambda: editor.ghost() == "(x)")
    assert model.is_idle()
    editor.keys("<Tab>")
    editor.wait_for_lines(["x = 1", "print(x)"])


def test_ghost_text_goes_when_something_else_is_typed_or_insert_mode_is_left(
    edit: Edit, model: ScriptedModel
) -> None:
    editor = edit("x = 1\n")
    editor.keys("opri")
    model.end(f"{model.request()['healed']}nt(x)\n")
    wait_for("the ghost text", lambda: editor.ghost() == "nt(x)")
    editor.keys("v")
    wait_for("no ghost text", lambda: editor.ghost() is None)
    model.end(f"{model.request()['healed']}ate = x\n")
    wait_for("the ghost text", lambda: editor.ghost() == "ate = x")
    editor.keys("<Esc>")
    wait_for("no ghost text", lambda: editor.ghost() is None)


def test_a_request_is_cancelled_when_the_user_types_on(edit: Edit, model: ScriptedModel) -> None:
    editor = edit("x = 1\n")
    editor.keys("opr")
    model.request()
    editor.keys("int(")
    model.cancelled()
    request = model.request()
    model.end(f"{request['healed']}x)\n")
    wait_for("the ghost text", lambda: editor.ghost() == "x)")


def test_tab_without_ghost_text_does_what_it_did_before(edit: Edit, model: ScriptedModel) -> None:
    editor = edit("x = 1\n", before="vim.o.expandtab = false")
    editor.nvim.command("setlocal noexpandtab softtabstop=0")
    editor.keys("o<Tab>y<Esc>")
    editor.wait_for_lines(["x = 1", "\ty"])


def test_tab_without_ghost_text_runs_the_users_own_mapping(edit: Edit, model: ScriptedModel) -> None:
    before = """
vim.keymap.set('i', '<Plug>(mine)', 'MINE')
vim.keymap.set('i', '<Tab>', function() return '<Plug>(mine)' end, { expr = true, remap = true })
"""
    editor = edit("x = 1\n", before=before)
    editor.keys("o<Tab>")
    editor.wait_for_lines(["x = 1", "MINE"])
    request = model.request()
    model.end(f"{request['healed']} = 2\n")
    wait_for("the ghost text", lambda: editor.ghost() == " = 2")
    editor.keys("<Tab>")
    editor.wait_for_lines(["x = 1", "MINE = 2"])


def test_a_buffers_own_tab_mapping_is_kept_too(
    open_editor: Callable[..., Editor], model: ScriptedModel, tmp_path: Path
) -> None:
    before = """
vim.api.nvim_create_autocmd('FileType', { callback = function(event)
  vim.keymap.set('i', '<Tab>', 'OWN', { buffer = event.buf })
end })
"""
    command = [sys.executable, str(SCRIPTED_SERVER), "--control", str(model.port)]
    editor = open_editor(command, "x = 1\n", before=before)
    wait_for("the server to serve the buffer", editor.is_attached)
    editor.keys("o<Tab>")
    editor.wait_for_lines(["x = 1", "OWN"])
    model.end(f"{model.request()['healed']} = 2\n")
    wait_for("the ghost text", lambda: editor.ghost() == " = 2")
    editor.keys("<Tab>")
    editor.wait_for_lines(["x = 1", "OWN = 2"])


def test_no_ghost_text_over_the_completion_menu(edit: Edit, model: ScriptedModel) -> None:
    editor = edit("alpha = 1\nalpine = 2\n")
    editor.keys("oal")
    model.end(f"{model.request()['healed']}pha\n")
    wait_for("the ghost text", lambda: editor.ghost() == "pha")
    editor.keys("<C-n>")
    wait_for("the menu", editor.nvim.funcs.pumvisible)
    wait_for("no ghost text", lambda: editor.ghost() is None)


def test_a_server_killed_in_mid_stream_leaves_whole_hunks_and_can_be_restarted(
    edit: Edit, model: ScriptedModel
) -> None:
    editor = edit("a = 1\n")
    editor.nvim.command("LinewiseWrite more")
    model.request()
    model.emit("@1,1\na = 1\nb = 2\n<|diff|>@2,1\nb = 2\nhalf")
    editor.wait_for_lines(["a = 1", "b = 2"])
    editor.kill_server(model)
    wait_for("a message", lambda: any("ended unexpectedly (signal 9)" in text for text in editor.told))
    assert editor.lines == ["a = 1", "b = 2"]
    assert not is_writing(editor)
    editor.keys("Goc = 3<Esc>")
    editor.wait_for_lines(["a = 1", "b = 2", "c = 3"])
    editor.nvim.command("LinewiseRestart")
    wait_for("the server to serve the buffer", editor.is_attached)
    editor.nvim.command("LinewiseWrite more")
    assert "c = 3" in model.request()["prompt"]
    model.end("@3,1\nc = 3\nd = 4\n")
    editor.wait_for_lines(["a = 1", "b = 2", "c = 3", "d = 4"])


def test_a_missing_model_gives_one_clear_message_and_typing_goes_on(
    open_editor: Callable[..., Editor], tmp_path: Path
) -> None:
    missing = tmp_path / "missing.gguf"
    collect = """
vim.lsp.handlers['window/showMessage'] = function(_, params) table.insert(_G.told, params.message) end
"""
    editor = open_editor(
        [sys.executable, str(SCRIPTED_SERVER), "--model", str(missing)], "x = 1\n", before=collect
    )
    wait_for("a message", lambda: editor.told)
    editor.keys("oy = 2<Esc>")
    editor.wait_for_lines(["x = 1", "y = 2"])
    (message,) = editor.told
    assert str(missing) in message
    editor.nvim.command("LinewiseWrite more")
    wait_for("the write's answer", lambda: len(editor.told) == 2)
    assert str(missing) in editor.told[1]
    assert editor.lines == ["x = 1", "y = 2"]


def test_a_server_that_is_not_installed_is_said_so(open_editor: Callable[..., Editor]) -> None:
    editor = open_editor(["no-such-linewise", "lsp"], "x = 1\n")
    wait_for("a message", lambda: editor.told)
    assert 'cannot run "no-such-linewise"' in editor.told[0]


def test_checkhealth_names_the_server_and_the_neovim(edit: Edit) -> None:
    editor = edit("x = 1\n")
    editor.nvim.command("checkhealth linewise")
    report = "\n".join(editor.lines)
    assert "the server runs and serves 1 buffer(s)" in report
    assert "ERROR" not in report


def test_the_help_has_a_topic_for_every_command(edit: Edit, tmp_path: Path) -> None:
    editor = edit("x = 1\n")
    documents = tmp_path / "plugin" / "doc"
    shutil.copytree(ROOT / "extension" / "neovim" / "doc", documents)
    editor.nvim.command(f"helptags {documents}")
    editor.lua("vim.opt.runtimepath:prepend(...)", str(documents.parent))
    commands = [name for name in editor.nvim.api.get_commands({}) if name.startswith("Linewise")]
    assert len(commands) == 3
    for topic in [f":{name}" for name in commands] + ["linewise-options"]:
        editor.nvim.command(f"help {topic}")
        assert any(f"*{topic}*" in line for line in editor.lines)


def test_a_wrong_option_is_named(edit: Edit) -> None:
    editor = edit("x = 1\n")
    call = "return select(2, pcall(require('linewise').setup, ...))"
    assert "no option inline.delay" in editor.lua(call, {"inline": {"delay": 3}})
    assert "keys.accept must be string" in editor.lua(call, {"keys": {"accept": 7}})
