"""Show a run on a terminal as it happens: the answer word by word, then the receipt of how it came about.

Works on any width, without colour and without a terminal. What users and models wrote is shown as text only: it can
neither mark up nor steer the terminal.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from agentgraph.events import RunEvent, RunFinished, TextDelta, ToolFinished, ToolStarted
from agentgraph.run import RunResult

__all__ = ["LABEL_WIDTH", "MARKS", "RunView", "call_text", "compact_receipt", "receipt", "safe", "shortened"]

LABEL_WIDTH: Final = 8
MARKS: Final = {
    "inside": ("●", "green"),
    "outside": ("○", "yellow"),
    "told": ("◐", "cyan"),
    "undated": ("◌", "cyan"),
    "any": ("●", "green"),
    "pinned": ("■", "green"),
}
# Control characters could move the cursor, recolour or rename the window.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_LONGEST_OUTPUT: Final = 160


class RunView:
    """Writes one run's answer while it arrives, wrapped at words; tool calls stand between its parts.

    Feed it every event in order.
    """

    def __init__(self, console: Console, *, speaker: str = "agent") -> None:
        self._console = console
        self._speaker = speaker
        self._column = 0
        self._word = ""

    def on(self, event: RunEvent) -> None:
        """Show `event`, if it is one that is shown while the run goes on."""
        match event:
            case TextDelta():
                self._stream(event.text)
            case ToolStarted():
                self._end_paragraph()
                self._label("calls", "magenta")
                self._console.print(Text(call_text(event.name, event.arguments), style="magenta"))
                self._column = 0
            case ToolFinished():
                is_good = event.status == "success"
                self._label("", "")
                output = Text(f"{'→' if is_good else '✗'} {shortened(event.output)}", style="" if is_good else "red")
                self._console.print(output)
                self._column = 0
            case RunFinished():
                self._end_paragraph()
            case _:
                pass

    def interrupted(self) -> None:
        """End the line an answer was cut off on."""
        self._end_paragraph()

    def _stream(self, text: str) -> None:
        for piece in re.split(r"(\s)", safe(text)):
            if not piece:
                continue
            if not piece.isspace():
                self._word += piece
                continue
            self._flush_word()
            if piece == "\n":
                self._new_line()
            elif self._column > LABEL_WIDTH:
                self._put(" ")

    def _flush_word(self) -> None:
        word, self._word = self._word, ""
        if not word:
            return
        if self._column == 0:
            self._label(self._speaker, "bold cyan")
        elif self._column > LABEL_WIDTH and self._column + cell_len(word) >= self._console.width:
            self._new_line()
        self._put(word)

    def _put(self, text: str) -> None:
        self._console.print(Text(text), end="", soft_wrap=True)
        self._console.file.flush()
        self._column += cell_len(text)

    def _new_line(self) -> None:
        if self._column:
            self._console.print(f"\n{' ' * LABEL_WIDTH}", end="", soft_wrap=True)
            self._column = LABEL_WIDTH

    def _label(self, label: str, style: str) -> None:
        self._console.print(Text(f"{label:<{LABEL_WIDTH}}", style=style), end="", soft_wrap=True)
        self._column = LABEL_WIDTH

    def _end_paragraph(self) -> None:
        self._flush_word()
        if self._column:
            self._console.print()
        self._column = 0


def receipt(result: RunResult, *, zone: str, tools_left_out: Sequence[str] = ()) -> Padding:
    """Return how an answer came about: times understood, memories used and not, tools, tokens and milliseconds."""
    table = Table.grid(padding=(0, 1))
    table.add_column(width=LABEL_WIDTH - 2, style="dim")
    table.add_column(overflow="fold")
    for label, line in _receipt_lines(result, ZoneInfo(zone), tools_left_out):
        table.add_row(label, line)
    return Padding(table, (0, 0, 0, 1))


def compact_receipt(result: RunResult) -> Text:
    """Return the receipt in one line."""
    parts = [f"“{safe(window['mention'])}” = {window['text']}" for window in result.windows]
    parts.append(_count(len(result.memories), "memory", "memories"))
    parts += [f"{run.name} → {shortened(run.output, 40)}" for run in result.tool_runs]
    parts.append(f"{result.usage.input_tokens:,}+{result.usage.output_tokens:,} tokens")
    parts.append(f"{result.duration_ms:,.0f} ms")
    return Text(f"{' ' * LABEL_WIDTH}{' · '.join(parts)}", style="dim")


def safe(text: str) -> str:
    """Replace control characters, so that no text can steer the terminal."""
    return _CONTROL.sub("\ufffd", text.replace("\r\n", "\n"))


def shortened(text: str, longest: int = _LONGEST_OUTPUT) -> str:
    """Return `text` on one line of at most `longest` characters."""
    line = " ".join(safe(text).split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def call_text(tool: str, arguments: Mapping[str, Any]) -> str:
    """Return a tool call as it would be written."""
    written = (f"{name}={json.dumps(value, ensure_ascii=False, default=str)}" for name, value in arguments.items())
    return safe(f"{tool}({', '.join(written)})")


def _receipt_lines(result: RunResult, zone: ZoneInfo, tools_left_out: Sequence[str]) -> Iterator[tuple[str, Text]]:
    for window in result.windows:
        yield "time", Text(f"“{safe(window['mention'])}” is {window['text']}")
    for i, memory in enumerate(result.memories):
        yield "memory" if i == 0 else "", _memory_line(memory, zone)
    if not result.memories:
        yield "memory", Text("none recalled", style="dim")
    for memory in result.left_out:
        text = Text("· left out: ", style="dim").append(safe(memory["text"]))
        yield "", text.append(f" ({memory['why']})")
    if result.tools_offered or tools_left_out:
        yield "tools", _tools_line(result, tools_left_out)
    yield "cost", _cost_line(result)


def _memory_line(memory: Mapping[str, Any], zone: ZoneInfo) -> Text:
    mark, style = MARKS[memory["placed"]]
    line = Text(f"{mark} ", style=style).append(safe(memory["text"]), style="default")
    where = "" if memory["placed"] == "any" else f"{memory['placed']}: "
    told = f"told {_day(memory['recorded_at'], zone)}, " if memory["recorded_at"] else ""
    scores = f"score {memory['score']:.2f}"
    parts = [f"{name} {memory[name]:.2f}" for name in ("dense", "lexical") if memory[name] is not None]
    if parts:
        scores += f" ({', '.join(parts)})"
    why = "" if memory["placed"] == "any" else f"{where}{memory['why']}; "
    return line.append(f"\n  {why}{told}{scores}", style="dim")


def _tools_line(result: RunResult, left_out: Sequence[str]) -> Text:
    line = Text("offered ").append(", ".join(result.tools_offered) or "none", style="magenta")
    if left_out:
        line.append(f"; not {', '.join(left_out)}", style="dim")
    for run in result.tool_runs:
        line.append(f"\ncalled {run.name}: {run.status}, {run.duration_ms:.1f} ms", style="dim")
    return line


def _cost_line(result: RunResult) -> Text:
    usage = f"{result.usage.input_tokens:,} tokens in, {result.usage.output_tokens:,} out, {result.duration_ms:,.0f} ms"
    nodes = " · ".join(f"{node} {ms:,.1f}" for node, ms in result.node_ms.items())
    return Text(f"{usage}\n{nodes}", style="dim")


def _day(moment: str, zone: ZoneInfo) -> str:
    local = datetime.fromisoformat(moment).astimezone(zone)
    return f"{local:%a} {local.day} {local:%b %Y}"


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
