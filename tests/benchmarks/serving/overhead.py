"""What the model server adds to an engine in this process: to a first token, to each token, to eight writes.

    python tests/benchmarks/serving/overhead.py [--against scheduler] [--rounds N]

It is compared with the plain llama.cpp engine, which generates one text after the other in the thread that
asks, or with the scheduler that the server runs, too.

Both run the embedded model, one in this process and one in a server's, and take turns with the same prompts
and seeds, now one first and now the other, so that whatever else the machine does hits both alike. One thread
computes in both: how many are best is found out while they run, and two engines need not come to the same.
The engine is kept to the core on which the server's thread computed last (Linux): by itself each stays on a
core of its own, and the cores of a virtual machine differ, by up to a tenth when their host is busy.

The figures are medians, those that compare of the turns' own; with each stands how far chance may have moved
it (its standard error, from the quartiles).
"""

from __future__ import annotations

import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import click

from linewise.engines.llama_cpp import LlamaCppEngine
from linewise.engines.protocol import Engine, Priority, Request, Sampling, Segment
from linewise.models import embedded_model_path
from linewise.serving.client import ServerEngine
from linewise.serving.scheduler import Scheduler
from linewise.serving.starting import Starter, address_of, ask_to_stop

Found = TypeVar("Found")
Pair = tuple[Engine, Engine]

LANES = 8
TOKENS = 128
FILE = (
    Segment("<|file|>", special=True),
    Segment("example.py\n"),
    Segment("<|diff|>", special=True),
    Segment("@1,0\n" + "".join(f"value_{line} = compute({line}, other)\n" for line in range(50))),
    Segment("<|diff|>", special=True),
)


def generate(
    engine: Engine, number: int, slot: str, priority: Priority = "inline"
) -> tuple[float, float, int]:
    """Milliseconds to the first token and for each further one, and how many there were."""
    typed = Segment("@50,1\nvalue = comp" + "x" * (number % 8))
    sampling = Sampling(temperature=1.0, seed=number, max_tokens=TOKENS)
    began = time.perf_counter()
    times = [
        time.perf_counter()
        for _ in engine.stream(Request((*FILE, typed), sampling, slot=slot, priority=priority))
    ]
    each = (times[-1] - times[0]) / max(1, len(times) - 1)
    return 1000 * (times[0] - began), 1000 * each, len(times)


def computing_thread(engine: Engine, process: int) -> int:
    """The native id of the thread of `process` in which `engine` computes."""
    before = _nanoseconds(process)
    for number in range(3):
        generate(engine, number, "document 0")
    after = _nanoseconds(process)
    return max(after, key=lambda thread: after[thread] - before.get(thread, 0))


def _nanoseconds(process: int) -> dict[int, int]:
    """What each thread of `process` has had of processors."""
    threads = Path(f"/proc/{process}/task").iterdir()
    return {int(thread.name): int((thread / "schedstat").read_text().split()[0]) for thread in threads}


def _core_of(thread: int) -> int:
    """The core on which `thread` runs, or ran last (proc(5): the 39th field)."""
    return int(Path(f"/proc/{thread}/stat").read_text().rpartition(")")[2].split()[36])


@contextmanager
def on_the_core(threads: Sequence[int] | None) -> Iterator[None]:
    """Keep the first of `threads` to the core of the other; None: leave them as they are."""
    if threads is None:
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(threads[0], {_core_of(threads[1])})
    try:
        yield
    finally:
        os.sched_setaffinity(threads[0], cores)


def in_turns(
    measure: Callable[[Engine, int], Found], pair: Pair, rounds: int, threads: Sequence[int] | None
) -> list[tuple[Found, Found]]:
    """What `measure` finds of both engines in each round; `threads` are those in which they compute."""

    def of_the_bare(number: int) -> Found:
        with on_the_core(threads):
            return measure(pair[0], number)

    found = []
    for number in range(rounds):
        if number % 2:
            ours = of_the_bare(number)
            found.append((ours, measure(pair[1], number)))
        else:
            theirs = measure(pair[1], number)
            found.append((of_the_bare(number), theirs))
    return found


def middle(values: Sequence[float]) -> tuple[float, float]:
    """The median of `values`, and its standard error were they normal."""
    low, median, high = statistics.quantiles(values, n=4)
    return median, 1.253 * (high - low) / 1.349 / len(values) ** 0.5


def together(engine: Engine, number: int) -> float:
    """Tokens a second of LANES writes at once."""
    counts: list[int] = []

    def work(lane: int) -> None:
        counts.append(generate(engine, LANES * number + lane, f"document {lane}", "write")[2])

    threads = [threading.Thread(target=work, args=(lane,)) for lane in range(LANES)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - began)


def _computing_threads(pair: Pair, starter: Starter) -> Sequence[int] | None:
    record = starter.place.read_record()
    if not record or not Path("/proc/self/task").exists():
        click.echo("Which cores they compute on is left to the system: there is no /proc here.")
        return None
    return computing_thread(pair[0], os.getpid()), computing_thread(pair[1], record.pid)


@click.command()
@click.option("--rounds", default=160, show_default=True)
@click.option("--against", type=click.Choice(["engine", "scheduler"]), default="engine", show_default=True)
def main(rounds: int, against: str) -> None:
    """Measure, and print the figures."""
    model = embedded_model_path()
    variant = {
        "LINEWISE_ENGINE_LANES": str(LANES),
        "LINEWISE_ENGINE_SLOTS": str(LANES),
        "LINEWISE_ENGINE_SPECULATION": "off",
        "LINEWISE_THREADS": "1",
    }
    with tempfile.TemporaryDirectory(prefix="lw-") as folder:
        environment = {**os.environ, "LINEWISE_RUNTIME_DIR": folder}
        starter = Starter(model, variant=variant, environment=environment)
        server = ServerEngine(starter)
        bare: Engine
        if against == "scheduler":
            bare = Scheduler(model, lanes=LANES, slots=LANES, threads=1, speculation="off")
        else:
            bare = LlamaCppEngine(model, threads=1)
        try:
            for engine in (bare, server):
                generate(engine, 0, "document 0")
            pair = bare, server
            threads = _computing_threads(pair, starter)
            alone = in_turns(lambda engine, n: generate(engine, n, "document 0"), pair, rounds, threads)
            many = in_turns(together, pair, max(4, rounds // 8), threads)
        finally:
            bare.close()
            server.close()
            address = address_of(starter.place)
            if address is not None:
                ask_to_stop(address)
            while starter.place.is_served():
                time.sleep(0.05)
        assert not list(Path(folder).glob("*.sock"))
    first = middle([theirs[0] - ours[0] for ours, theirs in alone])
    long = [(ours, theirs) for ours, theirs in alone if min(ours[2], theirs[2]) > TOKENS // 8]
    each = middle([100 * (theirs[1] / ours[1] - 1) for ours, theirs in long])
    rate = middle([100 * (theirs / ours - 1) for ours, theirs in many])
    ours = statistics.median(found[0] for found, _ in alone), statistics.median(f[1] for f, _ in long)
    click.echo(f"{against} alone: first token {ours[0]:.2f} ms, each {ours[1]:.3f} ms")
    click.echo(f"the server adds {first[0]:.2f} ms (± {first[1]:.2f}) to the first token (at most 3)")
    click.echo(f"and makes each {each[0]:+.1f} % longer (± {each[1]:.1f}; at most 3)")
    click.echo(f"{LANES} writes at once: {rate[0]:+.1f} % tokens a second (± {rate[1]:.1f})")


if __name__ == "__main__":
    main()
