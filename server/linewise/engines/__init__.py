"""Engines: tokens in, tokens out. `load_engine` opens a model file; the protocol says what it can do."""

from __future__ import annotations

from pathlib import Path

from linewise.engines.protocol import CancelSignal, Engine, ModelInfo, Request, Sampling, Segment, Token
from linewise.errors import EngineError
from linewise.installation import pip_install

__all__ = [
    "CancelSignal",
    "Engine",
    "ModelInfo",
    "Request",
    "Sampling",
    "Segment",
    "Token",
    "load_engine",
]


def load_engine(path: Path, *, context_length: int | None = None, threads: int | None = None) -> Engine:
    """Engine for the GGUF model file at `path`.

    `context_length` is in tokens, `threads` in processor threads; both have sensible defaults. Raises
    ModelError when the file is missing, damaged or not a model, EngineError when llama.cpp is not usable.
    """
    # Imported here because it takes a third of a second, which a command that loads no model need not wait.
    try:
        from linewise.engines.llama_cpp import LlamaCppEngine  # noqa: PLC0415
    except (ImportError, OSError, RuntimeError) as error:
        raise EngineError(
            f"llama.cpp cannot be loaded ({error}); "
            f"run: {pip_install('--force-reinstall', 'llama-cpp-python')}"
        ) from error
    return LlamaCppEngine(path, context_length=context_length, threads=threads)
