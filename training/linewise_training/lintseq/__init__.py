"""LintSeq: sample edit sequences that write a program without passing through a linter error."""

from linewise_training.lintseq.command import lintseq_command
from linewise_training.lintseq.driver import Failed, Program, Sampled, sample_sequences
from linewise_training.lintseq.errors import UnusableProgramError

__all__ = [
    "Failed",
    "Program",
    "Sampled",
    "UnusableProgramError",
    "lintseq_command",
    "sample_sequences",
]
