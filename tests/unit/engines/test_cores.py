"""Threads are counted by cores, not by hardware threads or by what a container may not use."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from linewise.engines.cores import default_threads, physical_cores

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /sys")


@pytest.fixture
def eight_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with four cores of two threads each."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    for cpu in range(8):
        topology = tmp_path / f"cpu{cpu}" / "topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(f"{cpu % 4},{cpu % 4 + 4}\n")
    return tmp_path


@pytest.mark.parametrize(("quota", "cores"), [("max 100000", 4), ("250000 100000", 3), ("10000 100000", 1)])
def test_hyperthreads_and_the_quota_limit_the_count(eight_threads: Path, quota: str, cores: int) -> None:
    (eight_threads / "cpu.max").write_text(quota)
    assert physical_cores(eight_threads, eight_threads / "cpu.max") == cores


def test_without_topology_every_allowed_processor_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 3, 5})
    assert physical_cores(tmp_path, tmp_path / "absent") == 3


def test_one_core_is_left_to_others_while_generating() -> None:
    threads = default_threads()
    assert threads.reading == physical_cores()
    assert threads.generating == max(1, threads.reading - 1)
