"""Loaded by ``PythonCodeNode.from_file``; not imported by the tests themselves."""


def double(x=1):  # noqa: ANN001, ANN201
    return {"doubled": x * 2}


def needs(data):  # noqa: ANN001, ANN201
    return {"result": data}


class Holder:
    """State of its own."""

    def process(self, x: int = 3):  # noqa: ANN201
        return x
