// What the agent remembers: along time, by search with receipts, and by hand.

import * as api from "./api.js";
import { confirm } from "./dialog.js";
import { button, byId, count, el, when } from "./dom.js";
import { place } from "./place.js";
import { memoryReceipt } from "./receipts.js";

let again = timeline;
let shown = 0;

/** Listen to the forms. */
export function begin() {
  onSubmit("find", (fields) => {
    if (!fields.query.value.trim() && !fields.as_of.value) return load(timeline);
    return load(search);
  });
  onSubmit("span", () => load(timeline));
  onSubmit("add", async (fields) => {
    await api.addMemory(place(), fields.text.value);
    fields.text.value = "";
    await load(timeline);
    tell("Added.");
  });
}

/** Show the memories of this place. */
export const show = () => load(again);

function onSubmit(id, action) {
  byId(id).addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await action(event.target.elements);
    } catch (fault) {
      tell(fault.message, true);
    }
  });
}

function tell(text, isBad = false) {
  byId("found").textContent = text;
  byId("found").className = isBad ? "note bad" : "note";
}

async function load(what) {
  again = what;
  const mine = ++shown;
  tell("Looking…");
  try {
    const nodes = await what();
    if (mine === shown) byId("memories").replaceChildren(...nodes);
  } catch (fault) {
    if (mine !== shown) return;
    byId("memories").replaceChildren();
    tell(fault.message, true);
  }
}

/** Return a field's local moment with its zone, or nothing. */
const moment = (value) => (value ? new Date(value).toISOString() : undefined);

async function timeline() {
  const { start, end } = byId("span").elements;
  const entries = await api.timeline(place(), { start: moment(start.value && `${start.value}T00:00`), end: moment(end.value && `${end.value}T00:00`) });
  tell(entries.length ? `${count(entries.length, "memory", "memories")}, by the time each speaks of.` : "Nothing is remembered here yet.");
  return [el("ol", { className: "entries" }, entries.map(entry))];
}

function entry({ memory, at, clock }) {
  const { zone } = place();
  const time = memory.event?.text || when(at, zone);
  const item = el("li", { className: "entry" },
    el("p", { className: "when" }, clock === "event" ? `About ${time}` : `Said ${time}`),
    el("p", { className: "text" }, memory.text),
    el("p", { className: "note" }, [memory.kind, `by ${memory.speaker}`, whose(memory), clock === "event" ? `said ${when(memory.recorded_at, zone)}` : "",
      memory.expires_at ? `until ${when(memory.expires_at, zone)}` : ""].filter(Boolean).join(" · ")));
  item.append(el("p", { className: "row" }, actions(memory, item)));
  return item;
}

const whose = (memory) => (memory.user ? `of ${memory.user}` : memory.session ? `of session ${memory.session}` : "of everybody in the tenant");

async function search() {
  const { query, as_of: asOf } = byId("find").elements;
  const { kept, left_out: leftOut, windows } = await api.search(place(), query.value, moment(asOf.value));
  const times = windows.length ? ` Times asked about: ${windows.map((window) => window.text).join("; ")}.` : "";
  tell(`${kept.length} found, ${leftOut.length} left out.${times}${asOf.value ? ` As known ${when(asOf.value)}.` : ""}`);
  const list = (title, found, isUsed) => found.length ? [el("h2", {}, title), el("ul", { className: "entries" }, found.map((one) => {
    const memory = owned(one);
    const item = memoryReceipt(one, isUsed, []);
    // What was superseded, or belongs to every tenant, is not to be changed here.
    if (memory && !one.valid_until) item.append(el("p", { className: "row" }, actions(memory, item)));
    return item;
  }))] : [];
  return [...list("Would be used", kept, true), ...list("Left out", leftOut, false)];
}

/** Return a found memory with whose it is, from where it lies. */
function owned(found) {
  const [tenant, , kind, name] = found.namespace;
  if (tenant !== place().tenant && tenant === "_global") return null;
  return { ...found, user: kind === "user" ? name : null, session: kind === "session" ? name : null };
}

function actions(memory, item) {
  const about = `: ${memory.text.slice(0, 60)}`;
  const named = (made, label) => (made.setAttribute("aria-label", label + about), made);
  return [
    named(button("Edit", (made) => edit(memory, item, made).catch((fault) => tell(fault.message, true))), "Edit"),
    named(button("Forget…", () => forget(memory), "danger"), "Forget"),
  ];
}

async function edit(memory, item, opener) {
  const open = item.querySelector("form");
  if (open) return open.querySelector("textarea").focus();
  const { value, etag } = await api.readMemory(place(), memory);
  const field = el("textarea", { rows: 3, value: value.text, required: true });
  const fault = el("p", { className: "bad", role: "alert" });
  const close = () => {
    form.remove();
    opener.focus();
  };
  const form = el("form", {}, el("label", {}, "New text; what it says now is kept as superseded", field), fault,
    el("p", { className: "row" }, el("button", { type: "submit" }, "Save"), button("Cancel", close)));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await api.updateMemory(place(), memory, field.value, etag);
      await load(again);
      tell("Saved.");
      byId("h-memories").focus();
    } catch (error) {
      fault.textContent = error.message;
    }
  });
  item.append(form);
  field.focus();
}

/** Show what would go, and have it forgotten for good. */
async function forget(memory) {
  try {
    const plan = await api.forget(place(), memory, { dryRun: true });
    const threads = el("input", { type: "checkbox" });
    confirm({
      title: "Forget this for good?",
      content: [
        el("p", { className: "text saying" }, memory.text),
        el("p", {}, "This will go:"),
        el("ul", {}, plan.removed.map((one) => el("li", {}, `${one.count} × ${one.kind} (${one.place})`))),
        plan.kept_threads.length ? el("div", {}, el("p", {}, `It stands in ${count(plan.kept_threads.length, "conversation")} still: ${plan.kept_threads.map((thread) => thread.split("/").at(-1)).join(", ")}.`),
          el("label", { className: "check" }, threads, "Delete these conversations too")) : null,
        plan.remarks.length ? el("p", { className: "note" }, plan.remarks.join(" ")) : null,
      ].filter(Boolean),
      label: "Forget",
      isDanger: true,
      action: async () => {
        await api.forget(place(), memory, { includeThreads: threads.checked });
        await load(again);
        tell("Forgotten. It will not be learned again from what was said.");
      },
    });
  } catch (fault) {
    tell(fault.message, true);
  }
}
