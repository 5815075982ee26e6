"""Units of writes, and how a group of them becomes few calls. Pure: no SQLAlchemy at run time, no threads, no clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from sqlalchemy import Connection


class BatchFunction(Protocol):
    """What is done to the database: sync, in the writer's thread, inside the group's transaction.

    `payloads` may come from several messages; one result per payload is returned, in the same order. The function must
    not commit, roll back or do other I/O, and must be safe to repeat: a group that fails is rolled back and tried again
    in smaller pieces. Writes with the same function object are what is merged, so make it once, not per message.
    """

    def __call__(self, connection: Connection, payloads: Sequence[Any], /) -> Sequence[Any]: ...


@dataclass(frozen=True, slots=True)
class Write:
    """One thing to do, with one payload."""

    function: BatchFunction
    payload: Any


_Shape = tuple[BatchFunction, ...]


def merge(units: Sequence[Sequence[Write]]) -> Iterator[tuple[BatchFunction, list[tuple[int, int]]]]:
    """Calls that carry out all `units`: (function, [(unit, position in it), ...]).

    The order within each unit is kept; nothing is promised between units. A function is called as late as other units
    still have to reach it, so that [A, B], [B], [A, B] become one A and one B.
    """
    shapes: dict[_Shape, list[int]] = {}  # units that do the same are one from here on: there are many, of few kinds
    for index, writes in enumerate(units):
        shapes.setdefault(tuple([write.function for write in writes]), []).append(index)
    heads: dict[BatchFunction, list[tuple[_Shape, int]]] = {}  # what each shape does next, and its position
    to_come: Counter[BatchFunction] = Counter()  # runs of equal functions that stand behind another function
    for shape in filter(None, shapes):
        heads.setdefault(shape[0], []).append((shape, 0))
        to_come.update(later for earlier, later in pairwise(shape) if later != earlier)
    while heads:
        function = next((candidate for candidate in heads if not to_come[candidate]), None) or next(iter(heads))
        places: list[tuple[int, int]] = []
        for shape, start in heads.pop(function):
            end = start
            while end < len(shape) and shape[end] == function:
                end += 1
            places += [(index, position) for index in shapes[shape] for position in range(start, end)]
            if end < len(shape):
                to_come[shape[end]] -= 1
                heads.setdefault(shape[end], []).append((shape, end))
        yield function, places


def apply(connection: Connection, units: Sequence[Sequence[Write]]) -> list[list[Any]]:
    """Carry out `units` on `connection`; the results of each, in its order."""
    results: list[list[Any]] = [[None] * len(writes) for writes in units]
    for function, places in merge(units):
        returned = function(connection, [units[index][position].payload for index, position in places])
        if len(returned) != len(places):
            raise ValueError(f"{function!r} returned {len(returned)} results for {len(places)} payloads")
        for (index, position), result in zip(places, returned, strict=True):
            results[index][position] = result
    return results
