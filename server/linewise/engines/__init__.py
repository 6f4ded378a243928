"""Engines: tokens in, tokens out. `load_engine` opens a model; the protocol says what it can do."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

from linewise.engines.protocol import (
    CancelSignal,
    Engine,
    HttpOptions,
    ModelInfo,
    Request,
    Sampling,
    Segment,
    Token,
)
from linewise.errors import EngineError
from linewise.installation import install_extra, pip_install

__all__ = [
    "CancelSignal",
    "Engine",
    "EngineKind",
    "HttpOptions",
    "ModelInfo",
    "Request",
    "Sampling",
    "Segment",
    "Token",
    "connect_engine",
    "kind_of",
    "load_engine",
    "require_llama_cpp",
]


EngineKind: TypeAlias = Literal["auto", "llama_cpp", "ctranslate2", "transformers"]
"""What runs a model of this machine; auto: what its file or folder is made for."""


def load_engine(
    path: Path,
    *,
    context_length: int | None = None,
    threads: int | None = None,
    kind: EngineKind = "auto",
    compute_type: str = "default",
) -> Engine:
    """Engine for the model at `path`: a GGUF file, a CTranslate2 folder or a Hugging Face folder.

    `context_length` is in tokens, `threads` in processor threads; both have sensible defaults. `compute_type`
    is CTranslate2's. Raises ModelError when the model is missing, damaged or none, EngineError when what runs
    it is not usable or not installed.
    """
    if kind == "auto":
        kind = kind_of(path)
    if kind == "ctranslate2":
        return _load_ctranslate2(path, context_length, threads, compute_type)
    if kind == "transformers":
        return _load_transformers(path, context_length, threads)
    return _load_llama_cpp(path, context_length, threads)


def connect_engine(options: HttpOptions) -> Engine:
    """Engine for a model on servers that speak OpenAI's completions.

    Raises EngineError where none answers or something is not known of them, or httpx is not installed.
    """
    try:
        from linewise.engines.http_engine import HttpEngine  # noqa: PLC0415
    except ImportError as error:
        raise EngineError(f"httpx cannot be loaded ({error}); run: {install_extra('http')}") from error
    return HttpEngine(options)


def kind_of(path: Path) -> EngineKind:
    """What runs the model at `path`, by what lies there."""
    if not path.is_dir():
        return "llama_cpp"
    return "ctranslate2" if (path / "model.bin").exists() else "transformers"


# Imported when a model is loaded: these take from a third of a second to several.


def require_llama_cpp() -> None:
    """Load llama.cpp. Raises EngineError, saying what to do, where it is not usable."""
    try:
        from linewise.engines import llama_library  # noqa: F401, PLC0415
    except (ImportError, OSError, RuntimeError) as error:
        raise EngineError(
            f"llama.cpp cannot be loaded ({error}); "
            f"run: {pip_install('--force-reinstall', 'llama-cpp-python')}"
        ) from error


def _load_llama_cpp(path: Path, context_length: int | None, threads: int | None) -> Engine:
    require_llama_cpp()
    from linewise.engines.llama_cpp import LlamaCppEngine  # noqa: PLC0415

    return LlamaCppEngine(path, context_length=context_length, threads=threads)


def _load_ctranslate2(
    path: Path, context_length: int | None, threads: int | None, compute_type: str
) -> Engine:
    try:
        from linewise.engines.ctranslate2_engine import CTranslate2Engine  # noqa: PLC0415
    except (ImportError, OSError) as error:
        raise EngineError(
            f"CTranslate2 cannot be loaded ({error}); run: {install_extra('ctranslate2')}"
        ) from error
    return CTranslate2Engine(path, context_length=context_length, threads=threads, compute_type=compute_type)


def _load_transformers(path: Path, context_length: int | None, threads: int | None) -> Engine:
    try:
        from linewise.engines.transformers_engine import TransformersEngine  # noqa: PLC0415
    except (ImportError, OSError) as error:
        raise EngineError(
            f"{path} is a Hugging Face folder, and transformers cannot be loaded ({error}); "
            f"run: {install_extra('transformers')}, or convert it: `linewise models convert {path} --to gguf`"
        ) from error
    return TransformersEngine(path, context_length=context_length, threads=threads)
