"""Imports point one way, as docs/architecture.md says."""

from __future__ import annotations

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVER = ROOT / "server" / "linewise"
TRAINING = ROOT / "training" / "linewise_training"

ALLOWED = {
    "edits": {"errors"},
    "engines": {"errors", "installation"},
    "serving": {"engines", "errors"},
    "verify": {"edits", "errors", "installation"},
    "formats": {"edits", "engines", "errors"},
    "configuration": {"errors"},
    "models": {"configuration", "engines", "errors", "serving"},
    "assistant": {"edits", "engines", "errors", "formats", "verify"},
    "lsp": {
        "assistant",
        "configuration",
        "edits",
        "engines",
        "errors",
        "formats",
        "models",
        "serving",
        "verify",
    },
}
PURE = {"edits", "formats", "assistant"}  # know no back end
BACK_ENDS = {"llama_cpp", "pylint", "pyflakes", "pygls", "lsprotocol"}


def imported(path):
    """Dotted names of the modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield node.module


@pytest.mark.parametrize("package", ALLOWED)
def test_a_package_imports_only_what_lies_below_it(package):
    for path in (SERVER / package).rglob("*.py"):
        ours = {name.split(".")[1] for name in imported(path) if name.startswith("linewise.")}
        assert ours <= ALLOWED[package] | {package}, path


@pytest.mark.parametrize("package", sorted(PURE))
def test_what_is_pure_knows_no_back_end(package):
    for path in (SERVER / package).rglob("*.py"):
        assert not {name.split(".")[0] for name in imported(path)} & BACK_ENDS, path


def test_the_server_never_imports_training_nor_a_heavy_package_but_in_the_engine_that_is_of_it():
    engines = {
        "transformers_engine.py": {"torch", "transformers"},
        "ctranslate2_engine.py": {"ctranslate2"},
        "http_engine.py": {"httpx"},
        "http_servers.py": {"httpx"},
    }
    heavy = {"linewise_training", "torch", "transformers", "ctranslate2", "httpx"}
    for path in SERVER.rglob("*.py"):
        names = {name.split(".")[0] for name in imported(path)}
        assert names & heavy <= engines.get(path.name, set()), path


def test_no_module_needs_such_an_engine_before_it_is_asked_for():
    for path in [*SERVER.rglob("*.py")]:
        first = {node.module for node in ast.parse(path.read_text()).body if isinstance(node, ast.ImportFrom)}
        assert not first & {
            f"linewise.engines.{name}_engine" for name in ("transformers", "ctranslate2", "http")
        }, path


def test_no_two_parts_of_training_need_each_other():
    """What is imported in a function, where it is asked for, does not count."""
    needs = {}
    for path in TRAINING.rglob("*.py"):
        part = path.relative_to(TRAINING).parts[0].removesuffix(".py")
        modules = [
            node.module for node in ast.parse(path.read_text()).body if isinstance(node, ast.ImportFrom)
        ]
        ours = {name.split(".")[1] for name in modules if name and name.startswith("linewise_training.")}
        needs.setdefault(part, set()).update(ours - {part})
    assert len(needs) > 15
    TopologicalSorter(needs).prepare()  # raises CycleError


@pytest.mark.parametrize("package", [SERVER, TRAINING], ids=lambda path: path.name)
def test_every_part_stands_in_the_architecture(package):
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").split("```")[1]
    _, _, parts = text.partition(f"/{package.name}/ ")
    told = set(re.findall(r"[\w.]+(?:\.py|/)", parts.split("\ntraining/")[0].split("\nextension/")[0]))
    there = {path.name for path in package.glob("*.py") if not path.name.startswith("__")}
    there |= {
        f"{path.name}/" for path in package.iterdir() if any(path.glob("*.py")) or path.name == "recipes"
    }
    assert there <= told, sorted(there - told)


def test_no_file_is_two_ideas():
    files = [p for folder in ("server", "training", "extension") for p in (ROOT / folder).rglob("*")]
    sources = [p for p in files if p.suffix in {".py", ".lua", ".ts"} and "node_modules" not in p.parts]
    assert len(sources) > 50
    long = {p.name for p in sources if p.read_text(encoding="utf-8").count("\n") > 420}
    assert not long
