"""What one process counted until now, as data: written to its board, read by the desk, added up. No prometheus here."""

from __future__ import annotations

import bisect
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.metrics.families import FAMILIES

Labels = tuple[str, ...]
Numbers = list[float]
"""One number for a counter or gauge; sum and count for a summary; sum and the count of each bucket for a histogram,
the last one being what is above all bounds. Buckets are not cumulative."""


class Histogram:
    """Counts observations by bucket. For one thread."""

    __slots__ = ("_bounds", "numbers")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.numbers: Numbers = [0.0] * (len(bounds) + 2)

    def observe(self, value: float) -> None:
        numbers = self.numbers
        numbers[0] += value
        numbers[1 + bisect.bisect_left(self._bounds, value)] += 1


@dataclass(slots=True)
class Snapshot:
    """All numbers of one process, or of several added up. `at`: CLOCK_MONOTONIC, the same for all of a machine."""

    instance: str = ""
    role: str = ""
    at: float = 0.0
    values: dict[str, dict[Labels, Numbers]] = field(default_factory=dict)
    includes: list[str] = field(default_factory=list)
    """Instances that were added in, whose own boards count no more."""

    def put(self, name: str, labels: Labels, *numbers: float) -> None:
        """Set a series. Raises KeyError for a metric that is not in `FAMILIES`."""
        assert len(labels) == len(FAMILIES[name].labels), name
        self.values.setdefault(name, {})[labels] = [float(number) for number in numbers]

    def add(self, other: Snapshot, *, gauges: bool) -> None:
        """Add what `other` counted; its gauges only when they still hold."""
        for name, series in other.values.items():
            family = FAMILIES.get(name)
            if family is None or (family.kind == "gauge" and not gauges):
                continue
            mine = self.values.setdefault(name, {})
            for labels, numbers in series.items():
                known = mine.get(labels)
                if known is None or len(known) != len(numbers):
                    mine[labels] = list(numbers)
                elif family.kind == "gauge" and family.joined == "max":
                    mine[labels] = [max(known[0], numbers[0])]
                else:
                    mine[labels] = [one + another for one, another in zip(known, numbers, strict=True)]

    def to_json(self) -> str:
        return json.dumps(
            {
                "instance": self.instance,
                "role": self.role,
                "at": self.at,
                "includes": self.includes,
                "values": {name: [[*labels, numbers] for labels, numbers in series.items()]
                           for name, series in self.values.items()},
            },
            separators=(",", ":"),
            check_circular=False,
        )  # fmt: skip

    @classmethod
    def from_json(cls, text: str | bytes) -> Snapshot:
        """Raises ValueError, KeyError or TypeError for what `to_json` did not write."""
        data = json.loads(text)
        values = {name: dict(_series(rows)) for name, rows in data["values"].items()}
        return cls(data["instance"], data["role"], data["at"], values, data["includes"])


def _series(rows: Iterable[list[Any]]) -> Iterable[tuple[Labels, Numbers]]:
    for *labels, numbers in rows:
        yield tuple(labels), numbers
