"""Measures a load: the peers of each place take turns, so that whatever disturbs the machine disturbs all of them."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

import psutil

from layered.loads import AT_ONCE, Load, Work, computing, work_of
from layered.peers import Peer, opened, warm_up
from machine import cores
from peers import Prepared

Turn = dict[str, float]


@dataclass
class Measured:
    """What was measured of a load.

    Attributes:
        turns: By peer.
        failed: Why a peer has none.
    """

    turns: dict[str, list[Turn]] = field(default_factory=dict)
    failed: dict[str, BaseException] = field(default_factory=dict)


def rounds_of(load: Load, *, quick: bool) -> int:
    """How often each peer has its turn."""
    if load.is_long or quick:
        return 1
    return 3 if load.milliseconds < 10 else 1


def measure(load: Load, peers: Sequence[Peer], rounds: int) -> Measured:
    """Runs a load on peers; figures are per run.

    Each turn has `seconds`, `alone` (the nodes' own, one after the other), `slots` (how many run at the same
    time), `ratio` (to the shortest that the machine's cores allow, or so many threads of nodes that wait),
    `processors` (seconds of them for a node beside its own, this process's and its children's), for nodes that
    compute `overhead` (seconds for a node beside its own, of all slots together, idle or not) and, in the first
    turn, `first` (seconds of the first run).

    Args:
        load: What to run.
        peers: Who runs it.
        rounds: Turns of each.
    """
    found = Measured()
    work = work_of(load)
    chosen = [peer for peer in peers if peer.takes_part(load)]
    for place, group in groupby(chosen, key=lambda peer: peer.place):
        with opened(place) as shared, contextlib.ExitStack() as stack:
            ready: list[tuple[Peer, Prepared]] = []
            for peer in group:
                try:
                    warm_up(peer, work, shared)
                    ready.append((peer, stack.enter_context(peer.prepare(work, shared))))
                except Exception as error:
                    found.failed[peer.key] = error
            _take_turns(found, work, ready, rounds)
    return found


def _take_turns(found: Measured, work: Work, ready: list[tuple[Peer, Prepared]], rounds: int) -> None:
    for number in range(rounds):
        # Forwards, then backwards: no peer always follows the same other one.
        for peer, prepared in ready if number % 2 == 0 else reversed(ready):
            if peer.key in found.failed:
                continue
            try:
                first = None
                # Short ones have a first run beside the others, everybody alike. What takes minutes has one run.
                if number == 0 and not work.load.is_long and (peer.learns or work.load.milliseconds < 10):
                    first = _turn(peer, work, prepared)["seconds"]
                turn = _turn(peer, work, prepared)
            except Exception as error:
                found.failed[peer.key] = error
                continue
            found.turns.setdefault(peer.key, []).append(turn if first is None else turn | {"first": first})


def _turn(peer: Peer, work: Work, prepared: Prepared) -> Turn:
    load = work.load
    before = _own_seconds(work)
    processor, started = processors_time(), time.perf_counter()
    raw = prepared.run()
    seconds = time.perf_counter() - started
    processor = processors_time() - processor
    work.check(prepared.values(raw), peer.title)
    own = (before + _own_seconds(work)) / 2
    slots, alone = peer.slots(load), own * len(load)
    bound = load.bound(own, cores() if load.computes else AT_ONCE)
    turn = {
        "seconds": seconds,
        "alone": alone,
        "slots": float(slots),
        "ratio": seconds / bound,
        "processors": (processor - (alone if load.computes else 0.0)) / len(load),
    }
    if load.computes:
        turn["overhead"] = (seconds * slots - alone) / len(load)
    return turn


def _own_seconds(work: Work) -> float:
    if not work.load.computes:
        return work.seconds
    return computing(work.steps, samples=max(3, 60 // work.load.milliseconds))


def processors_time() -> float:
    """Seconds that this process and its children have used, those that have ended left out."""
    total = time.process_time()
    for child in psutil.Process(os.getpid()).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            spent = child.cpu_times()
            total += spent.user + spent.system
    return total
