"""Where a checkpoint comes from: a local folder, or a name on the Hugging Face hub; and its checksum.

The hub is asked only for a name like `owner/model` that is no local folder. Every large file is compared
with the checksum that the hub has for it.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from linewise.errors import ModelError

HUB_SECONDS = 5.0
"""How long the hub may take to answer at all."""

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_FILES = ("*.json", "*.safetensors", "tokenizer.model")
_CARD = "README.md"
"""Fetched, too, for the licence that it names; no part of the checksum."""
_CHUNK = 1 << 20


def checkpoint_folder(name: str, *, revision: str | None = None, sha256: str | None = None) -> Path:
    """The folder of the checkpoint `name`, downloaded if it is a name on the hub and not there yet.

    `revision` is a branch, tag or commit of the hub; `sha256` what `folder_sha256` must be. Raises ModelError
    when there is none, the hub cannot be reached, or a checksum differs.
    """
    local = Path(name).expanduser()
    if local.is_dir():
        folder = local
    elif local.exists():
        raise ModelError(f"{local} is a file: name the Hugging Face folder that it lies in.")
    elif _HUB_NAME.fullmatch(name):
        folder = _download(name, revision)
    else:
        raise ModelError(f"There is no folder {local}: name a Hugging Face model folder, or owner/model.")
    if sha256 is not None:
        found = folder_sha256(folder)
        if found != sha256.lower():
            raise ModelError(
                f"The checkpoint in {folder} has the checksum {found}, not {sha256}: it is another one."
            )
    return folder


def folder_sha256(folder: Path) -> str:
    """SHA-256, in hex, over the lines "HEX  NAME" of the checkpoint's files, by name, as sha256sum prints."""
    lines = [f"{_file_sha256(path)}  {path.name}\n" for path in _files(folder)]
    if not lines:
        raise ModelError(f"{folder} has no files of a model: name a Hugging Face model folder.")
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _files(folder: Path) -> list[Path]:
    return sorted({path for pattern in _FILES for path in folder.glob(pattern)}, key=lambda path: path.name)


def _file_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}): check its permissions.") from None
    return digest.hexdigest()


def _download(name: str, revision: str | None) -> Path:
    """The hub's snapshot of `name`; from the local cache where the hub cannot be reached."""
    from huggingface_hub import HfApi, snapshot_download  # noqa: PLC0415
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError  # noqa: PLC0415

    try:
        about = HfApi().model_info(name, revision=revision, files_metadata=True, timeout=HUB_SECONDS)
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise ModelError(
            f"There is no folder {name}, and the hub has no such model or revision: check the name."
        ) from error
    except Exception as error:  # whatever the hub's HTTP library raises when there is no network
        try:
            return Path(
                snapshot_download(
                    name, revision=revision, allow_patterns=[*_FILES, _CARD], local_files_only=True
                )
            )
        except OSError:
            raise ModelError(
                f"There is no folder {name}, and the Hugging Face hub cannot be reached "
                f"({' '.join(str(error).split())}): download the model elsewhere and name its folder."
            ) from error
    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=[*_FILES, _CARD]))
    except Exception as error:
        raise ModelError(
            f"The download of {name} failed ({' '.join(str(error).split())}): give the command again."
        ) from error
    for file in about.siblings or []:
        path = folder / file.rfilename
        if file.lfs is not None and path.exists() and _file_sha256(path) != file.lfs.sha256:
            raise ModelError(
                f"{path} is not what the hub has ({file.lfs.sha256}): delete it, and convert again."
            )
    return folder
