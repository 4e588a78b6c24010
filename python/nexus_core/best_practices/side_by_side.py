"""How many nodes of a workflow may run at once, whatever each of them takes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

__all__ = ["most_side_by_side"]

# Beyond, the answer is worth less than the time that it takes.
_MOST_NODES = 300


def most_side_by_side(
    levels: Sequence[Sequence[str]], sources: Mapping[str, Collection[str]], counted: set[str]
) -> int:
    """The most nodes of which none depends on another: the widest antichain.

    By Dilworth's theorem they are as many as the fewest chains that have all of them, which a maximum matching
    of nodes with nodes that come after them gives. In large workflows only nodes of one level are looked at.

    Args:
        levels: The nodes by the longest way to them.
        sources: By node, what it depends on.
        counted: The nodes that count.

    Example:
        >>> sources = {"a": [], "b": ["a"], "c": ["b"], "x": [], "y": ["x"], "z": ["x"]}
        >>> most_side_by_side([["a", "x"], ["b", "y", "z"], ["c"]], sources, set(sources))
        3
    """
    if sum(map(len, levels)) > _MOST_NODES:
        return max((sum(node in counted for node in level) for level in levels), default=0)
    order = [node for level in levels for node in level]
    place = {node: number for number, node in enumerate(order)}
    before: list[int] = []  # as bits
    for node in order:
        before.append(0)
        for source in sources[node]:
            before[-1] |= before[place[source]] | 1 << place[source]
    numbers = [place[node] for node in order if node in counted]
    return len(numbers) - _matched(numbers, before)


def _matched(numbers: list[int], before: list[int]) -> int:
    """How many nodes can each have an own one before it."""
    wanted = sum(1 << number for number in numbers)
    after: dict[int, int] = {}
    own: dict[int, int] = {}

    def augment(root: int) -> bool:
        unseen, found_from, waiting = wanted, dict[int, int](), [root]
        while waiting:
            node = waiting.pop()
            reached = before[node] & unseen
            unseen &= ~reached
            while reached:
                lowest = reached & -reached
                reached ^= lowest
                other = lowest.bit_length() - 1
                found_from[other] = node
                if other in after:
                    waiting.append(after[other])
                    continue
                while True:  # back to the root, each gets what it was reached by
                    node = found_from[other]
                    had = own.get(node)
                    after[other], own[node] = node, other
                    if had is None:
                        return True
                    other = had
        return False

    return sum(augment(number) for number in numbers)
