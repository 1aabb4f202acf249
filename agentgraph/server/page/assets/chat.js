// The conversation: what is said, and each answer as its run tells it.

import * as api from "./api.js";
import { askFor } from "./asking.js";
import { Answer, said } from "./answer.js";
import { byId, el } from "./dom.js";
import { Fault, faultOf } from "./http.js";
import { offer, place, token } from "./place.js";
import { keep } from "./runs.js";

let here = "";
let running = null;

/** Listen to the fields. */
export function begin() {
  const text = byId("text");
  byId("say").addEventListener("submit", (event) => {
    event.preventDefault();
    const message = text.value;
    if (!message.trim() || running) return;
    text.value = "";
    say(message);
  });
  text.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    byId("say").requestSubmit();
  });
  byId("stop").addEventListener("click", stop);
}

/** Have the conversation read again: it was changed elsewhere. */
export const reread = () => (here = "");

/** Show the conversation of this place. */
export async function show() {
  const at = place();
  const now = JSON.stringify([at.tenant, at.user, at.session, at.thread]);
  if (now === here) return;
  here = now;
  running?.leave.abort();
  byId("log").replaceChildren();
  tell("");
  if (!at.tenant) return;
  try {
    const [{ messages, interrupts }, known] = await Promise.all([api.conversation(at), api.threads(at)]);
    if (now !== here || running) return;
    offer(known.map((one) => ({ id: one.id, isSession: one.is_session })));
    byId("log").append(...said(messages));
    if (interrupts.length) ask(interrupts);
    if (!messages.length) byId("log").append(el("li", { className: "empty" }, "Nothing has been said here yet."));
    toEnd(true);
  } catch (fault) {
    if (now !== here) return;
    here = "";
    tell(fault.message);
  }
}

function say(message) {
  byId("log").querySelector(".empty")?.remove();
  byId("log").append(...said([{ role: "user", text: message }]));
  return carry({ message }, message);
}

/** Carry one turn: `what` is a message or the answer to a question. */
async function carry(what, question) {
  const at = place();
  const body = { tenant: at.tenant, user: at.user, session: at.session, thread: at.thread, timezone: at.zone, include_memories: at.memories, ...what };
  const answer = new Answer(byId("spoken"), tell);
  byId("log").append(answer.item);
  await attempt(answer, body, token(), question);
}

/** Send a turn. Sent again under its name it joins the run it began. */
async function attempt(answer, body, name, question) {
  const turn = { leave: new AbortController(), runId: null, at: place() };
  running = turn;
  busy(true);
  tell("Thinking…");
  toEnd(true);
  try {
    let ending = null;
    for await (const { name: event, data } of api.turn(body, name, turn.leave.signal)) {
      if (event === "run_started") turn.runId = data.run_id;
      if (event === "run_failed") throw faultOf(data.status, data);
      if (event === "run_finished") ending = data;
      answer.take(event, data);
      toEnd();
    }
    if (!ending) throw new Fault("The connection broke off within the answer.", { retry: true, code: "broken_off" });
    keep(answer.record(question, body.tenant));
    tell(ending.is_cancelled ? "Stopped." : "");
    if (running === turn && ending.interrupts.length) ask(ending.interrupts);
  } catch (fault) {
    if (fault.name === "AbortError") return;
    const again = () => {
      answer.clear();
      return attempt(answer, body, name, question);
    };
    keep(answer.record(question, body.tenant, fault.message));
    answer.fail(fault, again);
    tell("");
  } finally {
    if (running === turn) {
      running = null;
      busy(false);
    }
    toEnd();
  }
}

function ask(interrupts) {
  const item = el("li");
  const card = askFor(interrupts, (resume) => {
    item.remove();
    byId("text").focus();
    return carry({ resume }, "(an answer to the agent's question)");
  });
  item.append(card);
  byId("log").append(item);
  tell("The agent waits for your answer.");
  toEnd(true);
  card.querySelector("h2").focus({ preventScroll: true });
}

async function stop() {
  const turn = running;
  if (!turn) return;
  tell("Stopping…");
  try {
    if (!turn.runId) throw new Fault("");
    await api.cancel(turn.at, turn.runId);
  } catch {
    turn.leave.abort();
    tell("Left the answer; the run may still be under way.");
  }
}

function busy(isBusy) {
  if (!isBusy && document.activeElement === byId("stop")) byId("text").focus();
  byId("send").disabled = isBusy;
  byId("stop").hidden = !isBusy;
}

function tell(text) {
  byId("state").textContent = text;
}

/** Keep the newest in sight, unless somebody has scrolled back. */
function toEnd(always = false) {
  const page = document.documentElement;
  const isNear = page.scrollHeight - page.scrollTop - page.clientHeight < 160;
  if (always || isNear) page.scrollTop = page.scrollHeight;
}
