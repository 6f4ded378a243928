"""A look at edit sequences: one replayed in the terminal, a whole file of them as figures on a page."""

from linewise_training.report.command import report_command, show_command, units, write_report

__all__ = ["report_command", "show_command", "units", "write_report"]
