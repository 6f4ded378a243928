"""Harvest local, permissively licensed Python with provenance, and make instruction pairs of it."""

from linewise_training.corpus.command import corpus_command
from linewise_training.corpus.harvest import Harvest, Skipped, SourceFile
from linewise_training.corpus.overlap import Decontaminator
from linewise_training.corpus.pairs import Pair, function_pairs

__all__ = [
    "Decontaminator",
    "Harvest",
    "Pair",
    "Skipped",
    "SourceFile",
    "corpus_command",
    "function_pairs",
]
