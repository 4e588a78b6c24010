"""Keys of values, code and workflows: the same for what is equal, different for what is not.

A key is a digest of 256 bits over a canonical form. It is the same in every process and on
every platform of the same byte order, and stays the same in later releases unless the changelog
says otherwise.

- Dicts and sets have no order. Lists, tuples and ``OrderedDict`` have one.
- ``1``, ``1.0``, ``True``, ``"1"`` and ``b"1"`` are five values, and so are a list and a tuple
  of the same items. ``0.0`` and ``-0.0`` are two, ``Decimal("1.0")`` and ``Decimal("1.00")``
  are two, since a program can tell them apart. Every NaN is the same float.
- Known are the built-in types, ``datetime`` with fixed and named zones, ``Decimal``,
  ``Fraction``, ``UUID``, enums, paths, named tuples, dataclasses and pydantic models, and by
  content numpy's arrays and scalars and pandas' frames, series and indexes.
- A subclass is not its base class. A value of a type that is not known raises
  :class:`~nexus_core.errors.NotKeyable`, which says where it is; :func:`register` teaches one.
- Instances of a program's own classes are told by the class's name and what they hold, not by
  the class's code. Functions and workflows are told by their code.

The interpreter lock is released while long ``bytes`` and ``str`` are hashed, and copies of
arrays that are not contiguous. Other arrays and ``bytearray`` are hashed under it, so that
nothing changes meanwhile; that takes hardly longer than to copy them would.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

from nexus_core._core import _digest
from nexus_core._key_code import CodeReduction
from nexus_core._key_reductions import reduction, register
from nexus_core._key_workflow import WorkflowReduction, is_workflow, parts_of
from nexus_core.errors import NotKeyable

__all__ = [
    "NotKeyable",
    "digest",
    "function_digest",
    "guide_cache_key",
    "hexdigest",
    "key_of",
    "register",
    "workflow_digest",
]


def digest(value: object, *, name: str = "value") -> bytes:
    """The digest of a value.

    Args:
        value: What to digest.
        name: What an error calls it.

    Returns:
        32 bytes.

    Raises:
        NotKeyable: Something in it has no key.

    Example:
        >>> digest({"a": 1, "b": [2.0]}) == digest({"b": [2.0], "a": 1})
        True
        >>> digest(1) == digest(True)
        False
        >>> digest({"rows": [1, object()]})
        Traceback (most recent call last):
        nexus_core.errors.NotKeyable: value['rows'][1], of type object, has no key: ...
    """
    return _digest(value, name, reduction)


def hexdigest(value: object, *, name: str = "value") -> str:
    """The digest of a value, as text.

    Args:
        value: What to digest.
        name: What an error calls it.

    Returns:
        64 hexadecimal digits.

    Raises:
        NotKeyable: Something in it has no key.

    Example:
        >>> hexdigest(None)[:8]
        '4cdbeeb6'
    """
    return digest(value, name=name).hex()


def function_digest(function: Callable[..., Any]) -> bytes:
    """The digest of what a function does.

    It is made of the bytecode, constants, defaults and closure, of the globals that the
    function loads, and so on through the functions and classes among them. The name and
    version stand for what belongs to Python or to an installed package.

    Args:
        function: A function, method, class, or other callable.

    Returns:
        32 bytes; others after a change of the code, or in another minor version of Python.

    Raises:
        NotKeyable: Something that the function uses has no key.

    Example:
        >>> function_digest(lambda x: x + 1) == function_digest(lambda x: x + 2)
        False
    """
    parts = (sys.implementation.name, *sys.version_info[:2], function)
    return _digest(parts, "function", CodeReduction())


def workflow_digest(workflow: Any) -> bytes:
    """The digest of all that decides a workflow's results, beside its inputs.

    That is its nodes with their classes, configuration and code, its connections, the
    metadata that runtimes read, its version, and the versions of Python (3.x), kailash
    and nexus_core. The workflow's name, id, author, description and time of creation are not in it.

    Args:
        workflow: A workflow as ``WorkflowBuilder.build()`` returns it.

    Returns:
        32 bytes; others after any change to the workflow or its code. It is computed anew
        at every call: keep it as long as the workflow stays as it is.

    Raises:
        NotKeyable: Something in a node's configuration or code has no key.
        TypeError: It is not a built workflow.
    """
    if not is_workflow(workflow):
        raise TypeError(f"workflow_digest() takes what WorkflowBuilder.build() returns, not {workflow!r}")
    return _digest(parts_of(workflow), "workflow", WorkflowReduction())


def key_of(
    workflow: Any, inputs: Mapping[str, Any] | None = None, parameters: Mapping[str, Any] | None = None
) -> bytes:
    """The key of a run: of a workflow with its inputs and parameters.

    Args:
        workflow: A built workflow; or what :func:`workflow_digest` returned for it, which
            spares computing that again; or a name, if the caller sees to it that
            what the name stands for never changes.
        inputs: The inputs. ``None`` is the same as none at all.
        parameters: The parameters. ``None`` is the same as none at all.

    Returns:
        32 bytes.

    Raises:
        NotKeyable: Something in them has no key.
        TypeError: ``workflow`` is none of these.

    Example:
        >>> key_of("prices", {"day": 1}) == key_of("prices", {"day": 2})
        False
    """
    if not isinstance(workflow, (bytes, str)):
        workflow = workflow_digest(workflow)
    return digest(
        (
            "run",
            workflow,
            digest({} if inputs is None else inputs, name="inputs"),
            digest({} if parameters is None else parameters, name="parameters"),
        )
    )


def guide_cache_key(workflow_name: str, inputs: Any, parameters: Mapping[str, Any] | None = None) -> str:
    """The key that the performance guide's formula gives.

    It has 64 bits, and takes for equal what JSON does not tell apart, such as ``{1: 0}`` and
    ``{"1": 0}``: what is found under it has to be checked against :func:`key_of`.

    Args:
        workflow_name: The workflow's name.
        inputs: The inputs, which can be written as JSON.
        parameters: The parameters, which can be written as JSON.

    Returns:
        16 hexadecimal digits.

    Raises:
        NotKeyable: They cannot be written as JSON.

    Example:
        >>> guide_cache_key("data-processor", {"data": "test_dataset_1"})
        '12bcad042f6b59ee'
    """
    data = {"workflow": workflow_name, "inputs": inputs, "parameters": parameters or {}}
    try:
        text = json.dumps(data, sort_keys=True)
    except (TypeError, ValueError, RecursionError) as error:
        raise NotKeyable("inputs", type(inputs).__qualname__, f"as JSON, {error}") from error
    return hashlib.sha256(text.encode()).hexdigest()[:16]
