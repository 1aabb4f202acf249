"""Read the rows of an evaluation: JSON Lines, each checked, each fault with its file and line."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from agentgraph.errors import InvalidInputError, NotFoundError

__all__ = ["aware", "read_rows"]

Row = TypeVar("Row", bound=BaseModel)


def read_rows(path: Path, row: type[Row], *, what: str) -> list[Row]:
    """Read the rows of a JSON Lines file; empty lines are skipped.

    Args:
        path: The file.
        row: What each line is.
        what: What the rows hold, for messages.

    Raises:
        NotFoundError: There is no such file.
        InvalidInputError: A line is no row, or there is none at all.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotFoundError(f"no file {str(path)!r}", code="no_data_file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path}: cannot be read as UTF-8 text: {error}", code="unreadable_data") from error
    # Not splitlines: a text may hold a character that counts as a line's end to Python and not to JSON Lines.
    lines = enumerate(text.split("\n"), start=1)
    rows = [_row(line, row, f"{path}:{number}", what) for number, line in lines if line.strip()]
    if not rows:
        raise InvalidInputError(f"{path}: holds no rows; one JSON object a line is wanted", code="no_rows")
    return rows


def aware(moment: datetime) -> datetime:
    """Read a naive moment in UTC."""
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _row(line: str, row: type[Row], place: str, what: str) -> Row:
    try:
        return row.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        fault = f"{field}: {first['msg']}" if field else first["msg"]
        raise InvalidInputError(f"{place}: no row of {what}: {fault}", code="malformed_row") from error
