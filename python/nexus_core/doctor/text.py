"""A diagnosis for people."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from nexus_core.doctor.diagnosis import Diagnosis
from nexus_core.gantt import printable

__all__ = ["as_text"]

_BOLD, _RED, _YELLOW, _GREEN, _PLAIN = "\x1b[1m", "\x1b[31m", "\x1b[33m", "\x1b[32m", "\x1b[0m"
_LABEL = 18
_NARROWEST = 40


def as_text(diagnosis: Diagnosis, width: int = 100, colour: bool = False) -> str:
    """A diagnosis as text.

    Args:
        diagnosis: What was found.
        width: Columns.
        colour: Whether the terminal shows colours.

    Returns:
        Lines without a last newline.
    """
    paint = (lambda code, text: f"{code}{text}{_PLAIN}") if colour else (lambda _, text: text)
    lines: list[str] = []
    for heading, rows in _sections(diagnosis):
        lines += ["", paint(_BOLD, heading)]
        for label, value in rows:
            lines += _row(label, value, width)
    lines += ["", paint(_BOLD, "What to change") if diagnosis.findings else paint(_GREEN, "Nothing to change.")]
    for finding in diagnosis.findings:
        code = _RED if finding.level == "problem" else _YELLOW
        wrapped = _wrap(f"{finding.level}: {printable(finding.seen)}", width, "  ", "    ")
        lines += [wrapped[0].replace(finding.level, paint(code, finding.level), 1), *wrapped[1:]]
        lines += _wrap(f"→ {printable(finding.remedy)}", width, "    ", "      ")
    return "\n".join(lines[1:])


def _sections(diagnosis: Diagnosis) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    yield "Versions", list(_versions(diagnosis.environment))
    yield "Interpreter and machine", list(_machine(diagnosis.environment))
    if diagnosis.app is not None:
        yield f"App {diagnosis.app['name']!r}", list(_app(diagnosis.app))


def _versions(seen: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    versions, built = seen["versions"], seen["extension"]
    yield "nexus-core", versions["nexus_core"]
    yield "Python", f"{versions['python']} ({seen['interpreter']['implementation']})"
    for name, found in versions.items():
        if isinstance(found, dict):
            number, tested = found["installed"], found["tested"]
            said = {True: "tested", False: f"not tested; tested is {found['tested_range']}", None: ""}[tested]
            yield name, f"{number} ({said})" if number else "not installed"
    checks = ", with debug assertions" if built["debug_assertions"] else ""
    yield (
        "extension",
        f"{built['profile']} build, level {built['opt_level']}{checks}, by {built['compiler']} for {built['target']}"
        f"{', free-threaded' if built['free_threaded'] else ''}; features: {', '.join(built['features'])}",
    )
    yield "extras", _had(seen["extras"])
    yield "science", _had(seen["science"])


def _had(parts: Mapping[str, bool]) -> str:
    there, missing = [n for n, has in parts.items() if has], [n for n, has in parts.items() if not has]
    said = [", ".join(there)] if there else []
    return "; ".join([*said, *([f"not installed: {', '.join(missing)}"] if missing else [])])


def _machine(seen: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    inner, machine, limits = seen["interpreter"], seen["machine"], seen["limits"]
    build = "free-threaded build" if inner["free_threaded_build"] else "ordinary build"
    yield "interpreter lock", f"{'on' if inner['gil_enabled'] else 'off'} ({build})"
    yield (
        "garbage collector",
        (
            f"{'on' if inner['gc_enabled'] else 'off'}, thresholds {', '.join(map(str, inner['gc_thresholds']))}, "
            f"{inner['gc_frozen_objects']:,} objects frozen"
        ),
    )
    yield "platform", machine["platform"]
    limit = limits["container_processors"]
    yield (
        "processors",
        f"{machine['usable_processors'] or machine['processors']} usable of {machine['processors']}"
        + (f", of whose time the container may use {limit:g}" if limit is not None else ", no limit on their time"),
    )
    memory, used = limits["container_memory_bytes"], limits["container_memory_used_bytes"]
    said = f"{_gib(machine['memory_bytes'])} in the machine"
    if memory:
        said += f", the container may use {_gib(memory)}" + (f" and uses {_gib(used)}" if used is not None else "")
    yield "memory", said + ("" if memory else ", no container limit")
    space, files = limits["address_space_bytes"], limits["open_files"]
    yield "limits", f"address space {_gib(space) if space else 'unlimited'}, open files {files or 'unlimited'}"
    loop = seen["event_loop"]
    yield "event loop", f"{loop['of_asyncio']}; a served app has {loop['of_a_served_app']}"
    history = seen["run_history"]
    yield "run history", f"{history['database']} ({history['bytes'] / (1 << 20):.1f} MiB)"


def _gib(number: int | None) -> str:
    return "unknown" if number is None else f"{number / (1 << 30):.1f} GiB"


def _app(app: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    runtime = app["runtime"]
    otherwise = "not by the program; this is what attaching would do"
    if app["installed"]:
        otherwise = "no, but nexus_core.install() is in force; this is what attaching would do"
    yield "attached", "by the program" if app["attached"] else otherwise
    yield (
        "runtime",
        (
            f"{runtime['type']}, {runtime['max_concurrent_nodes']} nodes at once, {runtime['thread_pool_size']} on threads"
        ),
    )
    for channel in app["channels"]:
        yield "on the core", channel
    for channel, reason in app["absent"].items():
        yield "not there", f"{channel}: {reason}"
    for channel, reason in app["failures"].items():
        yield "NOT on the core", f"{channel}: {reason}"
    yield "authentication", "on" if app["authentication"] else "off"
    yield "live page", "at /nexus-core/" if app["live_page"] else "off"
    for name, how in app["workflows"].items():
        programs = [node["program"] for node in how["nodes"].values()]
        counted = ", ".join(f"{programs.count(kind)} {kind}" for kind in dict.fromkeys(programs))
        if how["native"]:
            yield f"  {name}", f"native, {len(programs)} node{'s' * (len(programs) != 1)}: {counted}"
        else:
            yield f"  {name}", f"delegated: {'; '.join(how['reasons'])}"
        for node_id, node in how["nodes"].items():
            if node["reason"] is not None:
                yield "", f"{node_id} ({node['type']}): {node['program']}, as {node['reason']}"
    if not app["workflows"]:
        yield "workflows", "none is registered"


def _row(label: str, value: str, width: int) -> Iterable[str]:
    # Names are an app's own: none of them gives orders to the terminal.
    return _wrap(printable(value), width, f"  {printable(label):<{_LABEL}} ", " " * (_LABEL + 3))


def _wrap(text: str, width: int, first: str, rest: str) -> list[str]:
    return textwrap.wrap(
        text, max(width, _NARROWEST), initial_indent=first, subsequent_indent=rest, break_on_hyphens=False
    ) or [first.rstrip()]
