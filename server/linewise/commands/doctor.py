"""`linewise doctor`: what is installed, whether it works, what is missing and how to get it."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Literal

import click

from linewise.commands.configured import command_configuration
from linewise.commands.model import loaded_model, model_option
from linewise.errors import LinewiseError
from linewise.installation import install_extra, pip_install

if TYPE_CHECKING:
    from linewise.configuration import Configuration
    from linewise.engines.protocol import Engine
    from linewise.formats.protocol import Format

NEEDED = (
    "click",
    "filelock",
    "h11",
    "llama-cpp-python",
    "lsprotocol",
    "numpy",
    "platformdirs",
    "prometheus-client",
    "pyflakes",
    "pygls",
    "pylint",
    "rich",
    "starlette",
    "uvicorn",
    "watchdog",
)
TRAINING = ("torch", "transformers", "tokenizers", "safetensors", "gguf", "accelerate")
PROGRAMS = {
    "nvim": "only for the Neovim plugin: https://neovim.io, 0.10 or newer",
    "node": "only to build the VS Code extension: https://nodejs.org",
    "cc": "only to build llama.cpp where no wheel fits: gcc or clang",
    "cmake": "only to build llama.cpp where no wheel fits: pip install cmake",
}
FAULTY = "def f():\n    return undefined_name\n"
SPEED_TOKENS = 64
ENTRY_POINTS = "linewise.doctor"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at.

    `failed` means that Linewise cannot work, `absent` that something optional is not there; `advice` says
    how to mend it.
    """

    name: str
    status: Literal["ok", "absent", "failed"]
    detail: str
    advice: str = ""


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@model_option
def doctor_command(as_json: bool, model_path: Path | None) -> None:
    """Check the installation: packages, model, verifiers, editors. Exit status 1 if Linewise cannot work."""
    checks = list(_examine(model_path))
    works = all(check.status != "failed" for check in checks)
    if as_json:
        click.echo(json.dumps({"ok": works, "checks": [asdict(check) for check in checks]}, indent=2))
    else:
        colours = {"ok": "green", "absent": "yellow", "failed": "red"}
        for check in checks:
            status = click.style(f"{check.status:7}", fg=colours[check.status])
            click.echo(
                f"{status} {check.name}: {check.detail}{f' -- {check.advice}' if check.advice else ''}"
            )
        click.echo("Linewise works here." if works else "Linewise cannot work here; see what failed above.")
    raise SystemExit(0 if works else 1)


def _examine(model_path: Path | None) -> Iterator[Check]:
    yield Check("python", "ok", f"{platform.python_version()} ({sys.executable})")
    yield Check("platform", "ok", f"{platform.platform()}, {os.cpu_count() or 1} processors")
    yield from _packages()
    configuration = command_configuration()
    yield from _configuration(configuration)
    yield from _model(model_path, configuration)
    yield from (_verifier(name) for name in ("pylint", "fast"))
    for program, purpose in PROGRAMS.items():
        found = shutil.which(program)
        yield Check(program, "ok", found) if found else Check(program, "absent", "not found", purpose)
    yield from _joined()


def _joined() -> Iterator[Check]:
    """What other packages have to say: functions that yield checks, found by entry point."""
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            checks = entry.load()
        except ImportError as error:
            advice = install_extra("training")
            yield Check(entry.name, "absent", f"needs {error.name or error}, which is not installed", advice)
        else:
            yield from checks()


def _packages() -> Iterator[Check]:
    yield Check("linewise", "ok", _version("linewise") or "runs from its source folder")
    for name in NEEDED:
        found = _version(name)
        advice = pip_install(name)
        yield Check(name, "ok", found) if found else Check(name, "failed", "not installed", advice)
    missing = [name for name in TRAINING if _version(name) is None]
    if missing:
        advice = f"only to train models: {install_extra('training')}"
        yield Check("training", "absent", f"not installed: {', '.join(missing)}", advice)
    else:
        yield Check("training", "ok", f"torch {_version('torch')}, transformers {_version('transformers')}")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _configuration(configuration: Configuration) -> Iterator[Check]:
    """Whether all that is set is known and permitted."""
    for problem in configuration.problems:
        yield Check("configuration", "absent" if problem.refused else "failed", problem.message)
    if not configuration.problems:
        yield Check("configuration", "ok", f"{len(configuration.origins)} set; see `linewise config show`")


def _model(path: Path | None, configuration: Configuration) -> Iterator[Check]:
    """Whether the model loads, has a known format, and generates; its speed."""
    origin = configuration.origin("model")
    chosen = "--model" if path else "the one in use" if origin.level == "default" else str(origin)
    if path is None and configuration.settings.engine.kind == "http":
        chosen = "http.addresses"
    started = perf_counter()
    try:
        with loaded_model(path, configuration.settings) as (engine, form):
            info, seconds = engine.info, perf_counter() - started
            # A server does not tell how large its model is.
            size = f"{info.parameters / 1e6:.1f}M parameters, {info.size_bytes / 2**20:.1f} MiB, "
            yield Check(
                "model",
                "ok",
                f"{info.name} ({chosen}): {size if info.size_bytes else ''}context {info.context_length}, "
                f"format {form.name}, loaded in {seconds:.2f} s",
            )
            yield _generation(engine, form)
    except LinewiseError as error:
        advice = "see `linewise models list`" if chosen == "the one in use" else f"check {chosen}"
        yield Check("model", "failed", str(error), advice)


def _generation(engine: Engine, form: Format) -> Check:
    from linewise.edits import EditLog  # noqa: PLC0415
    from linewise.engines.protocol import Request, Sampling  # noqa: PLC0415
    from linewise.formats import Cursor, FimFormat  # noqa: PLC0415

    if form.name == FimFormat.name:  # knows no instructions
        log = EditLog.open("def add(first, second):\n    ")
        prompt = form.inline_prompt(log, "example.py", Cursor(1, 4))
    else:
        prompt = form.write_prompt(EditLog.open(""), "example.py", "a function that adds two numbers")
    sampling = Sampling(temperature=1.0, seed=1, max_tokens=SPEED_TOKENS)
    started = perf_counter()
    times = [perf_counter() for _ in engine.stream(Request(prompt.segments, sampling, prompt.healed))]
    if not times:
        return Check("generation", "failed", "the model generated nothing", "choose another model")
    first = 1000 * (times[0] - started)
    speed = f", {(len(times) - 1) / (times[-1] - times[0]):.0f} tokens/s" if len(times) > 1 else ""
    return Check("generation", "ok", f"{len(times)} tokens, the first after {first:.0f} ms{speed}")


def _verifier(name: str) -> Check:
    """Whether the verifier finds a fault that is there, and how long that takes."""
    from linewise.verify import get_verifier  # noqa: PLC0415

    advice = pip_install("--force-reinstall", "pylint", "pyflakes")
    try:
        verifier = get_verifier(name)
        verifier.problems([FAULTY])
        started = perf_counter()  # the first call also paid for its imports
        found = verifier.problems([FAULTY])
        seconds = perf_counter() - started
    except (ImportError, LinewiseError) as error:
        return Check(f"verifier {name}", "failed", str(error), advice)
    if not any(problem.line == 1 for problem in found[0]):
        return Check(f"verifier {name}", "failed", "did not find an undefined name", advice)
    return Check(f"verifier {name}", "ok", f"{1000 * seconds:.1f} ms for a small file")
