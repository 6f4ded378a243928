"""Small changes that people ask for, made in real code by its syntax tree: renamings, type hints, imports."""

from linewise_training.changes.code import Change, Code, read_code
from linewise_training.changes.draw import KINDS, draw

__all__ = ["KINDS", "Change", "Code", "draw", "read_code"]
