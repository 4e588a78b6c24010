"""What was measured of the service: several figures of each variant in each case, kept by the round they are from."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ratios import Ratio, spread

MORE_IS_BETTER = frozenset({"requests"})


@dataclass(frozen=True)
class Cell:
    """One variant in one case of one group."""

    group: str
    case: str
    variant: str


@dataclass
class Figures:
    """Figures of the same round were taken one after the other, so only they are compared."""

    rounds: dict[Cell, dict[int, dict[str, float]]] = field(default_factory=dict)

    def add(self, cell: Cell, number: int, measured: Mapping[str, float]) -> None:
        self.rounds.setdefault(cell, {})[number] = dict(measured)

    def values(self, cell: Cell, name: str) -> list[float]:
        return [measured[name] for measured in self.rounds.get(cell, {}).values() if name in measured]

    def median(self, cell: Cell, name: str) -> float | None:
        found = self.values(cell, name)
        return statistics.median(found) if found else None

    def spread(self, cell: Cell, name: str, scale: float = 1.0) -> Ratio | None:
        """The figure itself in units of `scale`."""
        found = [value / scale for value in self.values(cell, name)]
        return spread(found, best(found, name)) if found else None

    def ratio(self, above: Cell, below: Cell, name: str) -> Ratio | None:
        over, under = (
            {number: measured[name] for number, measured in self.rounds.get(cell, {}).items() if measured.get(name)}
            for cell in (above, below)
        )
        common = [number for number in over if number in under]
        if not common:
            return None
        return spread([over[n] / under[n] for n in common], best(over.values(), name) / best(under.values(), name))

    def cases(self, group: str) -> list[str]:
        """Of a group, in the order in which they ran."""
        return list(dict.fromkeys(cell.case for cell in self.rounds if cell.group == group))

    def variants(self, group: str, case: str) -> list[str]:
        return [cell.variant for cell in self.rounds if (cell.group, cell.case) == (group, case)]


def best(values: Iterable[float], name: str) -> float:
    return max(values) if name in MORE_IS_BETTER else min(values)
