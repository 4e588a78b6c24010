"""Pieces of user code for ``AsyncPythonCodeNode``, each a statement or two.

Inputs, where a piece uses any, are called ``data``, ``x`` and ``y``, as in the samples
for ``PythonCodeNode``, many of which are run as async code too.
"""

from __future__ import annotations

from differential.code_samples import CONTENT, DEFINITIONS, EMPTYISH, FAILING, PLAIN, VALUES

AWAITING = (
    "import asyncio\nawait asyncio.sleep(0)\nresult = 1",
    "import asyncio\nresult = await asyncio.gather(*[asyncio.sleep(0, n) for n in range(3)])",
    "import asyncio\ntask = asyncio.create_task(asyncio.sleep(0, 5))\nresult = await task",
    "async def helper(v):\n    return v + 1\nresult = await helper(1)",
    "async def helper(v):\n    return v + 1",
    "import asyncio\nlock = asyncio.Lock()\nasync with lock:\n    result = 'locked'",
    "async def numbers():\n    for n in range(3):\n        yield n\nresult = [n async for n in numbers()]",
    "result = data\nother = 5",
    "first = data\nsecond = {'k': [1, {'v': 2}]}",
    "import math\nroot = math.sqrt(4)",
    "return {'returned': 1}",
    "result = await data",
    "result = await get_resource('number')",
    "result = get_workflow_context('k')",
    "x = 1\nresult = x",
)

AWAITING_FAILING = (
    "import asyncio\nawait asyncio.sleep(0)\nraise ValueError('after a pause')",
    "import asyncio\nasync def bad():\n    raise KeyError('in a task')\nawait asyncio.gather(bad())",
    "import asyncio\nraise asyncio.TimeoutError('by hand')",
    "raise ValueError('first') from KeyError('second')",
    "import asyncio\nasync with asyncio.timeout(0):\n    await asyncio.sleep(5)",
)

# What ends a loop or a task rather than a node is looked at on its own.
_ENDING = ("SystemExit", "exit()", "GeneratorExit", "BaseException")

ASYNC_GROUPS: dict[str, tuple[str, ...]] = {
    "awaiting": AWAITING,
    "awaiting failing": AWAITING_FAILING,
    "plain": PLAIN,
    "values": VALUES,
    "content": CONTENT,
    "definitions": DEFINITIONS,
    "failing": tuple(code for code in FAILING if not any(word in code for word in _ENDING)),
    "emptyish": EMPTYISH,
}
ASYNC_HARMLESS = (*AWAITING[:10], *(code for code in PLAIN if code != "del data"))
