// Messages as they are shown, and one answer that grows with its run's events.

import { button, count, el, ms, pretty } from "./dom.js";
import { memoryReceipt, toolReceipts } from "./receipts.js";

const SENTENCE = /[^.!?。！？\n]*[.!?。！？\n]+\s*/gu;

/** Return list items for stored messages, `{role, text, calls, name}`. */
export function said(messages) {
  return messages.map((message) => {
    if (message.role === "tool") {
      return el("li", {}, el("details", { className: "tool" }, el("summary", {}, `Tool ${message.name ?? ""} answered`), el("pre", {}, message.text)));
    }
    const calls = (message.calls ?? []).map((call) =>
      el("details", { className: "tool" }, el("summary", {}, `Called ${call.name}`), el("pre", {}, pretty(call.arguments))));
    const isMine = message.role === "user";
    return el("li", {}, el("article", { className: isMine ? "mine" : "" },
      el("p", { className: "who" }, isMine ? "You" : message.role === "assistant" ? "Agent" : message.role),
      el("div", {}, prose(message.text)), calls));
  });
}

/** Return text as nodes: fenced code stands apart, all else is shown as it was written. */
export function prose(text) {
  return text.split(/^```[^\n]*\n([\s\S]*?)(?:^```[ \t]*$|(?![\s\S]))/m).flatMap((part, i) => {
    if (!part.trim()) return [];
    return i % 2 ? el("pre", {}, part.replace(/\n$/, "")) : el("p", { className: "text" }, part.trim());
  });
}

/** An answer under way. */
export class Answer {
  /** @param spoken the live region that reads the text out, @param tell shows what is going on. */
  constructor(spoken, tell) {
    this.spoken = spoken;
    this.tell = tell;
    this.body = el("article");
    this.item = el("li", {}, this.body);
    this.clear();
  }

  /** Begin anew. */
  clear() {
    this.nodes = [];
    this.tools = new Map();
    this.receipts = new Map();
    this.recalled = null;
    this.ending = null;
    this.started = null;
    this.unread = "";
    this.spoken.replaceChildren();
    this.body.replaceChildren(el("p", { className: "who" }, "Agent"));
    this.paragraph = null;
  }

  /** Take one event of the run. */
  take(name, data) {
    const react = {
      run_started: () => (this.started = data),
      memories_recalled: () => (this.recalled = data),
      tools_offered: () => data.receipts.forEach((receipt) => this.receipts.set(receipt.name, receipt)),
      text_delta: () => this.write(data.text),
      answer_completed: () => this.settle(),
      tool_started: () => this.beginTool(data),
      tool_finished: () => this.endTool(data),
      node_finished: () => this.nodes.push({ node: data.node, ms: data.duration_ms, tools: data.node === "execute_tools" ? this.untold() : [] }),
      run_finished: () => this.finish(data),
    }[name];
    react?.();
  }

  write(text) {
    if (!this.paragraph) {
      this.paragraph = el("p", { className: "text busy" }, new Text(""));
      this.written = "";
      this.body.append(this.paragraph);
      this.tell("Answering…");
    }
    this.written += text;
    this.paragraph.firstChild.appendData(text);
    this.unread += text;
    const sentences = this.unread.match(SENTENCE);
    if (sentences) this.read(sentences.join(""));
  }

  /** Have whole sentences read out; single words would be stammered. */
  read(text) {
    this.unread = this.unread.slice(text.length);
    this.spoken.append(el("span", {}, text));
    while (this.spoken.childElementCount > 8) this.spoken.firstChild.remove();
  }

  settle() {
    if (this.unread.trim()) this.read(this.unread);
    this.unread = "";
    this.paragraph?.replaceWith(...prose(this.written));
    this.paragraph = null;
  }

  beginTool({ tool_call_id: id, name, arguments: args }) {
    const status = el("span", {}, "… running");
    const output = el("pre", { hidden: true });
    const box = el("details", { className: "tool" }, el("summary", {}, `Tool ${name}: `, status),
      el("p", { className: "note" }, "Arguments"), el("pre", {}, pretty(args)), el("p", { className: "note", hidden: true }, "Output"), output);
    this.tools.set(id, { name, status, output, box, isTold: false });
    this.body.append(box);
    this.tell(`Calling ${name}…`);
  }

  endTool({ tool_call_id: id, name, status, output, duration_ms: took }) {
    if (!this.tools.has(id)) this.beginTool({ tool_call_id: id, name, arguments: {} });
    const tool = this.tools.get(id);
    Object.assign(tool, { result: status, took });
    tool.status.textContent = status === "success" ? `✓ done in ${ms(took)}` : `✗ failed after ${ms(took)}`;
    tool.status.className = status === "success" ? "good" : "bad";
    tool.output.textContent = output;
    tool.box.querySelectorAll("[hidden]").forEach((part) => (part.hidden = false));
    this.tell(`${name} ${status === "success" ? "is done" : "failed"}.`);
  }

  /** Return the tools that ended and belong to no node yet. */
  untold() {
    const tools = [...this.tools.values()].filter((tool) => tool.result && !tool.isTold);
    return tools.map((tool) => {
      tool.isTold = true;
      return { name: tool.name, status: tool.result, ms: tool.took };
    });
  }

  finish(ending) {
    this.ending = ending;
    // A run that was joined late, or cut short, may have told its text in one piece only here.
    if (ending.text && !this.body.querySelector(".text, pre:not(.tool pre)")) this.body.append(...prose(ending.text));
    this.settle();
    for (const tool of this.tools.values()) if (!tool.result) tool.status.textContent = "did not end";
    if (ending.is_cancelled) this.body.append(el("p", { className: "warn" }, "■ Stopped before its end."));
    for (const call of ending.tool_calls) {
      this.body.append(el("details", { className: "tool" }, el("summary", {}, `Tool ${call.name}: for the caller to run`), el("pre", {}, pretty(call.args))));
    }
    this.receipt();
    const tokens = ending.usage.input_tokens + ending.usage.output_tokens;
    this.body.append(el("p", { className: "facts" },
      el("span", {}, ms(ending.duration_ms)), tokens ? el("span", {}, count(tokens, "token")) : null,
      el("a", { href: `#run/${encodeURIComponent(ending.run_id)}` }, "Path of this run")));
  }

  receipt() {
    const { memories = [], left_out: leftOut = [], windows = [] } = this.recalled ?? {};
    if (memories.length || leftOut.length) {
      this.body.append(el("details", {}, el("summary", {}, `${count(memories.length, "memory", "memories")} used, ${leftOut.length} left out`),
        windows.length ? el("p", { className: "note" }, `Times asked about: ${windows.map((window) => window.text).join("; ")}`) : null,
        el("ul", { className: "entries" }, memories.map((one) => memoryReceipt(one, true)), leftOut.map((one) => memoryReceipt(one, false)))));
    }
    if (this.receipts.size) this.body.append(toolReceipts([...this.receipts.values()]));
  }

  /** Say what went wrong, and offer to send the same again. */
  fail(fault, again) {
    this.settle();
    for (const tool of this.tools.values()) if (!tool.result) tool.status.textContent = "outcome unknown";
    const more = fault.requestId ? el("p", { className: "note" }, `Request ${fault.requestId}`) : null;
    this.body.append(el("div", { className: "fault", role: "alert" }, el("p", { className: "text" }, fault.message), more,
      el("p", { className: "row" }, button("Try again", again))));
  }

  /** Return what the run's picture is drawn from. */
  record(question, tenant, error = null) {
    return {
      runId: this.started?.run_id ?? null,
      model: this.started?.model ?? "",
      question, tenant, error,
      nodes: this.nodes,
      loose: this.untold(),
      total: this.ending?.duration_ms ?? null,
      status: error ? "failed" : this.ending?.is_cancelled ? "cancelled" : this.ending?.interrupts.length ? "waiting" : "finished",
      at: new Date().toISOString(),
    };
  }
}
