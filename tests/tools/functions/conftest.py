"""Functions over an application on disk, as an administrator has them."""

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("pydantic_monty", reason="the sandbox extra is not installed")

ADD = "def add(a: int, b: int = 2) -> int:\n    return a + b\n"
A_AND_B = (
    {"name": "a", "type": "integer", "description": "The first."},
    {"name": "b", "type": "integer", "description": "The second.", "required": False},
)


@pytest.fixture
def adding() -> dict[str, Any]:
    """What registers `add`."""
    return {"name": "add", "description": "Add two numbers.", "parameters": A_AND_B, "code": ADD}


@pytest.fixture
async def open_with_functions(open_app: Callable[..., Any]) -> Callable[..., Any]:
    """Open an application with functions: `app, model = await open_with_functions(["an answer"])`."""

    async def opened(script: Any = None, **options: Any) -> Any:
        return await open_app(script or [], **{"enable_memory": False, "enable_functions": True} | options)

    return opened
