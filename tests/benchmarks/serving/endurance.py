"""An hour of typing in eight documents, compressed in time: does the server's memory stay, does it err?

    python tests/benchmarks/serving/endurance.py [--minutes 60] [--keys-a-minute 200]

Eight threads type in a document each, from 100 to 2,000 lines long, as fast as they are answered; every
fourth key asks for a completion, and after every 330th another document is opened. Prints the resident memory
of the server and of this process (the editors' side) as the hour goes on. Exit status 1 if a request failed,
or if the server's memory grew by more than a tenth after the first quarter.
"""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
from running import Typist, real_lines, served, server_pid

from linewise.assistant import InlineOptions, complete
from linewise.engines.protocol import Engine
from linewise.errors import BusyError, LinewiseError
from linewise.formats import get_format

_DOCUMENTS = 8
_KEYS_A_COMPLETION = 4
_KEYS_A_DOCUMENT = 330  # then another one is opened
_PARTS = 8  # of the hour, after each of which memory is looked at


def resident(process: int | str) -> float:
    """MiB of memory that a process has."""
    pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / (1 << 20)


def typing(engine: Engine, number: int, keys: int) -> tuple[int, int, list[str]]:
    """Type so many keys; completions, tokens, and what went wrong."""
    chance = random.Random(number)
    completions = tokens = 0
    errors: list[str] = []
    typist = None
    for key in range(keys):
        if typist is None or key % _KEYS_A_DOCUMENT == 0:
            typist = Typist(real_lines(chance.choice((100, 200, 500, 2000))), f"document_{number}_{key}.py")
        cursor = typist.key()
        if key % _KEYS_A_COMPLETION:
            continue
        try:
            found = complete(
                typist.document, cursor, engine=engine, format=get_format(engine.info.format or ""),
                options=InlineOptions(max_tokens=16),
            )  # fmt: skip
        except BusyError:
            errors.append("busy")
        except LinewiseError as error:
            errors.append(f"{type(error).__name__}: {error}")
        else:
            completions += 1
            tokens += found.tokens if found else 0
    return completions, tokens, errors


@click.command()
@click.option("--minutes", default=60.0, show_default=True)
@click.option("--keys-a-minute", default=200, show_default=True)
def main(minutes: float, keys_a_minute: int) -> None:
    """Type, and print what came of it."""
    keys = round(minutes * keys_a_minute / _PARTS)
    errors: list[str] = []
    completions = tokens = 0
    sizes = []
    began = time.perf_counter()
    with served(lanes=str(_DOCUMENTS), slots="16") as engine, ThreadPoolExecutor(_DOCUMENTS) as pool:
        process = server_pid(engine)
        for part in range(_PARTS):
            numbers = range(part * _DOCUMENTS, (part + 1) * _DOCUMENTS)
            for asked, made, wrong in pool.map(lambda number: typing(engine, number, keys), numbers):
                completions, tokens, errors = completions + asked, tokens + made, errors + wrong
            sizes.append(resident(process))
            click.echo(
                f"{minutes * (part + 1) / _PARTS:5.1f} minutes: server {sizes[-1]:.1f} MiB, "
                f"editors {resident('self'):.1f} MiB, {len(errors)} errors"
            )
    click.echo(
        f"{completions} completions, {tokens} tokens, in {time.perf_counter() - began:.0f} s; "
        f"the server has {100 * (sizes[-1] / sizes[_PARTS // 4 - 1] - 1):+.1f} % since its first quarter"
    )
    for error in sorted(set(errors)):
        click.echo(f"{errors.count(error)} times: {error}", err=True)
    raise SystemExit(1 if errors or sizes[-1] > 1.1 * sizes[_PARTS // 4 - 1] else 0)


if __name__ == "__main__":
    main()
