import json

from click.testing import CliRunner

from linewise_training.corpus import corpus_command

GOOD = '''def add(first, second):
    """Add two numbers together."""
    total = first + second
    return total
'''
LEAKED = """def largest(numbers):
    best = None
    for number in numbers:
        if best is None or number > best:
            best = number
    return best
"""


def run(*arguments):
    return CliRunner().invoke(corpus_command, [str(argument) for argument in arguments])


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_folder_becomes_files_pairs_and_a_manifest_that_counts_them(tree, jsonl, mit, tmp_path):
    root = tree({"LICENSE": mit, "good.py": GOOD, "leaked.py": LEAKED + "\n# more\n", "bad.py": GOOD + "(\n"})
    head, body = LEAKED.split("\n", 1)
    benchmark = jsonl("b.jsonl", [{"task_id": "X/1", "prompt": head + "\n", "canonical_solution": body}])
    out = tmp_path / "out"
    done = run("--out", out, "--folder", root, "--benchmark", benchmark)
    assert done.exit_code == 0, done.output
    (file,) = read(out / "files.jsonl")
    assert set(file) == {"text", "path", "origin", "version", "licence", "sha256"}
    assert (file["text"], file["path"], file["origin"], file["licence"]) == (
        GOOD,
        "good.py",
        "project",
        "MIT",
    )
    assert read(out / "pairs.jsonl") == [
        {
            "instruction": "Add two numbers together.",
            "program": "def add(first, second):\n    total = first + second\n    return total",
            "path": "good.py",
            "origin": "project",
            "licence": "MIT",
        }
    ]
    manifest = json.loads((out / "manifest.json").read_text())
    assert (manifest["files"], manifest["pairs"], manifest["characters"]) == (1, 1, len(GOOD))
    assert manifest["files_skipped"] == {"contaminated": 1, "does not parse": 1}
    assert manifest["files_by_licence"] == {"MIT": 1}


def test_a_corpus_of_nothing_is_refused_and_what_is_there_stays(tmp_path):
    (tmp_path / "files.jsonl").write_text("what was there before")
    refused = run("--out", tmp_path)
    assert refused.exit_code == 2
    assert "name a source" in refused.output
    assert (tmp_path / "files.jsonl").read_text() == "what was there before"


def test_a_corpus_is_written_over_only_when_told_to(tree, mit, tmp_path):
    root = tree({"LICENSE": mit, "good.py": GOOD})
    out = tmp_path / "out"
    assert run("--out", out, "--folder", root).exit_code == 0
    before = (out / "files.jsonl").read_bytes()
    (root / "good.py").write_text(GOOD.replace("two", "both"))
    done = run("--out", out, "--folder", root)
    assert done.exit_code == 1
    assert "holds a corpus" in done.output
    assert (out / "files.jsonl").read_bytes() == before
    assert run("--out", out, "--folder", root, "--overwrite").exit_code == 0
    assert (out / "files.jsonl").read_bytes() != before


def test_a_pair_that_asks_what_a_benchmark_asks_is_left_out(tree, jsonl, mit, tmp_path):
    root = tree({"LICENSE": mit, "good.py": GOOD})
    prompt = 'def plus(a, b):\n    """Add two numbers together."""\n'
    problem = {"task_id": "X/1", "prompt": prompt, "canonical_solution": "    return sum((a, b))\n"}
    benchmark = jsonl("b.jsonl", [problem])
    out = tmp_path / "out"
    assert run("--out", out, "--folder", root, "--benchmark", benchmark).exit_code == 0
    assert len(read(out / "files.jsonl")) == 1
    assert read(out / "pairs.jsonl") == []
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["pairs_skipped"] == {"contaminated": 1}
    assert list(manifest["benchmarks"]) == [benchmark.name]


def test_the_limit_bounds_the_files(tree, mit, tmp_path):
    root = tree({"LICENSE": mit, **{f"f{n}.py": GOOD + f"# {n}\n" for n in range(5)}})
    assert (
        run("--out", tmp_path / "out", "--folder", root, "--limit", 2, "--keep-near-duplicates").exit_code
        == 0
    )
    assert len(read(tmp_path / "out/files.jsonl")) == 2


def test_a_package_that_is_not_installed_is_named(tmp_path):
    done = run("--out", tmp_path / "out", "--package", "no-such-package-here")
    assert done.exit_code == 1
    assert "no-such-package-here" in done.output
    assert "Traceback" not in done.output


def test_two_runs_write_the_same_bytes(tree, mit, tmp_path):
    root = tree({"LICENSE": mit, "b.py": GOOD, "a/c.py": GOOD + "# c\n"})
    for out in ("one", "two"):
        assert run("--out", tmp_path / out, "--folder", root).exit_code == 0
    for name in ("files.jsonl", "pairs.jsonl", "manifest.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_near_duplicates_are_dropped_and_counted_and_can_be_kept(tree, mit, tmp_path):
    much = "".join(f"NAME_{n} = {n} + len('{n}')\n" for n in range(40))
    root = tree({"LICENSE": mit, "a.py": much, "b.py": much + "LAST = 1\n", "c.py": GOOD * 2})
    for name, options, kept, counted in (("one", (), 2, 1), ("two", ("--keep-near-duplicates",), 3, 0)):
        assert run("--out", tmp_path / name, "--folder", root, *options).exit_code == 0
        assert len(read(tmp_path / name / "files.jsonl")) == kept
        manifest = json.loads((tmp_path / name / "manifest.json").read_text())
        assert manifest["files_skipped"].get("near duplicate", 0) == counted


def test_a_repository_gives_files_pairs_and_histories(project, mit, tmp_path):
    project.commit("first", {"LICENSE": mit, "good.py": GOOD})
    head = project.commit("second", {"good.py": GOOD + "\n\nadd(1, 2)\n"})
    (project.root / "good.py").write_text("not committed")
    out = tmp_path / "out"
    done = run("--out", out, "--repository", project.root)
    assert done.exit_code == 0, done.output
    (file,) = read(out / "files.jsonl")
    assert (file["text"], file["version"]) == (GOOD + "\n\nadd(1, 2)\n", head)
    assert len(read(out / "pairs.jsonl")) == 1
    (history,) = read(out / "histories.jsonl")
    assert (history["path"], history["start"], history["messages"]) == ("good.py", "", ["first", "second"])
    manifest = json.loads((out / "manifest.json").read_text())
    assert (manifest["histories"], manifest["history_edits"]) == (1, 2)
    assert manifest["histories_by_licence"] == {"MIT": 1}


def test_a_folder_that_is_no_repository_stops_before_anything_is_written(tmp_path):
    (tmp_path / "plain").mkdir()
    done = run("--out", tmp_path / "out", "--repository", tmp_path / "plain")
    assert done.exit_code == 1
    assert "not a git repository" in done.output
    assert "Traceback" not in done.output
    assert not (tmp_path / "out").exists()


def test_a_history_that_git_cannot_read_loses_nothing_else(project, mit, tmp_path):
    first = project.commit("first", {"LICENSE": mit, "good.py": GOOD})
    project.commit("second", {"good.py": GOOD + "\n\nadd(1, 2)\n"})
    (project.root / ".git/objects" / first[:2] / first[2:]).unlink()
    out = tmp_path / "out"
    done = run("--out", out, "--repository", project.root)
    assert done.exit_code == 0, done.output
    assert "left out" in done.output
    assert len(read(out / "files.jsonl")) == 1
    assert json.loads((out / "manifest.json").read_text())["histories_skipped"] == {"git failed": 1}


def test_instruction_data_becomes_pairs(jsonl, tmp_path):
    rows = [
        {"instruction": "Add.", "response": f"So:\n```python\n{GOOD}```"},
        {"instruction": "No.", "response": "No!"},
    ]
    data = jsonl("talk.jsonl", rows)
    assert run("--out", tmp_path / "out", "--instructions", data, "--licence", "MIT").exit_code == 0
    (pair,) = read(tmp_path / "out/pairs.jsonl")
    assert (pair["instruction"], pair["program"], pair["origin"]) == ("Add.", GOOD.rstrip(), "talk")
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["pairs_skipped"] == {"does not parse": 1}


def test_a_run_that_is_stopped_keeps_what_it_has_and_the_rest_goes_beside(tree, mit, tmp_path, monkeypatch):
    root = tree({"LICENSE": mit, **{f"{n}.py": GOOD.replace("add", f"add_{n}") for n in range(5)}})
    from linewise_training.corpus.writer import CorpusWriter

    add, calls = CorpusWriter.add_file, []

    def interrupted(self, file):
        calls.append(file)
        if len(calls) == 3:
            raise KeyboardInterrupt
        add(self, file)

    monkeypatch.setattr(CorpusWriter, "add_file", interrupted)
    options = ("--folder", root, "--keep-near-duplicates")
    done = run("--out", tmp_path / "one", *options)
    assert done.exit_code == 130
    assert "--beside" in done.output
    manifest = json.loads((tmp_path / "one/manifest.json").read_text())
    assert (manifest["files"], manifest["stopped"]) == (2, True)
    monkeypatch.undo()
    assert run("--out", tmp_path / "two", *options, "--beside", tmp_path / "one").exit_code == 0
    both = [row["path"] for part in ("one", "two") for row in read(tmp_path / part / "files.jsonl")]
    assert sorted(both) == [f"{n}.py" for n in range(5)]
    assert "stopped" not in json.loads((tmp_path / "two/manifest.json").read_text())


def test_a_corpus_is_not_lost_when_it_is_named_as_its_own_other_part(tree, mit, tmp_path):
    root, out = tree({"LICENSE": mit, "good.py": GOOD}), tmp_path / "out"
    assert run("--out", out, "--folder", root).exit_code == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    done = run("--out", out, "--folder", root, "--beside", out)
    assert done.exit_code == 1
    assert "name another" in done.output
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_corpus_is_kept_where_the_other_part_is_damaged(tree, mit, tmp_path):
    root, out = tree({"LICENSE": mit, "good.py": GOOD}), tmp_path / "out"
    assert run("--out", out, "--folder", root).exit_code == 0
    (tmp_path / "other").mkdir()
    (tmp_path / "other/files.jsonl").write_text('{"text": "x"}\n')
    assert run("--out", out, "--folder", root, "--beside", tmp_path / "other").exit_code == 1
    assert len(read(out / "files.jsonl")) == 1


def test_a_run_that_fails_leaves_no_manifest_of_an_earlier_one(tree, mit, tmp_path):
    out = tmp_path / "out"
    assert run("--out", out, "--folder", tree({"LICENSE": mit, "good.py": GOOD})).exit_code == 0
    assert run("--out", out, "--overwrite", "--package", "no-such-package-here").exit_code == 1
    assert not (out / "manifest.json").exists()


def test_no_archive_is_read_after_the_limit(tmp_path, tree, mit):
    import zipfile

    root = tree({"LICENSE": mit, "good.py": GOOD})
    (tmp_path / "archives").mkdir()
    with zipfile.ZipFile(tmp_path / "archives" / "b.zip", "w") as opened:
        opened.writestr("top/LICENSE", mit)
        opened.writestr("top/code.py", GOOD * 2)
    (tmp_path / "archives" / "a.zip").write_bytes(b"damaged")
    done = run("--out", tmp_path / "out", "--folder", root, "--archive", tmp_path / "archives", "--limit", 1)
    assert done.exit_code == 0
    assert "left out" not in done.output
    assert len(read(tmp_path / "out/files.jsonl")) == 1
