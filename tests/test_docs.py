"""Documentation that cannot lie: code blocks run, tables are made from the code, every setting is described."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from agentgraph.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [
    pytest.param(block, id=f"{page.name}:{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL), 1)
]


@pytest.mark.integration
@pytest.mark.parametrize("block", BLOCKS)
def test_python_blocks_run_offline(block: str, tmp_path: Path) -> None:
    """Each block is a program of its own, run in an empty directory with the model the block names."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", block], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    for line in re.findall(r"# prints: (.*)", block):
        assert line in done.stdout


def test_the_readmes_blocks_say_what_they_print() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert blocks
    assert all("# prints: " in block for block in blocks)


def test_the_settings_page_lists_every_setting() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    assert page == settings_page(), "run: uv run python tests/test_docs.py"


def settings_page() -> str:
    """Return docs/settings.md, made from the settings themselves."""
    lines = [
        "# Settings",
        "",
        "Give them to `AgentGraph(...)` by name, or in the environment. Made from `agentgraph/settings.py`.",
        "",
        "| name | environment | default | what it does |",
        "| --- | --- | --- | --- |",
    ]
    for name, field in Settings.model_fields.items():
        choices = getattr(field.validation_alias, "choices", [f"AGENTGRAPH_{name.upper()}"])
        variables = ", ".join(f"`{choice}`" for choice in choices if choice.isupper())
        lines.append(f"| `{name}` | {variables} | `{field.default}` | {field.description} |")
    return "\n".join(lines) + "\n"


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


if __name__ == "__main__":
    (ROOT / "docs" / "settings.md").write_text(settings_page())
