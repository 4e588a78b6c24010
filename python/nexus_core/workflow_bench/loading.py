"""The workflow that is measured, from a file or an app."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nexus_core.commands.programs import Program, ProgramError, import_program

__all__ = ["load_inputs", "load_workflow"]

_WRITTEN = (".json", ".yaml", ".yml")


def load_workflow(source: str, name: str | None) -> tuple[str, Any]:
    """Finds a workflow.

    Args:
        source: A file that holds a workflow's ``to_dict()`` (``.json``, ``.yaml``), or a program or
            module, with ``:name`` of a workflow, a builder, an app, or a function that makes one.
        name: The workflow's name, where the program has an app.

    Returns:
        What to call it, and the built workflow.

    Raises:
        ProgramError: If there is none, or several.
    """
    if source.endswith(_WRITTEN):
        if name is not None:
            raise ProgramError(f"{source} holds one workflow: --workflow is for programs")
        return Path(source).stem, _read(source)
    return _of_program(import_program(source), name)


def load_inputs(text: str | None) -> dict[str, Any]:
    """The inputs of every run.

    Args:
        text: A JSON object, or ``@file`` with one, or ``None``.

    Raises:
        ProgramError: If it is none.
    """
    if text is None:
        return {}
    try:
        found = json.loads(Path(text[1:]).read_text(encoding="utf-8") if text.startswith("@") else text)
    except OSError as error:
        raise ProgramError(f"--inputs {text}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ProgramError(f"--inputs is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise ProgramError(f'--inputs must be a JSON object, such as \'{{"node": {{"x": 1}}}}\', got {text!r}')
    return found


def _read(path: str) -> Any:
    from kailash.workflow.graph import Workflow

    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ProgramError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ProgramError(f"{path} is no UTF-8 text: {error}") from error
    try:
        if path.endswith(".json"):
            found = json.loads(text)
        else:
            import yaml  # type: ignore[import-untyped]

            found = yaml.safe_load(text)
        if not isinstance(found, dict):
            raise TypeError("it holds no object")
        return Workflow.from_dict(found)
    except Exception as error:
        raise ProgramError(f"{path} holds no workflow: {type(error).__name__}: {error}") from error


def _of_program(program: Program, name: str | None) -> tuple[str, Any]:
    from kailash.workflow.builder import WorkflowBuilder
    from kailash.workflow.graph import Workflow

    try:
        from nexus import Nexus
    except ImportError:  # workflows alone
        kinds: tuple[type, ...] = (Workflow, WorkflowBuilder)
    else:
        kinds = (Nexus, Workflow, WorkflowBuilder)
    found = program.find(kinds, "workflow, builder or Nexus app", ("app", "workflow"))
    if isinstance(found, (Workflow, WorkflowBuilder)):
        if name is not None:
            raise ProgramError(f"--workflow {name}: {program.name} is no app, but a workflow itself")
        try:
            workflow = found.build() if isinstance(found, WorkflowBuilder) else found
        except Exception as error:
            raise ProgramError(f"{program.name} cannot be built: {type(error).__name__}: {error}") from error
        return program.name, workflow
    workflows = dict(found._workflows)
    listed = ", ".join(sorted(workflows)) or "none is registered"
    if name is None:
        if len(workflows) != 1:
            raise ProgramError(f"say which workflow of {program.name} with --workflow: {listed}")
        return next(iter(workflows.items()))
    if name not in workflows:
        raise ProgramError(f"{program.name} has no workflow {name!r}; it has: {listed}")
    return name, workflows[name]
