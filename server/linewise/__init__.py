"""Linewise: a local code assistant that writes code as a stream of linter-checked edits."""

__version__ = "0.1.0"
