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


def test_the_limit_bounds_the_files(tree, mit, tmp_path):
    root = tree({"LICENSE": mit, **{f"f{n}.py": GOOD + f"# {n}\n" for n in range(5)}})
    assert run("--out", tmp_path / "out", "--folder", root, "--limit", 2).exit_code == 0
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
