"""Eight documents at once: tokens a second against llama.cpp's own server, and keystrokes during a write.

    python tests/benchmarks/serving/eight_documents.py [--peer PYTHON] [--rounds 5]

PYTHON is one where the package xllamacpp is installed, which carries llama.cpp's server; it serves the same
file with eight slots. Both servers are asked by eight threads of this process, in turns, for the same
prompts. Keystrokes are inline requests, asked to their first token while
nothing else runs, and while a long write streams in another document. The figures are medians.
"""

from __future__ import annotations

import http.client
import json
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import click
from running import Typist, peer, prompt_of, real_lines, served, write_request

from linewise.assistant import InlineOptions, complete
from linewise.engines.protocol import Engine
from linewise.formats import get_format

_DOCUMENTS = 8
_TOKENS = 128
_KEYS = 40


def together(ask: Callable[[int, int], int], number: int) -> float:
    """Tokens a second of one request in each document at once, twice over."""

    def work(document: int) -> int:
        return sum(ask(document, 2 * number + again) for again in range(2))

    began = time.perf_counter()
    with ThreadPoolExecutor(_DOCUMENTS) as pool:
        count = sum(pool.map(work, range(_DOCUMENTS)))
    return count / (time.perf_counter() - began)


def ask_ours(engine: Engine) -> Callable[[int, int], int]:
    """Tokens of a write in a document."""
    return lambda document, seed: sum(1 for _ in engine.stream(write_request(document, seed, _TOKENS)))


def ask_peer(address: str) -> Callable[[int, int], int]:
    """The same of llama.cpp's server: its own endpoint, each document in a slot of its own."""
    parts = urlsplit(address)

    def ask(document: int, seed: int) -> int:
        body = {
            "prompt": "".join(segment.text for segment in prompt_of(document)),
            "id_slot": document, "cache_prompt": True, "stream": True, "n_predict": _TOKENS, "seed": seed,
            "temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "samplers": ["temperature"],
        }  # fmt: skip
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
        connection.request("POST", "/completion", json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        last = b"{}"
        while line := response.readline():
            if line.startswith(b"data: {"):
                last = line[len(b"data: ") :]
        connection.close()
        told = json.loads(last)
        if response.status != 200 or "tokens_predicted" not in told:
            raise click.ClickException(f"llama.cpp's server said {response.status}: {told}")
        return int(told["tokens_predicted"])

    return ask


def keystrokes(typist: Typist, engine: Engine) -> list[float]:
    """Milliseconds from each key to its first token; a person's keys are some time apart."""
    found = []
    for _ in range(_KEYS):
        began = time.perf_counter()
        complete(
            typist.document, typist.key(), engine=engine, format=get_format(engine.info.format or ""),
            options=InlineOptions(max_tokens=1),
        )  # fmt: skip
        found.append(1000 * (time.perf_counter() - began))
        time.sleep(0.02)
    return found


def during_a_write(typist: Typist, engine: Engine) -> list[float]:
    """`keystrokes` while another document is written in."""
    over = threading.Event()

    def work() -> int:
        count = seed = 0
        while not over.is_set():
            count += sum(1 for _ in engine.stream(write_request(1, seed, 256), over))
            seed += 1
        return count

    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(work)
        try:
            found = keystrokes(typist, engine)
        finally:
            over.set()
        assert written.result(), "nothing was written meanwhile"
    return found


@click.command()
@click.option("--peer", "python", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--rounds", default=5, show_default=True)
@click.option("--threads", type=int, help="Processor threads of our server.  [default: as it chooses]")
@click.option("--peer-threads", default=os.cpu_count(), show_default=True)
def main(python: Path | None, rounds: int, threads: int | None, peer_threads: int) -> None:
    """Measure, and print the figures."""
    with ExitStack() as stack:
        engine = stack.enter_context(served(threads, lanes=str(_DOCUMENTS), slots="16"))
        typist = Typist(real_lines(200))
        times = [(keystrokes(typist, engine), during_a_write(typist, engine)) for _ in range(rounds)]
        asks = [ask_ours(engine)]
        if python:
            context = engine.info.context_length
            asks.append(ask_peer(stack.enter_context(peer(python, _DOCUMENTS, context, peer_threads))))
        rates = [[together(ask, number) for ask in asks] for number in range(rounds + 1)][1:]
    idle, busy = (median(time for found in times for time in found[at]) for at in range(2))
    click.echo(f"first token of a keystroke: idle {idle:.2f} ms, during a write {busy:.2f} ms")
    ratio = median(median(found[1]) / median(found[0]) for found in times)
    click.echo(f"during a write against idle: {ratio:.2f} times (at most 2)")
    click.echo(f"{_DOCUMENTS} documents at once: {median(rate[0] for rate in rates):.0f} tokens a second")
    if python:
        click.echo(f"llama.cpp's server: {median(rate[1] for rate in rates):.0f}")
        ratio = median(rate[0] / rate[1] for rate in rates)
        click.echo(f"ours against llama.cpp's: {ratio:.2f} (at least 1)")


if __name__ == "__main__":
    main()
