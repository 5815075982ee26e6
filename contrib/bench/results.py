"""What a run has found so far, and its medians. Pure data: nothing is measured or printed here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

from contrib.bench.load import Workload
from contrib.bench.measure import Sample
from contrib.bench.subjects import Subject


@dataclass(frozen=True)
class Spread:
    """The median of the rounds with the lowest and the highest of them."""

    middle: float
    low: float
    high: float


@dataclass
class Results:
    """Samples and failures by (subject key, workload key); `absent` says by subject key why it was not measured."""

    subjects: list[Subject]
    workloads: list[Workload]
    samples: dict[tuple[str, str], list[Sample]] = field(default_factory=dict)
    failures: dict[tuple[str, str], str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)

    def spread(self, subject: str, workload: str, value: Callable[[Sample], float]) -> Spread | None:
        """None when the cell was not measured, or when one of its rounds failed: a failed cell has no numbers."""
        samples = self.samples.get((subject, workload))
        if not samples or (subject, workload) in self.failures:
            return None
        values = [value(sample) for sample in samples]
        return Spread(median(values), min(values), max(values))

    def ratio(self, subject: str, against: str, workload: str) -> float | None:
        """CPU per message of one subject divided by another's, medians of the same run."""
        ours, theirs = self.spread(subject, workload, cpu), self.spread(against, workload, cpu)
        return ours.middle / theirs.middle if ours and theirs and theirs.middle else None


def cpu(sample: Sample) -> float:
    return sample.cpu_ms_per_message


def rate(sample: Sample) -> float:
    return sample.messages_per_second


def peak_mb(sample: Sample) -> float:
    return sample.peak_bytes / 1_000_000
