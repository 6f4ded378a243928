"""What the model server adds to the scheduler that it runs: to a first token, to each token, to eight writes.

    python tests/benchmarks/serving/overhead.py [--rounds N]

Both run the embedded model, one in this process and one in a server's, and take turns with the same prompts
and seeds, so that whatever else the machine does hits both alike. One thread computes in both: how many are
best is found out while they run, and two engines need not come to the same. The figures are medians.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import threading
import time
from pathlib import Path

import click

from linewise.engines.protocol import Engine, Priority, Request, Sampling, Segment
from linewise.models import embedded_model_path
from linewise.serving.client import ServerEngine
from linewise.serving.scheduler import Scheduler
from linewise.serving.starting import Starter, address_of, ask_to_stop

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


@click.command()
@click.option("--rounds", default=40, show_default=True)
def main(rounds: int) -> None:
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
        bare = Scheduler(model, lanes=LANES, slots=LANES, threads=1, speculation="off")
        try:
            for engine in (bare, server):
                generate(engine, 0, "document 0")
            alone = [[generate(engine, n, "document 0") for engine in (bare, server)] for n in range(rounds)]
            many = [[together(engine, n) for engine in (bare, server)] for n in range(rounds // 4)]
        finally:
            bare.close()
            server.close()
            address = address_of(starter.place)
            if address is not None:
                ask_to_stop(address)
            while starter.place.is_served():
                time.sleep(0.05)
        assert not list(Path(folder).glob("*.sock"))
    first = statistics.median(theirs[0] - ours[0] for ours, theirs in alone)
    long = [(ours, theirs) for ours, theirs in alone if min(ours[2], theirs[2]) > TOKENS // 8]
    each = statistics.median(theirs[1] / ours[1] for ours, theirs in long)
    rate = statistics.median(theirs / ours for ours, theirs in many)
    ours = statistics.median(found[0] for found, _ in alone), statistics.median(f[1] for f, _ in long)
    click.echo(f"scheduler alone: first token {ours[0]:.2f} ms, each {ours[1]:.3f} ms")
    click.echo(f"the server adds {first:.2f} ms to the first token, and makes each {100 * (each - 1):+.1f} %")
    click.echo(f"{LANES} writes at once: {100 * (rate - 1):+.1f} % tokens a second")


if __name__ == "__main__":
    main()
