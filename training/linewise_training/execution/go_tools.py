"""Go's standard library, compiled once: without it every job would have the Go command compile it again."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from linewise_training.execution.languages import GoTools

_SECONDS = 600
_LOCK = threading.Lock()


def cache_folder() -> Path:
    """Where compiled packages are kept: jobs see this folder read-only. Made if it is not there."""
    base = os.environ.get("XDG_CACHE_HOME")
    folder = (Path(base) if base else Path.home() / ".cache") / "linewise" / "go"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def go_tools() -> dict[str, str] | str | None:
    """Go's tools as JSON for a worker; what went wrong; or None where Go is not installed.

    The first call after an installation of Go compiles its library, which takes up to a minute.
    """
    if shutil.which("go") is None:
        return None
    try:
        folder = cache_folder()
        environment = {
            **os.environ, "GOCACHE": str(folder / "build"), "CGO_ENABLED": "0", "GO111MODULE": "off",
            "GOFLAGS": "", "GOTOOLCHAIN": "local",
        }  # fmt: skip
        with _LOCK:
            version, tools = _go(["env", "GOVERSION", "GOTOOLDIR"], environment).split("\n")[:2]
            config = folder / f"packages-{version}.txt"
            if not _is_complete(config):
                line = "{{if .Export}}packagefile {{.ImportPath}}={{.Export}}{{end}}"
                listed = _go(["list", "-export", "-f", line, "std"], environment)
                unfinished = config.with_suffix(f".{os.getpid()}")
                unfinished.write_text(listed, encoding="utf-8")
                unfinished.replace(config)
            packages = config.read_text(encoding="utf-8")
    except OSError as error:
        return f"Go's library cannot be kept: {error}"
    except subprocess.CalledProcessError as error:
        lines = str(error.stderr).strip().splitlines()
        return f"Go's library cannot be compiled: {lines[-1] if lines else error}"
    except subprocess.TimeoutExpired:
        return f"Go's library was not compiled within {_SECONDS} seconds"
    return asdict(GoTools(tools, packages))


def _is_complete(config: Path) -> bool:
    """Whether all packages that the file names are still there: `go clean` and time remove them."""
    with suppress(OSError):
        named = [line.partition("=")[2] for line in config.read_text(encoding="utf-8").splitlines() if line]
        return bool(named) and all(Path(path).exists() for path in named)
    return False


def _go(arguments: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        ["go", *arguments],
        env=environment,
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
        timeout=_SECONDS,
    )
    return done.stdout
