"""How fast a stage learns: tokens a second, and the share of the device's peak that this is."""

from __future__ import annotations

import time

# Dense bfloat16 FLOP/s of NVIDIA's data sheets (without sparsity; SXM where there are several), by a part of
# the name that the driver reports. A longer name stands before one that it contains.
PEAK_FLOPS = {
    "B200": 2250e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "A100": 312e12,
    "A40": 150e12,
    "A10G": 70e12,
    "A10": 125e12,
    "L40S": 362e12,
    "L40": 181e12,
    "L4": 121e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
}


def peak_flops(device: str) -> float | None:
    """Peak bfloat16 FLOP/s of the device with this name, None for one that is not known."""
    return next((flops for name, flops in PEAK_FLOPS.items() if name in device), None)


class Throughput:
    """Tokens a second since the last reading, and model FLOPs utilization where the peak is known.

    `flops_per_token` is of a training step, `peak` the FLOP/s of all devices together.
    """

    def __init__(self, tokens_per_step: int, flops_per_token: float, peak: float | None) -> None:
        self._tokens_per_step = tokens_per_step
        self._flops_per_token = flops_per_token
        self._peak = peak
        self._step: int | None = None
        self._since = 0.0

    def read(self, step: int, now: float | None = None) -> dict[str, float]:
        """`tokens_per_second` and `mfu` (0 to 1); empty at the first reading and where no step was done."""
        now = time.monotonic() if now is None else now
        before, since, self._step, self._since = self._step, self._since, step, now
        if before is None or step <= before or now <= since:
            return {}
        rate = (step - before) * self._tokens_per_step / (now - since)
        figures = {"tokens_per_second": rate}
        if self._peak:
            figures["mfu"] = rate * self._flops_per_token / self._peak
        return figures
