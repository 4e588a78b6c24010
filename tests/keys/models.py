"""Models of pydantic, where that is installed."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Item(BaseModel):
    count: int


class Order(BaseModel):
    model_config = ConfigDict(extra="allow")

    name: str
    items: list[Item]
    note: str | None = None
