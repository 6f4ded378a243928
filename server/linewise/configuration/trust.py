"""Which workspaces the user trusts: their files may then name addresses and models' paths.

Kept in `trusted.json` beside the user's file, which no workspace can write.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from filelock import FileLock, Timeout

from linewise.errors import ConfigurationError

LOCK_SECONDS = 10.0


class TrustedWorkspaces:
    """The list in `path`, which need not exist. A folder is trusted by itself, not what lies below it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def folders(self) -> tuple[Path, ...]:
        """All of them. Raises ConfigurationError for a list that cannot be read."""
        try:
            value = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return ()
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"the list of trusted workspaces, {self.path}, cannot be read ({error}): delete it, "
                "and trust your workspaces again"
            ) from error
        folders = value.get("workspaces") if isinstance(value, dict) else None
        if not isinstance(folders, list) or not all(isinstance(folder, str) for folder in folders):
            raise ConfigurationError(
                f"{self.path} is no list of trusted workspaces: delete it, and trust your workspaces again"
            )
        return tuple(map(Path, folders))

    def trusts(self, workspace: Path) -> bool:
        """Whether the user trusts this folder. Raises ConfigurationError as `folders` does."""
        return _real(workspace) in self.folders()

    def trust(self, workspace: Path) -> bool:
        """Add a folder; false where it is in the list. Raises ConfigurationError when it cannot be kept."""
        return self._change(_real(workspace), wanted=True)

    def untrust(self, workspace: Path) -> bool:
        """Take a folder out; false where it is not in. Raises ConfigurationError when it cannot be kept."""
        return self._change(_real(workspace), wanted=False)

    def _change(self, folder: Path, *, wanted: bool) -> bool:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.path.with_suffix(".lock"), timeout=LOCK_SECONDS):
                before = self.folders()
                if (folder in before) == wanted:
                    return False
                after = [*before, folder] if wanted else [other for other in before if other != folder]
                text = json.dumps({"workspaces": [str(other) for other in after]}, indent=2) + "\n"
                new = self.path.with_suffix(".new")
                new.write_text(text, encoding="utf-8")
                new.replace(self.path)
        except Timeout:
            raise ConfigurationError(
                f"another process holds {self.path} for {LOCK_SECONDS:.0f} seconds: try again when it is done"
            ) from None
        except OSError as error:
            raise ConfigurationError(f"{self.path} cannot be written ({error.strerror or error})") from error
        return True


def _real(folder: Path) -> Path:
    """One path for one folder, whichever link led there."""
    return Path(os.path.realpath(folder))
