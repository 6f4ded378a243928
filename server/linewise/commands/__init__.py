"""The commands of `linewise`, one module each; heavy imports wait until a command runs."""
