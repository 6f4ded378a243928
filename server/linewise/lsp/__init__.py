"""The language server: translates between an editor's LSP and the assistant, and decides nothing else."""

from __future__ import annotations

from linewise.lsp.server import LinewiseServer, serve

__all__ = ["LinewiseServer", "serve"]
