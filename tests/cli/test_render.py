"""What is shown of a run, and what cannot be."""

import io

from rich.console import Console

from agentgraph.cli.progress import DownloadProgress
from agentgraph.cli.render import RunView, safe
from agentgraph.events import RunFinished, TextDelta, ToolFinished, ToolStarted, Usage

FINISHED = RunFinished(
    run_id="r", message_id="m", text="", tool_calls=(), finish_reason="stop", usage=Usage(), duration_ms=1.0
)


def shown(*events, width=40):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    view = RunView(console)
    for event in (*events, FINISHED):
        view.on(event)
    return console.file.getvalue()


def test_text_is_wrapped_at_words_wherever_the_pieces_end():
    text = "The quick brown fox jumps over the lazy dog and runs away."
    pieces = [TextDelta(text=text[i : i + 3]) for i in range(0, len(text), 3)]
    lines = shown(*pieces).splitlines()
    assert all(len(line) <= 40 for line in lines)
    assert " ".join(line[8:].strip() for line in lines) == text


def test_no_text_steers_the_terminal_or_marks_up():
    output = shown(TextDelta(text="\x1b[31mred\x1b[0m \x07 [bold]x[/bold]\n"))
    assert "\x1b" not in output
    assert "\x07" not in output
    assert "[bold]x[/bold]" in output
    assert safe("a\r\nb\tc\x9b") == "a\nb\tc\ufffd"


def test_tool_calls_stand_between_the_parts_of_an_answer():
    output = shown(
        TextDelta(text="Let me see."),
        ToolStarted(tool_call_id="1", name="get_time", arguments={"timezone": "Asia/Tokyo"}),
        ToolFinished(tool_call_id="1", name="get_time", status="success", output="19:03", duration_ms=1.0),
        TextDelta(text="It is 19:03."),
        width=80,
    )
    assert output.splitlines() == [
        "agent   Let me see.",
        'calls   get_time(timezone="Asia/Tokyo")',
        "        → 19:03",
        "agent   It is 19:03.",
    ]


def test_progress_without_a_terminal_is_a_line_now_and_then():
    console = Console(file=io.StringIO(), width=80)
    with DownloadProgress(console) as progress:
        for done in range(101):
            progress(done * 1_000_000, 100_000_000, "huggingface.co")
    lines = console.file.getvalue().splitlines()
    assert 5 <= len(lines) <= 12
    assert lines[-1] == "fetching the model from huggingface.co: 100 of 100 MB"
