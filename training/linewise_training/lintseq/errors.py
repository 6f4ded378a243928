"""The errors of LintSeq."""

from linewise.errors import LinewiseError


class UnusableProgramError(LinewiseError):
    """A program has no edit sequence, for the reason that the message tells."""
