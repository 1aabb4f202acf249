// The tenant's conversations, each with the tree of its checkpoints: read, fork, switch, delete.

import * as api from "./api.js";
import { said } from "./answer.js";
import { reread } from "./chat.js";
import { confirm } from "./dialog.js";
import { button, byId, count, el, when } from "./dom.js";
import { goTo, place, token } from "./place.js";
import { picture, rows } from "./tree.js";

let loads = 0;
let news = ""; // what was just done, told once the list is there again

/** Show the conversations of this place, and the one named in the address. */
export async function show([name] = []) {
  const mine = ++loads;
  tell("Looking…");
  try {
    const known = await api.threads(place());
    if (mine !== loads) return;
    const open = known.find((one) => nameOf(one) === name);
    byId("threads").replaceChildren(...known.map((one) => el("li", {}, el("button", {
      type: "button", className: "pick", "aria-pressed": String(one === open), onclick: () => go(nameOf(one)),
    }, `${one.is_session ? "session " : ""}${one.id}`, el("small", {}, [count(one.turns, "turn"), one.user, when(one.used_at, place().zone)].filter(Boolean).join(" · "))))));
    tell(news || (known.length ? "" : "There are no conversations here yet."));
    news = "";
    byId("thread").replaceChildren();
    if (open) await unfold(open, mine);
    else if (known.length) byId("thread").append(el("p", { className: "empty" }, "Choose a conversation to see its tree."));
  } catch (fault) {
    if (mine === loads) tell(fault.message);
  }
}

const nameOf = (one) => `${one.is_session ? "session" : "thread"}:${one.id}`;
const here = (one) => ({ ...place(), thread: one.is_session ? null : one.id, session: one.is_session ? one.id : null });

function go(name) {
  location.hash = `#threads/${encodeURIComponent(name)}`;
}

function tell(text) {
  byId("thread-state").textContent = text;
}

async function unfold(one, mine) {
  const head = [
    el("h2", {}, one.is_session ? `Session ${one.id}` : `Thread ${one.id}`),
    el("p", { className: "row" }, button("Open in chat", () => chatIn(one)), one.is_session ? null : button("Fork…", () => fork(one, null)),
      button(one.is_session ? "End session…" : "Delete…", () => remove(one), "danger")),
  ];
  if (one.is_session) {
    const { messages } = await api.conversation(here(one));
    if (mine === loads) byId("thread").replaceChildren(...head, el("ol", { className: "log" }, said(messages)));
    return;
  }
  const checkpoints = await api.checkpoints(here(one));
  if (mine !== loads) return;
  const shown = rows(checkpoints);
  const { drawn, width } = picture(shown);
  const list = el("ol", { className: "tree", "aria-label": "Checkpoints, the first at the top" });
  list.append(...shown.map((row, i) => rowItem(one, row, shown, i)));
  const frame = el("div", { className: "branches" }, drawn, list);
  list.style.marginLeft = `${width}px`;
  byId("thread").replaceChildren(...head, frame);
}

function rowItem(one, row, shown, i) {
  const { info } = row;
  const parent = shown.find((other) => other.info.id === row.parent);
  const facts = [
    info.is_head ? "● the thread stands here" : "",
    info.run_id ? "" : "set by hand",
    parent && shown[i - 1] !== parent ? `branches off “${short(saidLast(parent.info))}”` : "",
    info.interrupts.length ? "waits for an answer" : info.next.length ? `before ${info.next.join(", ")}` : "",
    when(info.created_at, place().zone),
  ].filter(Boolean).join(" · ");
  const open = el("button", { type: "button", className: "pick", "aria-expanded": "false" },
    el("span", {}, saidLast(info)), el("small", {}, facts));
  open.addEventListener("click", () => {
    for (const other of open.closest("ol").querySelectorAll("[aria-expanded=true]")) if (other !== open) other.setAttribute("aria-expanded", "false");
    const isOpen = open.getAttribute("aria-expanded") === "true";
    open.setAttribute("aria-expanded", String(!isOpen));
    reading(one, info, !isOpen);
  });
  return el("li", {}, open);
}

/** Show the conversation as it stood at a checkpoint, below the tree. */
async function reading(one, info, isOpen) {
  byId("reading")?.remove();
  if (!isOpen) return;
  const box = el("section", { id: "reading", "aria-labelledby": "reading-title" },
    el("h2", { id: "reading-title", tabIndex: -1 }, `As it stood ${when(info.created_at, place().zone)}`),
    el("p", { className: "row" },
      button("Fork from here…", () => fork(one, info.id)),
      info.is_head ? null : button("Go on from here", () => switchTo(one, info.id))));
  byId("thread").append(box);
  try {
    const { messages } = await api.conversation(here(one), info.id);
    box.append(el("ol", { className: "log" }, said(messages)));
  } catch (fault) {
    box.append(el("p", { className: "bad", role: "alert" }, fault.message));
  }
  byId("reading-title").focus();
}

function saidLast(info) {
  const last = info.messages.findLast((message) => message.role === "user") ?? info.messages.at(-1);
  return last?.text.trim() || "(nothing said)";
}

const short = (text) => (text.length > 40 ? `${text.slice(0, 39)}…` : text);

function chatIn(one) {
  goTo(one.id, { isSession: one.is_session });
  location.hash = "#chat";
}

async function switchTo(one, checkpoint) {
  try {
    await api.switchTo(here(one), checkpoint);
    reread();
    news = "The next message goes on from there; the other line stays reachable.";
    await show([nameOf(one)]);
  } catch (fault) {
    tell(fault.message);
  }
}

function fork(one, checkpoint) {
  const name = el("input", { value: `${one.id}-${token(2)}`.slice(0, 128), required: true });
  confirm({
    title: checkpoint ? "Fork from this checkpoint" : "Fork this conversation",
    content: el("label", {}, "Name of the new thread", name),
    label: "Fork",
    action: async () => {
      await api.fork(here(one), name.value.trim(), checkpoint);
      go(`thread:${name.value.trim()}`);
    },
  });
}

function remove(one) {
  confirm({
    title: one.is_session ? `End the session ${one.id}?` : `Delete the thread ${one.id}?`,
    content: el("p", {}, one.is_session ? "Its conversation and its memories go for good." : "Its messages, checkpoints and runs go for good. What was learned from it stays in memory."),
    label: one.is_session ? "End" : "Delete",
    isDanger: true,
    action: async () => {
      await api.remove(here(one));
      reread();
      news = `${one.id} is gone.`;
      location.hash = "#threads";
    },
  });
}
