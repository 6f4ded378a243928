"""How a program of each language is written to files, compiled and started."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from linewise_training.execution.limits import Limits


def _harness() -> dict[str, str]:
    """Text by file name, read before the walls hide it; without `pathlib`, see `zygote`."""
    folder = os.path.join(os.path.dirname(__file__), "harness")  # noqa: PTH118, PTH120
    found = {}
    for name in os.listdir(folder):  # noqa: PTH208
        with open(os.path.join(folder, name), encoding="utf-8") as stream:  # noqa: PTH118, PTH123
            found[name] = stream.read()
    return found


_HARNESS = _harness()
TYPESCRIPT_SERVER = _HARNESS["typescript.js"]

# A failed assertion or a test's own complaint, as tests of these languages word it, not a fault of the run.
_ASSERTION = re.compile(r"assert|did not pass|failed to pass|test case", re.IGNORECASE)
# What is missing here, not wrong there.
_MISSING = re.compile(
    r"fatal error: .*: No such file or directory|error: package [\w.]+ does not exist"
    r"|Cannot find module '(?![./])|could not import \S+ \((?:open : )?(?:file not found|no such file)"
    r"|can't find import: \"|: permission denied$",
    re.MULTILINE,
)
# Lines that say what went wrong, the most telling first.
_FAULTS = (
    re.compile(r"^(Exception in thread|panic:|fatal error:|(Uncaught )?[\w.$]*(Error|Exception)\b)"),
    re.compile(r"\berror\b|Assertion .* failed|Error at"),
)


@dataclass(frozen=True, slots=True)
class GoTools:
    """Where Go's compiler and linker are, and what tells them where compiled packages are (`-importcfg`)."""

    folder: str
    packages: str


@dataclass(frozen=True, slots=True)
class Program:
    """Files to write, commands that compile them (each must exit with 0), and the command that runs."""

    files: Mapping[str, str]
    build: tuple[tuple[str, ...], ...]
    run: tuple[str, ...]
    compile_status: int = 0
    """An exit status of `run` by which it says that the program does not compile; 0 if it never does."""


@dataclass(frozen=True, slots=True)
class Language:
    """One language: how programs are made, which commands that takes, and how they are got."""

    program: Callable[[str, Limits, GoTools | None], Program]
    commands: tuple[str, ...]
    install: str
    reserves: bool
    """Whether it reserves much more address space than it uses."""

    def missing(self) -> str:
        """What is not installed and how to install it, or nothing."""
        from shutil import which  # noqa: PLC0415 -- see `zygote`

        absent = [name for name in self.commands if which(name) is None]
        return f"{' and '.join(absent)} not found; install with: {self.install}" if absent else ""


def _c(suffix: str, command: str, standard: str) -> Callable[[str, Limits, GoTools | None], Program]:
    def program(source: str, limits: Limits, _: GoTools | None) -> Program:  # noqa: ARG001
        flags = (f"-std={standard}", "-O1", "-w", "-Wl,--wrap=main")
        build = (
            command,
            *flags,
            f"solution.{suffix}",
            "-x",
            "c",
            "-std=gnu17",
            "main.c.in",
            "-o",
            "solution",
            "-lm",
        )
        files = {f"solution.{suffix}": source, "main.c.in": _HARNESS["main.c"]}
        return Program(MappingProxyType(files), (build,), ("./solution",))

    return program


def _javascript(source: str, limits: Limits, _: GoTools | None) -> Program:
    files = {"solution.js": source, "main.js": _HARNESS["main.js"]}
    heap = f"--max-old-space-size={limits.memory >> 21}"
    return Program(MappingProxyType(files), (), ("node", heap, "main.js"), compile_status=65)


def _java(source: str, limits: Limits, _: GoTools | None) -> Program:
    lean = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-XX:-UsePerfData")
    heap = f"-Xmx{limits.memory >> 21}m"
    compiler = ("javac", *(f"-J{option}" for option in (*lean, heap)), "-nowarn", "-proc:none", "-d", ".")
    files = {"Main.java": one_java_file(source), "Launcher.java": _HARNESS["Launcher.java"]}
    run = ("java", *lean, heap, "-ea", "-cp", ".", "LinewiseLauncher", java_main_class(source))
    return Program(MappingProxyType(files), ((*compiler, "Main.java", "Launcher.java"),), run)


def one_java_file(source: str) -> str:
    """A source of several Java files' parts as one file that may have any name.

    Imports go first, the package goes, and no class is public: its file would have to have its name.
    """
    imports = re.findall(r"^[ \t]*import\s+(?:static\s+)?[\w.]+(?:\.\*)?\s*;", source, re.MULTILINE)
    rest = re.sub(
        r"^[ \t]*(?:import\s+(?:static\s+)?[\w.]+(?:\.\*)?|package\s+[\w.]+)\s*;", "", source, flags=re.M
    )
    rest = re.sub(
        r"^public\s+((?:(?:final|abstract|sealed|strictfp)\s+)*(?:class|interface|enum|record)\s)",
        r"\1",
        rest,
        flags=re.MULTILINE,
    )
    return "\n".join(dict.fromkeys(line.strip() for line in imports)) + "\n" + rest


def java_main_class(source: str) -> str:
    """The class whose `main` is to run: the last one declared before the last `main`."""
    mains = list(re.finditer(r"\bstatic\s+(?:public\s+)?void\s+main\s*\(", source))
    before = source[: mains[-1].start()] if mains else source
    classes: list[str] = re.findall(
        r"^(?:\w+\s+)*(?:class|enum|record|interface)\s+(\w+)", before, re.MULTILINE
    )
    return classes[-1] if classes else "Main"


def _go(source: str, limits: Limits, tools: GoTools | None) -> Program:  # noqa: ARG001
    assert tools
    name = f"linewise{os.urandom(8).hex()}"  # drawn now: no program can call it
    renamed = re.sub(r"^func\s+main\s*\(\s*\)", f"func {name}main()", source, flags=re.MULTILINE)
    if not re.search(r"^package\s", renamed, re.MULTILINE):
        renamed = f"package main\n{renamed}"
    files = {
        "main.go": _HARNESS["main.go"].replace("RENAMED", name),
        "solution.go": renamed,
        "packages": tools.packages,
    }
    config = ("-importcfg", "packages")
    build = (
        (
            f"{tools.folder}/compile",
            "-o",
            "main.a",
            "-p",
            "main",
            "-complete",
            "-pack",
            *config,
            "main.go",
            "solution.go",
        ),
        (f"{tools.folder}/link", "-o", "solution", "-s", "-w", *config, "main.a"),
    )
    return Program(MappingProxyType(files), build, ("./solution",))


_NODE = "https://nodejs.org, or apt-get install nodejs"
OTHERS: Mapping[str, Language] = MappingProxyType(
    {
        "c": Language(_c("c", "gcc", "gnu17"), ("gcc",), "apt-get install gcc libc6-dev", False),
        "cpp": Language(_c("cpp", "g++", "gnu++17"), ("g++",), "apt-get install g++", False),
        "java": Language(_java, ("javac", "java"), "apt-get install default-jdk-headless", True),
        "javascript": Language(_javascript, ("node",), _NODE, True),
        "typescript": Language(
            _javascript, ("node", "tsc"), f"npm install --global typescript ({_NODE})", True
        ),
        "go": Language(_go, ("go",), "apt-get install golang-go", True),
    }
)


def fault_in(output: str) -> str:
    """The line of what a compiler or a program printed that tells best what went wrong."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    told = [line for pattern in _FAULTS for line in lines if pattern.search(line)]
    return (told or lines[-1:] or [""])[0][:2000]


def is_missing(output: str) -> bool:
    """Whether a compiler or a program says that a module or header is not here."""
    return bool(_MISSING.search(output))


def is_assertion(message: str) -> bool:
    """Whether a program was ended by a test's assertion."""
    return bool(_ASSERTION.search(message))
