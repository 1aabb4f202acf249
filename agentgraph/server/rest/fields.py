"""Fields that several bodies have."""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias

import orjson
from pydantic import AfterValidator, Field, StringConstraints

from agentgraph.errors import InvalidInputError
from agentgraph.plain import checked, readable

__all__ = ["Metadata", "Title", "Words"]

_LARGEST_METADATA: Final = 16_384  # bytes


def _checked_metadata(given: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = checked(given, param="metadata")
    if len(orjson.dumps(kept)) > _LARGEST_METADATA:
        raise InvalidInputError(f"metadata is larger than {_LARGEST_METADATA} bytes", param="metadata")
    return kept


Metadata: TypeAlias = Annotated[
    dict[str, Any],
    AfterValidator(_checked_metadata),
    Field(description="Anything of yours, as JSON, up to 16 KiB.", examples=[{"plan": "pro"}]),
]
Title: TypeAlias = Annotated[str, StringConstraints(max_length=200), AfterValidator(readable)]
Words: TypeAlias = Annotated[str, StringConstraints(min_length=1), AfterValidator(readable)]
