"""What a worker process starts as, in a clean environment: `main`, with the settings as its argument.

`serve` tells what it does.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys

from linewise_training.execution.memory import join_mappings, use_huge_pages


def main() -> None:
    """Make room, load what jobs use, and only then our own, which imports some of that, too."""
    gc.disable()  # what is loaded stays
    sys.path[:] = [path for path in sys.path if path not in {"", os.getcwd()}]  # noqa: PTH109
    os.environ.pop("LD_BIND_NOW", None)
    use_huge_pages()
    hooks = importlib.import_module("linewise_training.execution.preload").preload()
    serve = importlib.import_module("linewise_training.execution.serve")
    join_mappings()
    serve.work(hooks)
