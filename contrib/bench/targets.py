"""The targets of the design, and how a run compares with them. Nothing is measured here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from contrib.bench.measure import Sample
from contrib.bench.results import Results, cpu, peak_mb


@dataclass(frozen=True)
class Target:
    """`value` of `subject` at `workload` is to be at most `limit`, and `fraction` of the CPU of `against`."""

    work: str
    subject: str
    workload: str
    value: Callable[[Sample], float]
    unit: str
    limit: float
    against: str = ""
    fraction: float = 0


TARGETS = (
    Target('4 KB, journal "needed", many', "stellwerk-needed", "4k-many", cpu, "ms", 0.14, "haraka", 1 / 4),
    Target('4 KB, journal "needed", one', "stellwerk-needed", "4k-one", cpu, "ms", 0.30, "haraka", 1 / 4),
    Target('4 KB, journal "all", many', "stellwerk-all", "4k-many", cpu, "ms", 0.24, "haraka", 1 / 2.4),
    Target('4 KB, journal "all", one', "stellwerk-all", "4k-one", cpu, "ms", 0.40, "haraka", 1 / 3),
    Target('10 MB, journal "all"', "stellwerk-all", "10m-many", cpu, "ms", 50, "haraka", 1 / 3.3),
    Target('10 MB, journal "all"', "stellwerk-all", "10m-many", cpu, "ms", 50, "aiosmtpd", 1 / 5),
    Target('10 MB, journal "all", peak memory of 20 at once', "stellwerk-all", "10m-many", peak_mb, "MB", 150),
)


def compare(results: Results) -> list[list[str]]:
    """Rows of work, limit, measured, met, ratio limit, ratio measured, met; only of workloads that were run."""
    keys = {workload.key for workload in results.workloads}
    return [_row(results, target) for target in TARGETS if target.workload in keys]


def _row(results: Results, target: Target) -> list[str]:
    spread = results.spread(target.subject, target.workload, target.value)
    row = [target.work, f"<= {target.limit:g} {target.unit}"]
    row += [f"{spread.middle:.3g} {target.unit}", _met(spread.middle <= target.limit)] if spread else ["-", "-"]
    if not target.against:
        return [*row, "", "", ""]
    ratio = results.ratio(target.subject, target.against, target.workload)
    row.append(f"<= {target.fraction:.2f} x {target.against}")
    return row + ([f"{ratio:.2f} x", _met(ratio <= target.fraction)] if ratio is not None else ["-", "-"])


def _met(met: bool) -> str:
    return "met" if met else "missed"
