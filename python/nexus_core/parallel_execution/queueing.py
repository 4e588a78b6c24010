"""Queueing theory: how long requests wait for one of several servers.

Erlang's C formula for M/M/c, and Allen and Cunneen's approximation for G/G/c, which is exact for M/M/c
and, with one server, for M/G/1 (Pollaczek-Khinchine).
"""

from __future__ import annotations

import math

__all__ = ["erlang_c", "mean_wait", "servers_needed"]

# More servers than that no process has; a search without an end would be one with a wrong argument.
_MOST_SERVERS = 100_000


def erlang_c(servers: int, offered: float) -> float:
    """The share of requests that have to wait in M/M/c.

    Args:
        servers: How many there are.
        offered: Arrival rate by service rate of one server, in erlang.

    Returns:
        From 0 to 1; 1 where the servers cannot keep up.

    Example:
        >>> round(erlang_c(1, 0.5), 3), round(erlang_c(2, 1.0), 3)
        (0.5, 0.333)
    """
    if offered >= servers:
        return 1.0
    # Erlang's B by its recursion, since powers and factorials overflow.
    blocked = 1.0
    for number in range(1, servers + 1):
        blocked = _with_another(blocked, number, offered)
    return _waiting(blocked, servers, offered)


def _with_another(blocked: float, servers: int, offered: float) -> float:
    """Erlang's B, from that of one server less."""
    return offered * blocked / (servers + offered * blocked)


def _waiting(blocked: float, servers: int, offered: float) -> float:
    """Erlang's C from his B."""
    return blocked / (1 - (offered / servers) * (1 - blocked))


def mean_wait(
    rate: float, service_time: float, servers: int, arrival_variability: float = 1.0, service_variability: float = 1.0
) -> float:
    """The mean wait before service in G/G/c, by Allen and Cunneen.

    Args:
        rate: Arrivals a second.
        service_time: Mean seconds of service.
        servers: How many there are.
        arrival_variability: Squared coefficient of variation of the times between arrivals; 1 for independent clients.
        service_variability: Squared coefficient of variation of the service times.

    Returns:
        Seconds; infinite where the servers cannot keep up.

    Example:
        >>> mean_wait(5.0, 0.1, 1)
        0.1
        >>> mean_wait(5.0, 0.1, 1, service_variability=0.0)
        0.05
    """
    offered = rate * service_time
    if offered >= servers:
        return math.inf
    variability = (arrival_variability + service_variability) / 2
    return variability * erlang_c(servers, offered) * service_time / (servers - offered)


def servers_needed(
    rate: float,
    service_time: float,
    longest_wait: float,
    arrival_variability: float = 1.0,
    service_variability: float = 1.0,
) -> int:
    """The least number of servers with which the mean wait is no longer than it may be.

    Args:
        rate: Arrivals a second.
        service_time: Mean seconds of service.
        longest_wait: Seconds that the mean wait may be.
        arrival_variability: As for :func:`mean_wait`.
        service_variability: As for :func:`mean_wait`.

    Raises:
        ValueError: If it were more than 100,000.

    Example:
        >>> servers_needed(50.0, 0.1, 0.01)
        8
    """
    offered = rate * service_time
    blocked = 1.0
    for servers in range(1, _MOST_SERVERS + 1):
        blocked = _with_another(blocked, servers, offered)
        if servers <= offered:
            continue
        wait = _waiting(blocked, servers, offered) * service_time / (servers - offered)
        if wait * (arrival_variability + service_variability) / 2 <= longest_wait:
            return servers
    raise ValueError(f"{rate:g} requests a second of {service_time:g} s would need more than {_MOST_SERVERS:,} servers")
