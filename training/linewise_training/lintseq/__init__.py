"""LintSeq: sample edit sequences that write a program without passing through a linter error."""

from linewise_training.lintseq.command import lintseq_command
from linewise_training.lintseq.driver import Failed, Program, Sampled, sample_sequences
from linewise_training.lintseq.errors import UnusableProgramError
from linewise_training.lintseq.plan import Plan
from linewise_training.lintseq.pool import sample_in_processes
from linewise_training.lintseq.worker import Written

__all__ = [
    "Failed",
    "Plan",
    "Program",
    "Sampled",
    "UnusableProgramError",
    "Written",
    "lintseq_command",
    "sample_in_processes",
    "sample_sequences",
]
