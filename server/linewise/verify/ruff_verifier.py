"""The ruff verifier: what ruff, where it is installed, finds that is an error at run time.

Syntax errors (of the Python that runs this), pyflakes' serious rules and those of pylint's errors that ruff
has. The user's own ruff configuration is not read; `# noqa` comments in the source are obeyed.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from linewise.errors import LinewiseError
from linewise.installation import pip_install
from linewise.verify.protocol import Problem

SYNTAX_ERROR = "syntax-error"

# Opinions and style among the rules of F (unused names, comparisons with literals) are left out.
_RULES = "E902,F404,F406,F407,F50,F52,F62,F633,F70,F72,F82,F901,PLE"
# What ruff calls a source that it cannot parse: its name depends on its version.
_SYNTAX_CODES = frozenset([None, "invalid-syntax", "E999"])


class RuffVerifier:
    """Runs the ruff command, once for all sources. Raises LinewiseError where ruff is not installed."""

    def __init__(self) -> None:
        found = shutil.which("ruff")
        if importlib.util.find_spec("ruff") is not None:
            self._command = [sys.executable, "-m", "ruff"]
        elif found:
            self._command = [found]
        else:
            raise LinewiseError(
                f"the verifier ruff needs ruff, which is not installed; run: {pip_install('ruff')}"
            )

    @property
    def name(self) -> str:
        """The name that configuration and reports use."""
        return "ruff"

    def problems(self, sources: Sequence[str]) -> list[tuple[Problem, ...]]:
        """The problems of each source, in order of place. Raises LinewiseError when ruff itself fails."""
        found: list[list[Problem]] = [[] for _ in sources]
        with tempfile.TemporaryDirectory(prefix="linewise-ruff-") as folder:
            for at, source in enumerate(sources):
                # Half of a surrogate pair cannot be saved; the byte that stands for it is no UTF-8 either.
                Path(folder, f"source_{at}.py").write_bytes(source.encode("utf-8", "surrogatepass"))
            for row in self._run(folder):
                at = int(Path(row["filename"]).stem.removeprefix("source_"))
                code = row["code"]
                place = row["location"] or {"row": 1, "column": 1}
                found[at].append(
                    Problem(
                        max(0, place["row"] - 1),
                        max(0, place["column"] - 1),
                        SYNTAX_ERROR if code in _SYNTAX_CODES else code,
                        row["message"],
                    )
                )
        return [tuple(sorted(problems)) for problems in found]

    def _run(self, folder: str) -> list[dict[str, Any]]:
        version = f"py{sys.version_info[0]}{sys.version_info[1]}"
        run = subprocess.run(
            [*self._command, "check", "--isolated", "--no-cache", "--exit-zero", "--output-format=json",
             f"--select={_RULES}", f"--target-version={version}", "."],
            cwd=folder, capture_output=True, text=True, encoding="utf-8", check=False,
        )  # fmt: skip
        if run.returncode:
            raise LinewiseError(f"ruff failed (exit code {run.returncode}): {run.stderr.strip()}")
        rows: list[dict[str, Any]] = json.loads(run.stdout or "[]")
        return rows
