"""`linewise doctor` says of each layer of the sandbox whether it holds."""

from __future__ import annotations

from linewise_training.execution import Runner, doctor
from linewise_training.execution.languages import OTHERS


def test_each_layer_that_is_there_is_tried_and_holds():
    with Runner(1) as runner:
        layers = runner.layers()
    found = {check.name: check for check in doctor.checks()}
    for layer in layers:
        check = found[f"sandbox {layer.name}"]
        assert check.status == ("ok" if layer.active else "absent"), check
    assert {f"run {name}" for name in OTHERS} <= set(found)


def test_a_layer_that_does_not_hold_is_told(monkeypatch):
    monkeypatch.setattr(doctor, "_PROBES", dict.fromkeys(doctor._PROBES, "assert False, 'seen through'"))
    found = [check for check in doctor.checks() if check.name.startswith("sandbox")]
    assert found
    assert all(check.status == "absent" for check in found)
    assert "does not hold: AssertionError: seen through" in {check.detail for check in found}


def test_without_namespaces_the_reason_is_given(monkeypatch):
    monkeypatch.setattr(doctor, "Runner", lambda workers: Runner(workers, namespaces=False))
    found = {check.name: check for check in doctor.checks()}
    assert found["sandbox network"].status == "absent"
    assert found["sandbox network"].detail == "switched off"
    assert found["sandbox network"].advice
    assert found["sandbox resource limits"].status == "ok"
