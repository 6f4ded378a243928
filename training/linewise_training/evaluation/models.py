"""The model that is evaluated: a GGUF file or a Hugging Face folder, and the form in which it writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from linewise.engines import load_engine
from linewise.engines.protocol import Engine, Segment
from linewise.errors import EngineError, ModelError
from linewise.models import default_model_path, named_model_path
from linewise_training.evaluation.folder import digest

PLAIN = "plain"
FIM = "fim"
FORMS = ("edit-log/1", "lintseq", FIM, PLAIN)
"""How a model writes: edits in one of Linewise's formats, between a prefix and a suffix, or simply on."""

_EDIT_FORMS = ("edit-log/1", "lintseq")
_EDIT_TOKEN = "<|diff|>"

model_option = click.option(
    "--model",
    "model_path",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="GGUF file, name of a registered model, or Hugging Face folder. Default: the one that is served.",
)
form_option = click.option(
    "--format",
    "form",
    type=click.Choice(FORMS),
    help="How the model writes. Default: what the model says of itself.",
)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model ready to generate: `form` is one of FORMS."""

    path: Path
    engine: Engine
    form: str

    def about(self) -> dict[str, Any]:
        """What reports say of it, and by what another model is told from it: JSON values, sizes in bytes."""
        info = self.engine.info
        return {
            "path": str(self.path),
            "name": info.name,
            "form": self.form,
            "parameters": info.parameters,
            "size_bytes": info.size_bytes,
            "sha256": digest(self.path),
        }


@contextmanager
def loaded(path: Path | None, form: str | None = None) -> Iterator[LoadedModel]:
    """The model at `path` (None: the default one), closed at the end. `form` overrides what the model says.

    Raises ModelError for a model that is missing, damaged, or does not tell how it writes.
    """
    path = named_model_path(path) if path else default_model_path()
    engine = _open(path)
    try:
        yield LoadedModel(path, engine, model_form(engine, form))
    finally:
        engine.close()


def _open(path: Path) -> Engine:
    if not path.is_dir():
        return load_engine(path)
    # Imported here because transformers takes seconds, which a GGUF file need not wait for.
    from linewise.engines.transformers_engine import TransformersEngine  # noqa: PLC0415

    return TransformersEngine(path)


def model_form(engine: Engine, wanted: str | None = None) -> str:
    """How `engine`'s model writes, one of FORMS: `wanted`, what the model file says, or what its tokens tell.

    Raises ModelError where none of these tells, and for a form whose tokens the model lacks.
    """
    info = engine.info
    named = wanted or info.format
    if named is not None:
        if named not in FORMS:
            raise ModelError(
                f"{info.name} was trained on the format {named!r}, which is not known here: "
                f"say with --format how it writes ({', '.join(FORMS)})"
            )
        if named == FIM and info.fim is None:
            raise ModelError(
                f"{info.name} has no fill-in-the-middle tokens; choose another --format than fim"
            )
        if named in _EDIT_FORMS and not has_token(engine, _EDIT_TOKEN):
            raise ModelError(f"{info.name} has no token {_EDIT_TOKEN}; choose another --format than {named}")
        return named
    if info.fim is not None:
        return FIM
    if has_token(engine, _EDIT_TOKEN):
        raise ModelError(
            f"{info.name} has the token {_EDIT_TOKEN} but does not say in which format it writes: "
            "say it with --format, edit-log/1 or lintseq (or plain, to have it simply go on)"
        )
    return PLAIN


def has_token(engine: Engine, text: str) -> bool:
    """Whether `text` is a special token of the engine's model."""
    try:
        engine.tokenize([Segment(text, special=True)])
    except EngineError:
        return False
    return True
