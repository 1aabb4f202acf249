// Why a memory was used or not, and why a tool was shown to the model or not.

import { count, el, when } from "./dom.js";
import { place } from "./place.js";

const REASONS = {
  few: "nothing is filtered", pinned: "always shown", history: "called on this thread", tool_choice: "asked for by the caller",
  asked_for: "the model asked for it", ranked: "fits what was said", kept: "shown before on this thread",
  below_floor: "does not fit what was said", beyond_top_k: "others fit better",
};

const number = (value) => (typeof value === "number" ? value.toFixed(3) : "–");

/** Return pairs of terms and texts as a list; empty texts are left out. */
export function terms(pairs) {
  return el("dl", { className: "receipt" }, pairs.filter(([, text]) => text).flatMap(([term, text]) => [el("dt", {}, term), el("dd", {}, text)]));
}

/** Return a found memory with its receipt, as a list item; `actions` stand below it. */
export function memoryReceipt(memory, isUsed, actions = []) {
  const { zone } = place();
  const boosts = Object.entries(memory.boosts ?? {}).map(([name, value]) => `${name} ${number(value)}`).join(", ");
  const parts = `meaning ${number(memory.dense)}, words ${number(memory.lexical)}, around it ${number(memory.context)}${boosts ? `, ${boosts}` : ""}`;
  return el("li", { className: `entry${isUsed ? "" : " out"}` },
    el("p", { className: "when" }, isUsed ? "✓ used" : "○ left out"),
    el("p", { className: "text" }, memory.text),
    terms([
      ["Why", memory.why],
      ["Relevance", `${number(memory.score)} (${parts})`],
      ["Speaks of", memory.event?.text],
      ["Said", `${when(memory.recorded_at, zone)} by ${memory.speaker}`],
      ["Superseded", memory.valid_until && when(memory.valid_until, zone)],
    ]),
    actions.length ? el("p", { className: "row" }, actions) : null);
}

/** Return why tools were shown to the model or not. */
export function toolReceipts(receipts) {
  const shown = receipts.filter((receipt) => receipt.offered);
  const rows = receipts.map((receipt) => el("tr", {},
    el("th", { scope: "row" }, receipt.name), el("td", {}, receipt.offered ? "✓ shown" : "○ not shown"),
    el("td", {}, REASONS[receipt.reason] ?? receipt.reason), el("td", { className: "number" }, number(receipt.score))));
  return el("details", {}, el("summary", {}, `${count(shown.length, "tool")} shown, ${receipts.length - shown.length} not`),
    el("table", {}, el("thead", {}, el("tr", {}, ["Tool", "Shown", "Why"].map((text) => el("th", { scope: "col" }, text)),
      el("th", { scope: "col", className: "number" }, "Score"))), el("tbody", {}, rows)));
}
