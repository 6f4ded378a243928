"""The errors of LintSeq."""

from linewise.errors import LinewiseError


class UnusableProgramError(LinewiseError):
    """A program has no edit sequence: it is empty, or it has a syntax error."""
