"""The most nodes at once, against all subsets of small graphs."""

from __future__ import annotations

import itertools
import random

import pytest

from nexus_core.best_practices.side_by_side import most_side_by_side


def levels_of(sources: dict[str, set[str]]) -> list[list[str]]:
    levels: list[list[str]] = []
    done: set[str] = set()
    while len(done) < len(sources):
        levels.append([node for node in sources if node not in done and sources[node] <= done])
        done.update(levels[-1])
    return levels


def by_all_subsets(sources: dict[str, set[str]], counted: set[str]) -> int:
    before: dict[str, set[str]] = {}
    for node, of in sources.items():
        before[node] = set(of).union(*(before[source] for source in of))
    for size in range(len(counted), 0, -1):
        for chosen in itertools.combinations(sorted(counted), size):
            if not any(before[node] & set(chosen) for node in chosen):
                return size
    return 0


@pytest.mark.parametrize("seed", range(60))
def test_it_is_the_widest_antichain(seed: int) -> None:
    source = random.Random(seed)
    count, density = source.randint(1, 11), source.random() * 0.6
    sources = {
        f"n{number}": {f"n{other}" for other in range(number) if source.random() < density} for number in range(count)
    }
    counted = {node for node in sources if source.random() < 0.8}
    assert most_side_by_side(levels_of(sources), sources, counted) == by_all_subsets(sources, counted)


def test_nodes_of_different_levels_may_overlap() -> None:
    sources: dict[str, set[str]] = {
        "a": set(), "a1": {"a"}, "a2": {"a"}, "b": set(), "c": {"b"}, "c1": {"c"}, "c2": {"c"},
    }  # fmt: skip
    levels = levels_of(sources)
    assert max(map(len, levels)) == 3
    assert most_side_by_side(levels, sources, set(sources)) == 4


def test_a_large_graph_is_looked_at_level_by_level() -> None:
    sources = {f"n{number}": ({f"n{number - 3}"} if number > 2 else set()) for number in range(3000)}
    assert most_side_by_side(levels_of(sources), sources, set(sources)) == 3


def test_an_empty_graph_has_none() -> None:
    assert most_side_by_side([], {}, set()) == 0
