"""The demonstration writes real files into a fresh folder and says how to connect an editor."""

from __future__ import annotations

import pytest

import linewise.engines
from linewise import demo

WRITTEN = "@1,0\ndef f():\n    return 1\n"


@pytest.fixture
def run_demo(monkeypatch, capsys, tmp_path, scripted_engine):
    model = tmp_path / "model.gguf"
    model.touch()
    monkeypatch.setenv("LINEWISE_MODEL", str(model))
    monkeypatch.chdir(tmp_path)

    def run(scripts):
        monkeypatch.setattr(linewise.engines, "load_engine", lambda path, **_: scripted_engine(scripts))
        with pytest.raises(SystemExit) as exit_:
            demo.main()
        return exit_.value.code, capsys.readouterr().out

    return run


def test_each_run_writes_its_files_into_a_fresh_folder(run_demo, tmp_path):
    for number in ("1", "2"):
        status, out = run_demo([WRITTEN] * len(demo.TASKS))
        files = sorted((tmp_path / "demo" / number).iterdir())
        assert status == 0
        assert [file.name for file in files] == sorted(name for name, _ in demo.TASKS)
        assert all(file.read_text() == "def f():\n    return 1\n" for file in files)
        assert out.count(" compiles.") == len(demo.TASKS)
        assert ":LinewiseWrite" in out and "VS Code" in out


def test_a_demonstration_that_writes_nothing_fails(run_demo):
    status, out = run_demo(["nonsense\n"] * 100)
    assert status == 1 and "was not written" in out
