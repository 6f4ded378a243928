"""GNU patch makes of a file what our hunks make of it."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from linewise.edits import Edit, Hunk, apply_edit, diff, join_lines, sequential, split_lines

PATCH = shutil.which("patch")
pytestmark = pytest.mark.skipif(PATCH is None, reason="GNU patch is not installed: apt-get install patch")

TEXT = st.lists(
    st.sampled_from(["a", "b", "\n", "\n", "\r\n", "\t", "+", "-", "\\", "é", "😀"]), max_size=40
).map("".join)


def file_lines(lines):
    r"""The lines of a file as patch counts them: the empty last line that stands for a final "\n" is none."""
    return list(lines[:-1] if lines and lines[-1] == "" else lines)


def unified(before, after, edit):
    """`edit` as a unified diff for GNU patch, whose lines carry their newline."""
    out = ["--- file", "+++ file"]
    moved = [hunk.start for hunk in sequential(edit)]
    for hunk, start_after in zip(edit.hunks, moved, strict=True):
        start = hunk.start
        # A hunk at the very end also changes whether the line before it ends in a newline.
        reach = 1 if hunk.end == len(before) and start > 0 else 0
        sides = []
        for sign, lines, first, count in (
            ("-", before, start - reach, len(hunk.removed) + reach),
            ("+", after, start_after - reach, len(hunk.added) + reach),
        ):
            whole = file_lines(lines)
            part = whole[first : first + count]
            body = [sign + line for line in part]
            if part and first + len(part) == len(whole) == len(lines):
                body.append("\\ No newline at end of file")
            sides.append((f"{first + 1 if part else first},{len(part)}", body))
        (old, removed), (new, added) = sides
        out += [f"@@ -{old} +{new} @@", *removed, *added]
    return "\n".join(out) + "\n"


def patched(folder, text, patch):
    file, result = folder / "file", folder / "result"
    file.write_bytes(text.encode())
    result.unlink(missing_ok=True)
    run = subprocess.run(
        [PATCH, "--unified", "--binary", "--fuzz=0", "--silent", f"--output={result}", str(file)],
        input=patch.encode(),
        capture_output=True,
        check=False,
    )
    assert run.returncode == 0, (run.stdout + run.stderr).decode() + patch
    return result.read_bytes().decode()


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(TEXT, TEXT)
def test_patch_agrees_on_the_diff_of_any_two_files(tmp_path, one, two):
    before, after = split_lines(one), split_lines(two)
    edit = diff(before, after)
    if edit.hunks:
        assert patched(tmp_path, one, unified(before, after, edit)) == two


def test_patch_agrees_on_an_edit_of_several_hunks_in_a_long_file(tmp_path):
    before = tuple(str(number) for number in range(100))
    edit = Edit(
        (Hunk(0, (), ("top",)), Hunk(40, before[40:45], ("x",)), Hunk(99, ("99",), ("99", "", "end", "")))
    )
    after = apply_edit(before, edit)
    assert patched(tmp_path, join_lines(before), unified(before, after, edit)) == join_lines(after)
