// What a run asks a person: leave to call tools, whether calls happened, or anything a node of somebody's own asks.

import { el, pretty } from "./dom.js";

const WHY = {
  needs_approval: "This tool always needs leave.",
  untrusted_text: "Text from strangers may have brought this call about.",
};
const CHOICES = {
  tool_approval: [["approve", "Approve"], ["reject", "Reject"]],
  tool_outcome: [["done", "It happened"], ["not_done", "It did not: run it now"], ["unknown", "Nobody can tell"]],
};
let asked = 0;

/** Return a form for `interrupts`; `answer` is given what to resume the run with. */
export function askFor(interrupts, answer) {
  const parts = interrupts.map(({ id, value }) => ({ id, ...question(value) }));
  const fault = el("p", { className: "bad", role: "alert" });
  const form = el("form", { className: "card", "aria-labelledby": `asked-${++asked}` },
    el("h2", { id: `asked-${asked}`, tabIndex: -1 }, "The agent asks"), parts.map((part) => part.node), fault,
    el("p", { className: "row" }, el("button", { type: "submit" }, "Answer")));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    try {
      const values = parts.map((part) => [part.id, part.read()]);
      answer(values.length === 1 ? values[0][1] : Object.fromEntries(values));
    } catch (error) {
      fault.textContent = error.message;
    }
  });
  return form;
}

function question(value) {
  if (!CHOICES[value?.kind] || !Array.isArray(value.calls)) return openQuestion(value);
  const calls = value.calls.map((call) => callQuestion(value.kind, call));
  const intro = value.kind === "tool_approval" ? "May these calls be made? None of them has run." : "Did these calls happen? The process stopped while they ran.";
  return {
    node: el("div", {}, el("p", {}, intro), calls.map((call) => call.node)),
    read: () => ({ by_call: Object.fromEntries(calls.map((call) => [call.id, call.read()])) }),
  };
}

function callQuestion(kind, call) {
  const name = `choice-${++asked}`;
  const original = JSON.stringify(call.arguments, null, 2);
  const isApproval = kind === "tool_approval";
  const written = el("textarea", { rows: Math.min(8, original.split("\n").length), value: original, readOnly: !isApproval, spellcheck: false });
  const word = el("input", {});
  const choices = CHOICES[kind].map(([value, label]) =>
    el("label", { className: "check" }, el("input", { type: "radio", name, value, required: true }), label));
  const node = el("fieldset", {}, el("legend", {}, `Tool ${call.name}`),
    WHY[call.reason] ? el("p", { className: "warn" }, `⚠ ${WHY[call.reason]}`) : null,
    el("label", {}, isApproval ? "Arguments; change them if need be" : "Arguments", written),
    el("div", { className: "choices" }, choices),
    el("label", {}, isApproval ? "What the model is to know of a rejection" : "What came of it, if it happened", word));
  const read = () => {
    const choice = node.querySelector("input:checked").value;
    if (!isApproval) return choice === "done" && word.value ? { outcome: choice, output: word.value } : { outcome: choice };
    if (choice === "reject") return word.value ? { decision: choice, message: word.value } : { decision: choice };
    return written.value === original ? { decision: "approve" } : { decision: "edit", arguments: edited(written.value, call.name) };
  };
  return { id: call.id, node, read };
}

function edited(text, name) {
  let value;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`The arguments of ${name} are not JSON: ${error.message}`);
  }
  if (value === null || typeof value !== "object" || Array.isArray(value)) throw new Error(`The arguments of ${name} must be a JSON object.`);
  return value;
}

function openQuestion(value) {
  const field = el("textarea", { rows: 3, required: true });
  const read = () => {
    try {
      return JSON.parse(field.value);
    } catch {
      return field.value;
    }
  };
  return { node: el("div", {}, el("pre", {}, pretty(value)), el("label", {}, "Answer: text or JSON", field)), read };
}
