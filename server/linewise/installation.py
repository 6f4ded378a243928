"""How to install what is missing, in words that hold for the way in which Linewise itself was installed."""

from __future__ import annotations

import json
import shlex
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import unquote, urlsplit


def install_extra(extra: str) -> str:
    """The command that installs an extra of Linewise ("training") beside this very installation."""
    return pip_install(*_requirement(f"linewise[{extra}]"))


def pip_install(*arguments: str) -> str:
    """The command that installs into the environment that runs this, whichever one the shell is in."""
    return shlex.join([sys.executable, "-m", "pip", "install", *arguments])


def _requirement(name: str) -> tuple[str, ...]:
    """What pip is to install `name` from: where this installation came from (PEP 610), or else the index."""
    try:
        origin = json.loads(distribution("linewise").read_text("direct_url.json") or "{}")
    except PackageNotFoundError:  # It runs from its source folder.
        origin = {"url": Path(__file__).parents[2].as_uri(), "dir_info": {"editable": True}}
    url = origin.get("url", "")
    parts = urlsplit(url)
    if "dir_info" in origin and parts.scheme == "file":
        folder = unquote(parts.path) + name.removeprefix("linewise")
        return ("-e", folder) if origin["dir_info"].get("editable") else (folder,)
    if "vcs_info" in origin:
        version = origin["vcs_info"]
        return (f"{name} @ {version['vcs']}+{url}@{version['commit_id']}",)
    return (f"{name} @ {url}",) if url else (name,)
