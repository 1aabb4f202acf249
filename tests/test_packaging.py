"""Packaging promises: security floors, one list of pins, a quick import, and a public surface that is what it says."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from packaging.version import Version

import agentgraph

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

# The first releases without a known vulnerability that concerns us.
SECURITY_FLOORS = {
    "aiohttp": "3.14.3",
    "langchain-core": "1.3.3",
    "langchain-openai": "1.1.14",
    "langgraph": "1.0.10",
    "langgraph-checkpoint": "4.1.1",
    "langgraph-checkpoint-sqlite": "3.1.1",
    "langsmith": "0.8.18",
    "mcp": "1.28.1",
    "orjson": "3.11.7",
    "python-multipart": "0.0.26",
    "starlette": "1.3.1",
}


@pytest.mark.parametrize(("package", "floor"), SECURITY_FLOORS.items())
def test_installed_versions_are_above_their_security_floor(package: str, floor: str) -> None:
    try:
        installed = Version(version(package))
    except PackageNotFoundError:
        pytest.skip(f"{package} is not installed")
    assert installed >= Version(floor)


def test_every_dependency_has_a_floor() -> None:
    project = PYPROJECT["project"]
    listed = project["dependencies"] + [d for extra in project["optional-dependencies"].values() for d in extra]
    listed += PYPROJECT["dependency-groups"]["dev"]
    own = [d for d in listed if d.startswith("agentgraph[")]
    assert [d for d in listed if d not in own and not re.search(r">=|==", d)] == []


def test_constraints_file_and_pyproject_pin_the_same_versions() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    both = (PYPROJECT["tool"]["uv"]["constraint-dependencies"], pins)
    in_pyproject, in_file = ([pin.replace('"', "'") for pin in each] for each in both)
    assert in_pyproject == in_file


def test_no_file_names_a_package_registry() -> None:
    for name in ("constraints.txt", "pyproject.toml"):
        assert not re.search(r"https?://[^\s]*(pypi|pythonhosted|simple)", (ROOT / name).read_text())


def test_importing_agentgraph_loads_nothing_heavy() -> None:
    heavy = ["langchain_core", "langgraph", "pydantic", "numpy", "faiss", "openai", "fastapi", "asyncio"]
    code = f"import sys, agentgraph; print([name for name in {heavy} if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert out.stdout.strip() == "[]"


def test_public_names_are_sorted_and_can_be_imported() -> None:
    assert agentgraph.__all__ == sorted(agentgraph.__all__)
    for name in agentgraph.__all__:
        assert getattr(agentgraph, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = agentgraph.Nonsense
