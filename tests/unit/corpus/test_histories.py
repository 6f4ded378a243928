import os
from pathlib import Path

import pytest

from linewise.edits import join_lines, parse_sequence, resolve, split_lines
from linewise.errors import LinewiseError
from linewise_training.corpus import Skipped, origins
from linewise_training.corpus.git import Repository
from linewise_training.corpus.histories import MAX_CHANGED_LINES, MAX_FILES, MAX_STEPS, HistoryHarvest

ONE = """# Numbers and what one does with them
def add(first, second):
    return first + second


print(add(1, 2), add(3, 4), add(5, 6))
"""
TWO = ONE.replace("print(add(1, 2), add(3, 4), ", "print(")
THREE = "import math\n\n\n" + TWO.replace("first + second", "math.fsum([first, second])")


def walked(root, contaminated=lambda text, tree: False, licence=None, **options):
    with Repository(root) as repository:
        origin = origins.repository(repository, licence)
        found = list(HistoryHarvest(contaminated, **options).walk(repository, origin))
    return [h for h in found if not isinstance(h, Skipped)], [
        s.reason for s in found if isinstance(s, Skipped)
    ]


def states(history):
    lines = split_lines(history.start)
    yield history.start
    for edit in history.edits:
        lines = resolve(parse_sequence(edit), lines)
        yield join_lines(lines)


def test_each_commit_is_an_edit_against_the_state_before_it(project, mit):
    ids = [
        project.commit("Add numbers", {"LICENSE": mit, "a.py": ONE}),
        project.commit("Print less\n\nThe body.", {"a.py": TWO}),
        project.commit("Add exactly", {"a.py": THREE}),
    ]
    ((history,), skipped) = walked(project.root)
    assert list(states(history)) == ["", ONE, TWO, THREE]
    assert history.messages == ("Add numbers", "Print less", "Add exactly")
    assert list(history.commits) == ids
    assert (history.path, history.origin, history.licence) == ("a.py", "repository", "MIT")
    assert history.version == ids[-1]
    assert "-print(add(1, 2), add(3, 4), add(5, 6))" in history.edits[1]
    assert skipped == []


def test_a_file_is_followed_through_a_rename_and_a_change_with_it(project, mit):
    project.commit("a", {"LICENSE": mit, "old.py": ONE})
    project.commit("move", {"old.py": None, "new.py": ONE})
    project.commit("move and change", {"new.py": None, "b/newest.py": TWO})
    ((history,), _) = walked(project.root)
    assert history.path == "b/newest.py"
    assert list(states(history)) == ["", ONE, TWO]


def test_what_a_merge_brings_is_no_edit_but_what_it_joins_is(project, mit):
    project.commit("a", {"LICENSE": mit, "a.py": ONE})
    project.git("checkout", "-q", "-b", "side")
    project.commit("side", {"a.py": ONE + "# side\n"})
    project.git("checkout", "-q", "main")
    project.commit("main", {"a.py": "# main\n" + ONE})
    project.git("merge", "-q", "-m", "both", "side")
    project.commit("after", {"a.py": "# main\n" + ONE + "# after\n"})
    histories, _ = walked(project.root)
    found = {state for history in histories for state in states(history)}
    assert {"# main\n" + ONE, ONE + "# side\n", "# main\n" + ONE + "# after\n"} <= found
    assert "both" not in {message for history in histories for message in history.messages}
    assert sum(len(history.edits) for history in histories) == 4


def test_huge_commits_and_huge_changes_end_a_history_and_another_begins(project, mit):
    project.commit("a", {"LICENSE": mit, "a.py": ONE})
    big = ONE + "".join(f"print('line', add({n}, {n}))\n" for n in range(MAX_CHANGED_LINES + 1))
    project.commit("huge change", {"a.py": big})
    project.commit("then", {"a.py": big + "# end\n"})
    everywhere = {f"m{n}.py": f"{ONE}# {n}\n" for n in range(MAX_FILES)}
    project.commit("huge commit", {"a.py": big, **everywhere})
    project.commit("last", {"m0.py": TWO})
    histories, skipped = walked(project.root)
    assert {(h.path, h.start, h.messages) for h in histories} == {
        ("a.py", "", ("a",)),
        ("a.py", big, ("then",)),
        ("m0.py", f"{ONE}# 0\n", ("last",)),
    }
    assert sorted(skipped) == ["huge change", "huge commit"]


def test_states_that_cannot_be_learned_from_are_left_out_with_their_reason(project, mit):
    project.commit("a", {"LICENSE": mit, "a.py": ONE})
    for text in (
        ONE + "(\n",
        ONE,
        ONE + "# \udcff\n",
        TWO,
        ONE + "# leak\n",
        THREE,
        "# GNU General Public License\n" + ONE,
    ):
        project.commit("next", {"a.py": text.encode("utf-8", "surrogateescape")})
    histories, skipped = walked(project.root, lambda text, tree: "leak" in text)
    assert [list(states(history)) for history in histories] == [["", ONE]]
    assert set(skipped) == {"does not parse", "not UTF-8", "contaminated", "licence"}


def test_line_endings_are_newlines_and_a_commit_of_only_those_is_no_edit(project, mit):
    project.commit("a", {"LICENSE": mit, "a.py": ONE.replace("\n", "\r\n")})
    project.commit("newlines", {"a.py": ONE})
    project.commit("b", {"a.py": TWO})
    ((history,), _) = walked(project.root)
    assert list(states(history)) == ["", ONE, TWO]


def test_history_counts_from_when_the_licence_became_permissive(project, mit, gpl):
    project.commit("unfree", {"LICENSE": gpl, "a.py": ONE})
    project.commit("free", {"LICENSE": mit})
    project.commit("change", {"a.py": TWO})
    ((history,), _) = walked(project.root)
    assert (history.start, history.messages) == (ONE, ("change",))


def test_files_at_head_and_histories_keep_to_the_licence_near_them(project, mit, gpl):
    project.commit(
        "a", {"LICENSE": mit, "a.py": ONE, "other/COPYING": gpl, "other/b.py": TWO, "test_c.py": THREE}
    )
    with Repository(project.root) as repository:
        origin = origins.repository(repository)
        assert origin.files == ("a.py", "other/b.py", "test_c.py")
        assert origin.tree.read("a.py").decode() == ONE
    histories, skipped = walked(project.root)
    assert [history.path for history in histories] == ["a.py"]
    assert sorted(skipped) == ["licence", "test"]


def test_a_repository_without_a_known_licence_needs_one_named(project):
    project.commit("a", {"a.py": ONE})
    with pytest.raises(LinewiseError, match="--licence"):
        walked(project.root)
    ((history,), _) = walked(project.root, licence="MIT")
    assert history.licence == "MIT"


def test_bounds_hold_for_steps_and_commits(project, mit):
    project.commit("a", {"LICENSE": mit, "a.py": ONE})
    for number in range(MAX_STEPS + 2):
        project.commit(str(number), {"a.py": f"{ONE}# {number}\n"})
    histories, _ = walked(project.root)
    assert [len(history.edits) for history in histories] == [MAX_STEPS, 3]
    assert [history.messages for history in walked(project.root, limit=2)[0]] == [
        (str(MAX_STEPS), str(MAX_STEPS + 1))
    ]
    assert walked(project.root, limit=0) == ([], [])


def test_nothing_of_a_hostile_repository_is_run(project, mit, tmp_path):
    project.commit("a", {"LICENSE": mit, "a.py": ONE, ".gitattributes": "*.py diff=bad filter=bad\n"})
    project.commit("b", {"a.py": TWO})
    proof = tmp_path / "proof"
    script = tmp_path / "bad.sh"
    script.write_text(f"#!/bin/sh\ntouch {proof}\n")
    script.chmod(0o755)
    for key in (
        "core.fsmonitor", "core.pager", "core.sshCommand", "diff.external", "diff.bad.textconv",
        "diff.bad.command", "filter.bad.smudge", "filter.bad.clean", "filter.bad.process", "gpg.program",
        "remote.origin.uploadpack", "core.alternateRefsCommand", "pager.rev-list", "pager.diff-tree",
    ):  # fmt: skip
        project.git("config", key, str(script))
    for key, value in (
        ("log.showSignature", "true"), ("protocol.ext.allow", "always"), ("remote.origin.promisor", "true"),
        ("remote.origin.url", f"ext::{script}"), ("extensions.partialClone", "origin"),
        ("core.repositoryFormatVersion", "1"),
    ):  # fmt: skip
        project.git("config", key, value)
    for hook in ("post-index-change", "reference-transaction", "post-checkout"):
        link = project.root / ".git/hooks" / hook
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(script)
    missing = project.git("rev-parse", "HEAD~1:a.py")
    (project.root / ".git/objects" / missing[:2] / missing[2:]).unlink()  # what a partial clone would fetch
    with Repository(project.root) as repository:
        with pytest.raises(OSError, match=missing):
            repository.blob(missing)
        assert repository.tree().read("a.py").decode() == TWO
    histories, skipped = walked(project.root)
    assert histories == []
    assert "unreadable" in skipped
    assert not proof.exists()


def test_what_the_caller_s_environment_says_about_git_does_not_matter(project, mit, monkeypatch, tmp_path):
    project.commit("a", {"LICENSE": mit, "a.py": ONE})
    for name in ("GIT_DIR", "GIT_OBJECT_DIRECTORY", "GIT_INDEX_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "elsewhere"))
    assert len(walked(project.root)[0]) == 1


def test_a_bare_repository_is_read_too(project, mit, tmp_path):
    project.commit("a", {"LICENSE": mit, "a.py": ONE})
    project.git("clone", "-q", "--bare", ".", str(tmp_path / "bare.git"))
    ((history,), _) = walked(tmp_path / "bare.git")
    assert history.origin == "bare"


def test_repositories_in_folders_of_one_name_are_told_apart(project, mit, tmp_path):
    project.commit("a", {"LICENSE": mit, "a.py": ONE})
    copies = [tmp_path / owner / "repo" for owner in ("one", "two")]
    for copy in copies:
        project.git("clone", "-q", ".", str(copy))
    with Repository(copies[0]) as one, Repository(copies[1]) as two, Repository(project.root) as other:
        found = origins.repositories([one, two, other])
    assert [origin.name for origin in found] == ["one/repo", "two/repo", "repository"]


def test_a_folder_that_is_no_repository_is_named(project, tmp_path):
    with pytest.raises(LinewiseError, match="is not a git repository"):
        Repository(project.root)  # without a commit
    (project.root / "below").mkdir()
    for path in (tmp_path / "none", project.root / "below"):
        with pytest.raises(LinewiseError, match=path.name):
            Repository(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_git_that_hangs_is_ended(project, mit, tmp_path, monkeypatch):
    project.commit("a", {"LICENSE": mit, "a.py": ONE})
    repository = Repository(project.root, timeout=0.2)
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nexec sleep 3600\n")  # longer than any test may take
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(LinewiseError, match="took over"):
        repository.tree()
    with pytest.raises(OSError, match="cannot read"), repository:
        repository.blob("0" * 39 + "1")


def test_paths_and_names_that_would_break_the_reading_do_not(project, mit):
    odd = {"LICENSE": mit, "with space.py": ONE, "umläut.py": TWO, ":colon.py": THREE}
    project.commit("\u2028 : odd <é>", odd)
    (project.root / "new\nline.py").write_text(ONE + "#\n")
    Path(os.fsencode(project.root).decode(), os.fsdecode(b"\xff.py")).write_text(ONE + "##\n")
    project.commit("worse")
    histories, _ = walked(project.root)
    assert {history.path for history in histories} == {"with space.py", "umläut.py", ":colon.py"}
