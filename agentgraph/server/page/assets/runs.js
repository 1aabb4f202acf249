// The ways runs took through the graph: of those carried in this tab with timings, of the thread's others their ends.

import * as api from "./api.js";
import { byId, el, ms, when } from "./dom.js";
import { drawRun, steps } from "./picture.js";
import { place } from "./place.js";

const MOST = 50;
const kept = [];
let graph = { nodes: [], edges: [] };
let loads = 0;

/** Set the graph that runs are drawn on. */
export const draw = (told) => (graph = told);

/** Forget all runs: somebody else may be here now. */
export const clear = () => (kept.length = 0);

/** Keep what was seen of a run. */
export function keep(record) {
  if (!record.runId) return;
  const known = kept.findIndex((one) => one.runId === record.runId);
  if (known >= 0) kept.splice(known, 1);
  kept.unshift(record);
  kept.length = Math.min(kept.length, MOST);
}

/** Show a run, by default the last. */
export async function show([id] = []) {
  const mine = ++loads;
  const at = place();
  let others = [];
  let fault = null;
  try {
    if (at.thread || at.session) others = await api.runs(at);
  } catch (error) {
    fault = error.message;
  }
  if (mine !== loads) return;
  const seen = new Set(kept.map((one) => one.runId));
  const listed = [...kept.filter((one) => one.tenant === at.tenant), ...others.filter((one) => !seen.has(one.id)).map(noted)];
  const chosen = listed.find((one) => one.runId === id) ?? listed[0];
  byId("run").replaceChildren(...(chosen ? [chooser(listed, chosen), ...view(chosen)] : [el("p", { className: "empty" }, "No run yet. Say something in the chat, and its path is drawn here.")]),
    ...(fault ? [el("p", { className: "bad", role: "alert" }, fault)] : []));
}

/** Return a run's note as a record; what happened within it is not noted. */
function noted(run) {
  const total = run.ended_at ? new Date(run.ended_at) - new Date(run.accepted_at) : null;
  return { runId: run.id, question: `run ${run.position} of this conversation`, at: run.accepted_at, status: run.status, total, error: run.error?.message ?? null, nodes: null };
}

function chooser(listed, chosen) {
  const select = el("select", {}, listed.map((one) => el("option", { value: one.runId, selected: one === chosen },
    `${when(one.at, place().zone)}: ${one.question.replace(/\s+/g, " ").slice(0, 60)}`)));
  select.addEventListener("change", () => (location.hash = `#run/${encodeURIComponent(select.value)}`));
  return el("p", { className: "bar" }, el("label", {}, "Run", select));
}

function view(run) {
  const facts = [run.status, run.total === null ? "" : ms(run.total), run.model, run.runId].filter(Boolean).join(" · ");
  const head = [el("p", { className: "note" }, facts), run.error ? el("p", { className: "bad" }, run.error) : null].filter(Boolean);
  if (!run.nodes) return [...head, el("p", {}, "This run was not carried in this tab: of others only the end is noted.")];
  const done = steps(run);
  const inNodes = run.nodes.reduce((sum, one) => sum + one.ms, 0);
  const rest = run.total === null ? "" : ` ${ms(inNodes)} within nodes, ${ms(Math.max(0, run.total - inNodes))} between them.`;
  const name = `${done.filter((one) => !one.isTool).map((one) => one.name).join(", then ")}.${rest}`;
  const drawn = drawRun(graph, run);
  drawn.setAttribute("aria-label", `Path of the run: ${name}`);
  return [...head,
    el("div", { className: "wide", tabIndex: 0, role: "region", "aria-label": "Picture of the path" }, drawn),
    el("p", { className: "note" }, rest.trim()),
    el("table", {}, el("caption", { className: "hidden" }, "Steps of the run"),
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Step"), el("th", { scope: "col" }, "Node or tool"), el("th", { scope: "col" }, "Ended"), el("th", { scope: "col", className: "number" }, "Took"))),
      el("tbody", {}, done.map((one) => el("tr", {}, el("td", {}, one.isTool ? "" : String(one.step)),
        el("th", { scope: "row" }, one.isTool ? `↳ tool ${one.name}` : one.name),
        el("td", { className: one.status === "error" ? "bad" : "" }, one.status === "error" ? "✗ failed" : "✓ done"), el("td", { className: "number" }, ms(one.ms))))))];
}
