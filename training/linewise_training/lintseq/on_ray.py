"""LintSeq on Ray Data: the same stage on a cluster, or on all cores of one machine.

Each Ray task takes a block of programs through a worker process of its own, as the local backend does: so
what hangs or crashes the linter costs one program there, too, and the outcomes are the same to the byte.
Programs are handed to Ray in windows, so that an input of any length is never in memory whole.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import islice
from typing import Any

from linewise.errors import LinewiseError
from linewise.installation import install_extra
from linewise.verify import Verifier
from linewise_training.lintseq.cluster import require_cluster
from linewise_training.lintseq.driver import Program
from linewise_training.lintseq.plan import Plan
from linewise_training.lintseq.pool import sample_in_processes
from linewise_training.lintseq.worker import Outcome

_BLOCK = 256  # programs a task: what starting a linter costs is little beside them
_WINDOW_BLOCKS = 8  # blocks in flight for each processor


def require_ray() -> Any:
    """The module `ray`, with Ray Data, once the cluster that RAY_ADDRESS names has answered.

    Raises LinewiseError where Ray is not installed or the cluster is not there.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing leaves the machine
    require_cluster(os.environ.get("RAY_ADDRESS", ""))
    try:
        import ray.data  # noqa: PLC0415 (heavy, and only for those who ask for it)
    except ImportError as error:
        raise LinewiseError(
            f"--backend ray needs Ray Data, which is not installed; install it with: {install_extra('ray')}"
        ) from error
    return ray


def sample_on_ray(
    programs: Iterable[Program],
    make_verifier: Callable[[], Verifier],
    plan: Plan,
    *,
    workers: int,
    timeout: float,
) -> Generator[Outcome, None, None]:
    """What each program gives, in the programs' order; some thousand for each processor are held at a time.

    Uses the cluster that RAY_ADDRESS names, with all its processors, or starts a local one with `workers`
    processors, which it ends afterwards. `timeout` is in seconds, as in `sample_in_processes`. Raises
    LinewiseError where Ray is not installed or fails, or a verifier cannot work at all.
    """
    ray = require_ray()

    def sample(row: dict[str, bytes]) -> dict[str, bytes]:
        chunk = pickle.loads(row["programs"])
        found: list[Outcome] | LinewiseError
        try:
            found = list(sample_in_processes(chunk, make_verifier, plan, workers=1, timeout=timeout))
        except LinewiseError as error:
            found = error  # a result like any other: Ray would wrap it, and print where it came from
        # Pickled, because Arrow has no column type for it.
        return {"outcomes": pickle.dumps(found)}

    with _cluster(ray, workers):
        held = _BLOCK * _WINDOW_BLOCKS * int(ray.cluster_resources().get("CPU", workers))
        remaining = iter(programs)
        while window := list(islice(remaining, held)):
            blocks = [
                {"programs": pickle.dumps(window[at : at + _BLOCK])} for at in range(0, len(window), _BLOCK)
            ]
            dataset = ray.data.from_items(blocks, override_num_blocks=len(blocks))
            # Blocks may be done in any order; each outcome waits for those before it.
            early: dict[int, Outcome] = {}
            with contextlib.closing(_rows(dataset.map(sample))) as results:
                for program in window:
                    while program.index not in early:
                        early.update((outcome.index, outcome) for outcome in _next(ray, results))
                    yield early.pop(program.index)


def _rows(dataset: Any) -> Generator[dict[str, bytes], None, None]:
    """The rows as they come; closing it ends Ray's own iterator, which must not outlive the cluster."""
    yield from dataset.iter_rows()


def _next(ray: Any, results: Iterator[dict[str, bytes]]) -> list[Outcome]:
    """What the next block to be done gave."""
    try:
        found: list[Outcome] | LinewiseError = pickle.loads(next(results)["outcomes"])
    except (ray.exceptions.RayError, StopIteration) as error:
        cause = (str(error) or "a block of programs gave nothing").strip().splitlines()[-1]
        raise LinewiseError(
            f"Ray failed: {cause}; what was done is kept: give the same command again to go on"
        ) from error
    if isinstance(found, LinewiseError):
        raise found
    return found


@contextlib.contextmanager
def _cluster(ray: Any, workers: int) -> Iterator[None]:
    """A connection to Ray that says nothing of its own; what was there before is left as it was."""
    context = ray.data.DataContext.get_current()
    bars, context.enable_progress_bars = context.enable_progress_bars, False
    logger = logging.getLogger("ray.data")
    level = logger.level
    logger.setLevel(logging.ERROR)
    started_here = not ray.is_initialized()
    try:
        if started_here:
            _start(ray, workers)
        yield
    finally:
        if started_here:
            ray.shutdown()
        logger.setLevel(level)
        context.enable_progress_bars = bars


def _start(ray: Any, workers: int) -> None:
    address = os.environ.get("RAY_ADDRESS")
    own = {} if address else {"num_cpus": workers, "include_dashboard": False}
    try:
        ray.init(address=address or "local", logging_level=logging.ERROR, log_to_driver=False, **own)
    except (OSError, RuntimeError, ValueError) as error:
        where = f"reach the cluster {address} (RAY_ADDRESS)" if address else "start a local cluster"
        # Ray does not say so itself: it calls a cluster that wants a token one that it cannot connect to.
        token = "; where it was started with tokens, set RAY_AUTH_MODE=token" if address else ""
        raise LinewiseError(f"Ray could not {where}: {error}{token}") from error
