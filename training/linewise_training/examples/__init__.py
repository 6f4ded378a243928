"""Training examples: documents, edits and cursors, written as the format writes them for the editor."""

from linewise_training.examples.editing import editing_example, function_example
from linewise_training.examples.example import Example, Piece, encode
from linewise_training.examples.instructions import rephrase
from linewise_training.examples.plain import plain_examples
from linewise_training.examples.writing import writing_example

__all__ = [
    "Example",
    "Piece",
    "editing_example",
    "encode",
    "function_example",
    "plain_examples",
    "rephrase",
    "writing_example",
]
