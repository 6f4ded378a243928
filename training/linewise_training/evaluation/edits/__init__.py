"""What an editor's user feels: completions at cursors in held-out files and commits, hunks by instruction."""

from linewise_training.evaluation.edits.command import edits_command

__all__ = ["edits_command"]
