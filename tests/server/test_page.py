"""The page at `/`, in a real Chromium before a real server."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from playwright.sync_api import Browser, Locator, Page, Route, expect, sync_playwright

from agentgraph import tool
from agentgraph.server import page as page_package
from agentgraph.testing import ScriptedChatModel
from tests.server.conftest import Serve, Served
from tests.server.test_guard import make_key

pytestmark = pytest.mark.integration

ASSETS = Path(page_package.__file__).parent / "assets"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HOSTILE = (
    '<img src=x onerror="window.harmed=1"><script>window.harmed=1</script><b>b</b> javascript:alert(1) ‮ \u0007 &lt;'
)
Open = Callable[..., Page]


@tool
def weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"rain in {city} {HOSTILE}"


@tool
def broken(city: str) -> str:
    """Tell the tides of a city."""
    raise ValueError("no sea here")


@tool(needs_approval=True)
def close_account(name: str) -> str:
    """Close an account for good."""
    return f"closed {name}"


def call(name: str, /, **arguments: Any) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": f"call-{name}"}])


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine")
    expect.set_options(timeout=15_000)  # where the machine is busy; what is there is seen at once
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Open]:
    """Open the page; at the end nothing may have gone wrong in it, nor have been asked of another host."""
    complaints: list[str] = []
    contexts = []

    def start(served: Served, view: str = "chat", *, quiet: bool = True, **options: Any) -> Page:
        context = chromium.new_context(**{"viewport": {"width": 1100, "height": 800}, "locale": "en-GB"} | options)
        contexts.append(context)
        context.set_default_timeout(20_000)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda asked: asked.url.startswith(served.url) or complaints.append(asked.url))
        if quiet:
            page.on("console", lambda told: told.type == "error" and complaints.append(told.text))
        page.goto(f"{served.url}/#{view}")
        expect(page.locator("#about")).not_to_be_empty() if quiet else None
        return page

    yield start
    harmed = [page.evaluate("window.harmed") for context in contexts for page in context.pages]
    for context in contexts:
        context.close()
    assert not any(harmed), "a text was run as a script"
    assert not complaints


def say(page: Page, text: str) -> Locator:
    """Say something, wait for the answer and return it."""
    page.get_by_label("Message").fill(text)
    page.get_by_label("Message").press("Enter")
    expect(page.locator("#log article.mine").last).to_contain_text(text)
    expect(page.get_by_role("button", name="Send")).to_be_enabled()
    return page.locator("#log article").last


# What is served


def test_a_browser_gets_the_page_and_a_program_is_told_where_things_are(serve: Serve) -> None:
    served = serve()
    page = served.http.get("/", headers={"accept": "text/html,*/*;q=0.8"})
    assert page.headers["content-type"].startswith("text/html")
    assert "Accept" in page.headers["vary"]
    assert served.http.get("/").json()["name"] == "agentgraph"


def test_the_page_may_load_and_run_nothing_but_its_own_files(serve: Serve) -> None:
    served = serve()
    for path in ["/", *(f"/page/assets/{file.name}" for file in ASSETS.iterdir())]:
        answer = served.http.get(path, headers={"accept": "text/html"})
        assert answer.status_code == 200
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "require-trusted-types-for 'script'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_files_are_sent_packed_and_only_where_they_have_changed(serve: Serve) -> None:
    http = serve().http
    packed = http.get("/page/assets/main.js")
    plain = http.get("/page/assets/main.js", headers={"accept-encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.text == plain.text == (ASSETS / "main.js").read_text()
    again = http.get("/page/assets/main.js", headers={"if-none-match": packed.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("name", ["nothing.js", "..%2Froutes.py", "%2e%2e%2froutes.py", "style.css%00", "."])
def test_what_is_none_of_the_pages_files_is_not_served(serve: Serve, name: str) -> None:
    answer = serve().http.get(f"/page/assets/{name}")
    assert answer.status_code == 404
    assert answer.json()["code"] in {"route_not_found", "http_error"}


def test_the_page_is_small_and_has_no_code_within_its_html() -> None:
    html = (ASSETS / "index.html").read_text()
    loaded = [file.read_bytes() for file in ASSETS.iterdir() if file.suffix in {".js", ".css"}]
    assert sum(map(len, loaded)) < 75_000
    assert sum(len(gzip.compress(file)) for file in loaded) < 30_000
    assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|\sstyle=|https?://", html)
    for script in ASSETS.glob("*.js"):
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", script.read_text())


def test_who_asks_and_what_the_graph_looks_like(serve: Serve) -> None:
    served = serve(api_keys=["let-me-in"])
    assert served.http.get("/page/about").status_code == 401
    about = served.http.get("/page/about", headers={"authorization": "Bearer let-me-in"}).json()
    assert "admin" in about["caller"]["scopes"]
    assert "call_model" in about["graph"]["nodes"]
    assert ["filter_tools", "call_model", False] in about["graph"]["edges"]


# A turn, event by event


def turn(served: Served, name: str | None = None, **body: Any) -> httpx.Response:
    headers = {} if name is None else {"idempotency-key": name}
    return served.http.post("/page/turns", json={"tenant": "acme", **body}, headers=headers)


def told(answer: httpx.Response) -> list[tuple[str, dict[str, Any]]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    frames = [frame.split("\n", 1) for frame in answer.text.strip().split("\n\n")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in frames]


def test_a_turn_tells_every_event_of_its_run(serve: Serve) -> None:
    served = serve([call("weather", city="Rome"), "It rains."], tools=[weather])
    events = told(turn(served, message="Weather?", thread="t"))
    names = [name for name, _ in events]
    assert names[0] == "run_started"
    assert names[-1] == "run_finished"
    assert {"tools_offered", "tool_started", "tool_finished", "answer_completed", "text_delta"} <= set(names)
    assert [data["node"] for name, data in events if name == "node_finished"][-1] == "call_model"
    assert "".join(data["text"] for name, data in events if name == "text_delta") == "It rains."
    assert not any("response_metadata" in data for _, data in events)


def test_a_turn_that_fails_within_says_so_in_the_stream_without_the_vendors_words(serve: Serve) -> None:
    served = serve([RuntimeError("secret sk-abcdef")])
    answer = turn(served, message="Hello", thread="t")
    name, fault = told(answer)[-1]
    assert name == "run_failed"
    assert fault["status"] == 500
    assert fault["request_id"] == answer.headers["x-request-id"]
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"tenant": "no tenant!", "message": "Hello"}, "invalid_input"),
        ({"message": "", "thread": "t"}, "invalid_input"),
        ({"message": "Hello", "timezone": "Mars/Base"}, "invalid_input"),
        ({"message": "Hello", "unknown": 1}, "invalid_input"),
    ],
)
def test_what_cannot_begin_is_an_error_with_a_status(serve: Serve, body: dict[str, Any], code: str) -> None:
    answer = turn(serve(), **body)
    assert answer.status_code in {400, 422}
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == code or answer.json()["code"].startswith("invalid")


def test_a_turn_needs_a_key_and_keeps_to_its_tenant(serve: Serve) -> None:
    served = serve(api_keys=["let-me-in"])
    assert turn(served, message="Hello").status_code == 401


def test_a_turn_sent_again_under_its_name_joins_its_run(serve: Serve) -> None:
    served = serve()
    first = told(turn(served, "once", message="Hello", thread="t"))
    again = told(turn(served, "once", message="Hello", thread="t"))
    assert again[0][1]["run_id"] == first[0][1]["run_id"]
    assert again[-1][1]["text"] == first[-1][1]["text"]
    assert len(served.model.calls) == 1


# The chat


def test_an_answer_comes_with_its_tools_receipts_and_path(serve: Serve, visit: Open) -> None:
    served = serve([call("weather", city="Rome"), "It rains in Rome.", "Last week you were there."], tools=[weather])
    page = visit(served)
    answer = say(page, "I was in Rome last week. Weather?")
    expect(answer).to_contain_text("It rains in Rome.")
    used = answer.locator("details", has_text="Tool weather")
    expect(used.locator("summary")).to_contain_text("✓ done in")
    used.locator("summary").click()
    expect(used).to_contain_text('"city": "Rome"')
    answer = say(page, "Where was I last week?")
    answer.get_by_text("1 memory used").click()
    expect(answer.get_by_role("listitem")).to_contain_text("✓ usedI was in Rome last week.")
    expect(answer).to_contain_text("Relevance")
    answer.get_by_text("1 tool shown, 0 not").click()
    expect(answer.get_by_role("row", name="weather")).to_contain_text("nothing is filtered")
    answer.get_by_role("link", name="Path of this run").click()
    expect(page.get_by_role("heading", name="Run")).to_be_focused()
    expect(page.get_by_role("img")).to_have_accessible_name(re.compile("retrieve_memory, then filter_by_time"))
    expect(page.get_by_role("row", name=re.compile("call_model"))).to_contain_text("ms")


def test_a_failing_tool_is_told_in_words(serve: Serve, visit: Open) -> None:
    page = visit(serve([call("broken", city="Rome"), "I could not find out."], tools=[broken]))
    expect(say(page, "Tides?").locator("summary", has_text="Tool broken")).to_contain_text("✗ failed after")


@pytest.mark.parametrize(
    ("choice", "edit", "ran"),
    [("Approve", None, "closed bob"), ("Approve", '{"name": "ann"}', "closed ann"), ("Reject", None, None)],
)
def test_a_call_that_needs_leave_is_asked_about(
    serve: Serve, visit: Open, choice: str, edit: str | None, ran: str | None
) -> None:
    served = serve([call("close_account", name="bob"), "As you wish."], tools=[close_account])
    page = visit(served)
    say(page, "Close bob's account.")
    card = page.get_by_role("form", name="The agent asks")
    expect(card.get_by_role("heading")).to_be_focused()
    expect(card.get_by_role("group", name="Tool close_account")).to_contain_text("always needs leave")
    if edit:
        card.get_by_label("Arguments").fill(edit)
    card.get_by_role("radio", name=choice).check()
    card.get_by_role("button", name="Answer").click()
    expect(page.locator("#log article").last).to_contain_text("As you wish.")
    outputs = [message.text for message in served.model.calls[-1]["messages"] if message.type == "tool"]
    assert len(outputs) == 1
    assert outputs[0].endswith(ran) if ran else "closed" not in outputs[0]


def test_arguments_that_are_no_json_are_not_sent(serve: Serve, visit: Open) -> None:
    page = visit(serve([call("close_account", name="bob")], tools=[close_account]))
    say(page, "Close bob's account.")
    page.get_by_label("Arguments").fill("{oops")
    page.get_by_role("radio", name="Approve").check()
    page.get_by_role("button", name="Answer").click()
    expect(page.get_by_role("alert").filter(has_text="are not JSON")).to_be_visible()


def test_no_text_of_anybodys_becomes_html(serve: Serve, visit: Open) -> None:
    script = [call("weather", city=HOSTILE), f"{HOSTILE}\n```{HOSTILE}\n{HOSTILE}\n```\n{HOSTILE}", "Yes."]
    page = visit(serve(script, tools=[weather]))
    say(page, HOSTILE)
    answer = say(page, f"again {HOSTILE}")
    for summary in page.locator("#log summary").all():
        summary.click()
    assert page.locator("#log img, #log script, #log b").count() == 0
    expect(page.locator("#log")).to_contain_text("<script>window.harmed=1</script>")
    answer.get_by_role("link", name="Path of this run").click()
    for view in ("Memories", "Threads"):
        page.get_by_role("link", name=view).click()
        expect(page.get_by_role("heading", name=view, level=1)).to_be_focused()
    assert page.locator("main img, main script, main b").count() == 0


def test_html_cannot_be_made_of_text_even_by_a_mistake_of_ours(serve: Serve, visit: Open) -> None:
    page = visit(serve(), quiet=False)
    page.wait_for_selector("#log")
    refused = page.evaluate("() => { try { document.body.innerHTML = '<p>'; } catch (error) { return error.name; } }")
    assert refused == "TypeError"


class Held(ScriptedChatModel):
    """Says one word, and the rest when it is let go on."""

    _go: threading.Event

    async def _astream(self, *args: Any, **options: Any) -> Any:
        yield ChatGenerationChunk(message=AIMessageChunk("First sentence. "))
        await asyncio.to_thread(self._go.wait, 10)
        yield ChatGenerationChunk(message=AIMessageChunk("Second."))


@pytest.fixture
def go() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def held(go: threading.Event) -> Held:
    model = Held(script=[])
    model._go = go
    return model


def test_an_answer_is_read_out_by_sentences_while_it_comes(serve: Serve, visit: Open, go: threading.Event) -> None:
    page = visit(serve(held(go)))
    page.get_by_label("Message").fill("Hello")
    page.get_by_label("Message").press("Enter")
    spoken = page.locator("[aria-live=polite]")
    expect(spoken).to_have_text("First sentence. ")
    expect(page.locator("#log article").last).to_contain_text("First sentence.")
    expect(page.get_by_role("button", name="Send")).to_be_disabled()
    go.set()
    expect(spoken).to_have_text("First sentence. Second.")


def test_an_answer_can_be_stopped(serve: Serve, visit: Open, go: threading.Event) -> None:
    served = serve(held(go))
    page = visit(served)
    page.get_by_label("Message").fill("Hello")
    page.get_by_label("Message").press("Enter")
    expect(page.locator("#log article").last).to_contain_text("First sentence.")
    page.get_by_role("button", name="Stop").click()
    answer = page.locator("#log article").last
    expect(answer).to_contain_text("Stopped before its end.")
    expect(answer).to_contain_text("First sentence.")
    expect(page.get_by_label("Message")).to_be_focused()


# When something is wrong


def test_a_key_is_asked_for_and_kept_for_the_tab_alone(serve: Serve, visit: Open) -> None:
    page = visit(serve(api_keys=["let-me-in"]), quiet=False)
    expect(page.get_by_role("alert").first).to_have_text(re.compile("asks for a key"))
    page.get_by_label("API key").fill("wrong")
    page.get_by_role("button", name="Use key").click()
    expect(page.get_by_role("alert").first).to_have_text(re.compile("was not accepted"))
    page.get_by_label("API key").fill("let-me-in")
    page.get_by_role("button", name="Use key").click()
    expect(page.locator("#banner")).to_be_hidden()
    expect(page.get_by_label("API key")).to_have_value("")
    expect(say(page, "Hello")).to_contain_text("You said")
    assert "let-me-in" in page.evaluate("JSON.stringify(sessionStorage)")
    assert "let-me-in" not in page.evaluate("JSON.stringify(localStorage) + document.cookie + location.href")
    another = page.context.new_page()
    another.goto(page.url)
    expect(another.get_by_role("alert").first).to_have_text(re.compile("asks for a key"))
    page.get_by_role("button", name="Forget key").click()
    expect(page.get_by_role("alert").first).to_have_text(re.compile("asks for a key"))
    assert "let-me-in" not in page.evaluate("JSON.stringify(sessionStorage)")
    expect(page.locator("#log article")).to_have_count(0)
    page.get_by_role("link", name="Run", exact=True).click()
    expect(page.locator("#run")).to_contain_text("No run yet")


def test_what_was_written_survives_being_offline(serve: Serve, visit: Open) -> None:
    served = serve()
    page = visit(served, quiet=False)
    expect(page.locator("#about")).not_to_be_empty()
    page.context.set_offline(True)
    expect(page.get_by_role("alert").first).to_contain_text("You are offline")
    page.get_by_label("Message").fill("Hello from a train")
    page.get_by_label("Message").press("Enter")
    expect(page.locator("#log").get_by_role("alert")).to_contain_text("You are offline")
    page.context.set_offline(False)
    expect(page.locator("#banner")).to_be_hidden()
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#log article").last).to_contain_text("You said")
    assert len(served.model.calls) == 1


def test_a_limit_is_told_with_when_to_try_again(serve: Serve, visit: Open) -> None:
    page = visit(serve(), quiet=False)
    page.route(
        "**/page/turns",
        lambda route: route.fulfill(
            status=429,
            headers={"retry-after": "7"},
            json={"detail": "6 requests a minute are allowed", "code": "rate_limit_exceeded"},
        ),
    )
    say(page, "Hello")
    expect(page.locator("#log").get_by_role("alert")).to_contain_text(
        "6 requests a minute are allowed. Try again in 7 s."
    )


def test_a_failure_within_an_answer_is_told_and_can_be_tried_again(serve: Serve, visit: Open) -> None:
    served = serve([RuntimeError("boom"), "Here I am."])
    page = visit(served)
    fault = say(page, "Hello").get_by_role("alert")
    expect(fault).to_contain_text("something went wrong on the server")
    expect(fault).to_contain_text("Request req-")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#log article").last).to_contain_text("Here I am.")
    expect(page.locator("#log").get_by_role("alert")).to_have_count(0)


def test_a_stream_that_breaks_off_is_joined_again_and_nothing_is_said_twice(serve: Serve, visit: Open) -> None:
    served = serve()
    page = visit(served)
    cut = 'event: text_delta\ndata: {"text": "You sa"}\n\n'

    def break_off(route: Route) -> None:
        route.fetch()
        route.fulfill(content_type="text/event-stream", body=cut)

    page.route("**/page/turns", break_off, times=1)
    answer = say(page, "Hello")
    expect(answer.get_by_role("alert")).to_contain_text("broke off within the answer")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#log article").last).to_contain_text("You said")
    assert len(served.model.calls) == 1


# Memories


def remembered(serve: Serve, visit: Open, *texts: str, quiet: bool = True) -> tuple[Served, Page]:
    served = serve()
    for text in texts:
        assert served.http.post("/api/v1/memories", json={"text": text}).status_code == 201
    return served, visit(served, "memories", quiet=quiet)


def entry(page: Page, text: str) -> Locator:
    return page.get_by_role("listitem").filter(has_text=text)


def test_memories_stand_along_time_and_are_searched_with_receipts(serve: Serve, visit: Open) -> None:
    _, page = remembered(serve, visit, "I fly to Kyoto next month", "I was in Rome last week", f"I like tea {HOSTILE}")
    expect(page.get_by_role("status")).to_contain_text("3 memories")
    assert [text.split()[2] for text in page.locator("#memories .text").all_text_contents()] == ["in", "tea", "to"]
    expect(page.locator("#memories")).to_contain_text("<script>")
    page.get_by_label("Search").fill("Where was I last week?")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("status")).to_contain_text("Times asked about")
    expect(entry(page, "Rome")).to_contain_text("✓ used")
    expect(entry(page, "Kyoto")).to_contain_text("○ left out")
    page.get_by_label("As of").fill("2020-01-01T00:00:00")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("status")).to_contain_text("0 found, 0 left out.")


def test_the_timeline_can_be_narrowed(serve: Serve, visit: Open) -> None:
    _, page = remembered(serve, visit, "I fly to Kyoto on 3 April 2031", "I flew to Rome on 3 April 2011")
    page.get_by_label("From").fill("2031-01-01")
    page.get_by_role("button", name="Show timeline").click()
    expect(page.get_by_role("status")).to_contain_text("1 memory,")
    expect(entry(page, "Kyoto")).to_be_visible()


def test_a_memory_is_added_and_corrected(serve: Serve, visit: Open) -> None:
    served, page = remembered(serve, visit)
    page.get_by_text("Add a memory").click()
    page.get_by_label("Text").fill("I like tea")
    page.get_by_role("button", name="Add").click()
    entry(page, "I like tea").get_by_role("button", name="Edit").click()
    expect(page.get_by_label("New text")).to_be_focused()
    page.get_by_label("New text").fill("I like coffee")
    page.get_by_role("button", name="Save").click()
    expect(entry(page, "I like coffee")).to_be_visible()
    expect(page.get_by_role("heading", name="Memories")).to_be_focused()
    listed = served.http.get("/api/v1/memories").json()["data"]
    assert [memory["text"] for memory in listed] == ["I like coffee"]


def test_a_memory_somebody_changed_meanwhile_is_not_overwritten(serve: Serve, visit: Open) -> None:
    served, page = remembered(serve, visit, "I like tea", quiet=False)
    entry(page, "I like tea").get_by_role("button", name="Edit").click()
    expect(page.get_by_label("New text")).to_be_focused()
    (memory,) = served.http.get("/api/v1/memories").json()["data"]
    served.http.put(f"/api/v1/memories/{memory['key']}", json={"text": "I like milk"})
    page.get_by_label("New text").fill("I like coffee")
    with page.expect_response(lambda answer: answer.status == 412):
        page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert").filter(has_text="changed since")).to_be_visible()
    expect(page.get_by_label("New text")).to_have_value("I like coffee")


def test_forgetting_shows_its_plan_first(serve: Serve, visit: Open) -> None:
    served, page = remembered(serve, visit, "I like tea", "I like milk")
    opener = entry(page, "I like tea").get_by_role("button", name="Forget")
    opener.click()
    dialog = page.get_by_role("dialog", name="Forget this for good?")
    expect(dialog).to_contain_text("1 × episode")
    page.keyboard.press("Escape")
    expect(opener).to_be_focused()
    assert len(served.http.get("/api/v1/memories").json()["data"]) == 2
    opener.click()
    dialog.get_by_role("button", name="Forget").click()
    expect(page.get_by_role("status")).to_contain_text("Forgotten.")
    expect(entry(page, "I like tea")).to_have_count(0)
    assert [memory["text"] for memory in served.http.get("/api/v1/memories").json()["data"]] == ["I like milk"]


# Threads


def test_a_thread_is_read_gone_back_on_forked_and_deleted(serve: Serve, visit: Open) -> None:
    served = serve()
    page = visit(served)
    page.get_by_role("combobox", name="Thread").fill("travels")
    page.get_by_role("combobox", name="Thread").press("Tab")
    for text in ("One", "Two"):
        say(page, text)
    page.get_by_role("link", name="Threads").click()
    page.get_by_role("button", name="travels").click()
    tree = page.get_by_role("list", name="Checkpoints")
    expect(tree.get_by_role("button")).to_have_count(2)
    expect(tree.get_by_role("button").last).to_contain_text("● the thread stands here")

    tree.get_by_role("button", name="One").click()
    reading = page.get_by_role("region", name="As it stood")
    expect(reading).to_contain_text("You said")
    expect(reading).not_to_contain_text("Two")
    reading.get_by_role("button", name="Go on from here").click()
    expect(page.get_by_role("status").filter(has_text="goes on from there")).to_be_visible()
    page.get_by_role("button", name="Open in chat").click()
    expect(page.locator("#log")).not_to_contain_text("Two")
    say(page, "Three")
    said = [message.text for message in served.model.calls[-1]["messages"] if message.type == "human"]
    assert len(said) == 2

    page.get_by_role("link", name="Threads").click()
    page.get_by_role("button", name="travels").click()
    expect(tree.get_by_role("button", name=re.compile("branches off “One”"))).to_have_count(1)
    tree.get_by_role("button", name="Two").click()
    reading.get_by_role("button", name="Fork from here").click()
    page.get_by_label("Name of the new thread").fill("other")
    page.get_by_role("dialog").get_by_role("button", name="Fork").click()
    expect(page.get_by_role("heading", name="Thread other")).to_be_visible()
    assert [message["content"] for message in served.http.get("/api/v1/threads/other/messages").json()["data"]][
        2
    ] == "Two"

    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("status").filter(has_text="other is gone")).to_be_visible()
    assert served.http.get("/api/v1/threads/other").status_code == 404
    assert served.http.get("/api/v1/threads/travels").status_code == 200


def test_a_conversation_is_there_again_after_a_reload_with_what_it_waits_for(serve: Serve, visit: Open) -> None:
    page = visit(serve([call("close_account", name="bob"), "As you wish."], tools=[close_account]))
    say(page, f"Close bob's account. {HOSTILE}")
    page.reload()
    expect(page.locator("#log article.mine")).to_contain_text("Close bob's account.")
    page.get_by_role("radio", name="Approve").check()
    page.get_by_role("button", name="Answer").click()
    expect(page.locator("#log article").last).to_contain_text("As you wish.")
    page.get_by_role("link", name="Run", exact=True).click()
    page.reload()
    expect(page.locator("#run")).to_contain_text("of others only the end is noted")


def test_a_session_is_a_conversation_too(serve: Serve, visit: Open) -> None:
    served = serve()
    page = visit(served)
    page.locator("select[name=kind]").select_option("session")
    page.get_by_role("combobox", name="Session", exact=True).fill("call-7")
    page.get_by_role("combobox", name="Session", exact=True).press("Tab")
    say(page, "Hello")
    page.reload()
    expect(page.locator("#log article")).to_have_count(2)
    page.get_by_role("link", name="Threads").click()
    page.get_by_role("button", name="session call-7").click()
    expect(page.locator("#thread")).to_contain_text("You said")
    page.get_by_role("button", name="End session").click()
    page.get_by_role("dialog").get_by_role("button", name="End").click()
    expect(page.get_by_role("status").filter(has_text="call-7 is gone")).to_be_visible()
    assert served.http.get("/api/v1/sessions").json()["data"] == []


def test_a_key_of_a_user_shows_that_users_alone(serve: Serve) -> None:
    served = serve()
    told(turn(served, message="Hello", thread="anns", user="ann"))
    asked = {"tenant": "acme", "thread": "anns"}
    assert len(served.http.get("/page/conversation", params=asked).json()["messages"]) == 2
    with ThreadPoolExecutor(1) as thread:  # Playwright's loop is this one's
        keys = {
            user: thread.submit(make_key, served, scope="user", tenant="acme", user=user).result()
            for user in ("ann", "bob")
        }

    def read(user: str, **place: str) -> httpx.Response:
        return served.http.get("/page/conversation", params=place, headers=keys[user])

    assert len(read("ann", thread="anns").json()["messages"]) == 2
    assert read("bob", thread="anns").status_code == 404
    assert read("ann", thread="anns", tenant="other").json()["code"] == "tenant_not_found"
    speaks = served.http.post("/page/turns", json={"message": "Hi", "thread": "anns"}, headers=keys["bob"])
    assert speaks.status_code == 404


# For everybody

VIEWS = ("chat", "memories", "threads", "run")


def filled(serve: Serve, visit: Open, **options: Any) -> Page:
    """Return a page with a conversation, a memory, a thread and a question that waits."""
    script = [call("weather", city="Rome"), "It rains in Rome.\n```\ncode\n```", call("close_account", name="bob")]
    page = visit(serve(script, tools=[weather, close_account]), **options)
    say(page, "I was in Rome last week. Weather?")
    say(page, "Close bob's account.")
    return page


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_axe_finds_nothing_that_shuts_anybody_out(serve: Serve, visit: Open, colours: str) -> None:
    page = filled(serve, visit, color_scheme=colours)
    for view in VIEWS:
        page.goto(f"{page.url.partition('#')[0]}#{view}")
        expect(page.locator(f"#view-{view}")).to_be_visible()
        page.wait_for_load_state("networkidle")
        page.evaluate("document.querySelectorAll('details').forEach((details) => (details.open = true))")
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()


def test_narrow_screens_need_no_scrolling_sideways(serve: Serve, visit: Open) -> None:
    page = filled(serve, visit, viewport={"width": 340, "height": 700})
    for view in VIEWS:
        page.goto(f"{page.url.partition('#')[0]}#{view}")
        expect(page.locator(f"#view-{view}")).to_be_visible()
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= 340, view


def test_the_page_can_be_used_with_the_keyboard_alone(serve: Serve, visit: Open) -> None:
    page = visit(serve())
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    passed = []
    for _ in range(30):
        page.keyboard.press("Tab")
        passed.append(
            page.evaluate(
                "document.activeElement.textContent.trim() || document.activeElement.name || document.activeElement.id"
            )
        )
        if passed[-1] == "text":
            break
    assert passed[:5] == ["Chat", "Memories", "Threads", "Run", "Theme: system"]
    assert passed[5:8] == ["Who and where", "tenant", "user"]
    assert passed[-1] == "text"
    page.keyboard.type("Hello")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("there")
    page.keyboard.press("Enter")
    expect(page.locator("#log article.mine")).to_contain_text("Hello\nthere")
    for landmark in ("banner", "main", "navigation", "complementary"):
        expect(page.get_by_role(landmark)).to_have_count(1)


def test_the_colours_are_the_systems_until_others_are_chosen(serve: Serve, visit: Open) -> None:
    page = visit(serve(), color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.get_by_role("button", name="Theme: system").click()
    expect(page.get_by_role("button", name="Theme: light")).to_be_visible()
    light = page.evaluate(ground)
    assert light != dark
    page.reload()
    expect(page.get_by_role("button", name="Theme: light")).to_be_visible()
    assert page.evaluate(ground) == light
    page.get_by_role("button", name="Theme: light").click()
    assert page.evaluate(ground) == dark
