// The server's routes as the page needs them: the one file that knows their names and shapes.

import { textOf } from "./dom.js";
import { events, json, send } from "./http.js";

const ROOT = "api/v1";
const MOST = 200;

async function ask(method, place, path, options = {}) {
  const whose = place.tenant ? { "X-Tenant-Id": place.tenant } : {};
  return json(method, `${ROOT}/${path}`, { ...options, headers: { ...options.headers, ...whose } });
}

/** Read a list to its end, but no more than five pages. */
async function list(place, path, query = {}) {
  const found = [];
  let after;
  for (let i = 0; i < 5; i++) {
    const { value } = await ask("GET", place, path, { query: { limit: MOST, ...query, after } });
    found.push(...value.data);
    after = value.next;
    if (!value.has_more) break;
  }
  return found;
}

const named = encodeURIComponent;
const ofThread = (place, rest = "") => `threads/${named(place.thread)}${rest}`;
const ofMemory = (memory) => `memories/${named(memory.key)}`;
const owner = ({ user, session }) => ({ user, session });

/** Return messages as they are shown, `{role, text, calls, name}`; a tool's has the name of the tool. */
function shown(messages) {
  const names = new Map(messages.flatMap((message) => message.tool_calls.map((call) => [call.id, call.name])));
  return messages.map((message) => ({ role: message.role, text: textOf(message.content), calls: message.tool_calls, name: names.get(message.tool_call_id) }));
}

/** Return what the page has to know of the server and of the caller. */
export const about = async () => (await json("GET", "page/about")).value;

/** Yield the events of a turn, `{name, data}`; sent again under its `name` it joins the run it began. */
export async function* turn(body, name, signal) {
  yield* events(await send("POST", "page/turns", { body, signal, headers: { "Idempotency-Key": name } }));
}

export const cancel = (place, runId) => ask("POST", place, `runs/${named(runId)}/cancel`);

/** Return `{messages, interrupts}` of a conversation; nothing of one nobody has begun. */
export async function conversation({ tenant, thread, session }, checkpoint) {
  const { value } = await json("GET", "page/conversation", { query: { tenant, thread, session, checkpoint } });
  return { messages: shown(value.messages), interrupts: value.interrupts };
}

// Threads

export const threads = (place) => list(place, "threads", { user: place.user });
export const runs = (place) => (place.thread ? list(place, ofThread(place, "/runs")) : []);
export const fork = (place, to, checkpoint) => ask("POST", place, ofThread(place, "/fork"), { body: { to, checkpoint } });
export const switchTo = (place, checkpoint) => ask("POST", place, ofThread(place, "/switch"), { body: { checkpoint } });
export const remove = (place) => ask("DELETE", place, place.session ? `sessions/${named(place.session)}` : ofThread(place));

/** Return a thread's checkpoints, the last written first. */
export async function checkpoints(place) {
  return (await list(place, ofThread(place, "/checkpoints"))).map((one) => ({ ...one, messages: shown(one.messages) }));
}

// Memories

export const timeline = (place, { start, end }) => list(place, "memories/timeline", { user: place.user, start, end });
export const addMemory = (place, text) => ask("POST", place, "memories", { body: { text, user: place.user, timezone: place.zone } });

export async function search(place, query, asOf) {
  const body = { query, user: place.user, session: place.isBound ? null : place.session, timezone: place.zone, as_of: asOf };
  return (await ask("POST", place, "memories/search", { body })).value;
}

/** Return `{value, etag}`: a memory, and what `updateMemory` proves with that it has not changed since. */
export const readMemory = (place, memory) => ask("GET", place, ofMemory(memory), { query: owner(memory) });

export function updateMemory(place, memory, text, etag) {
  return ask("PUT", place, ofMemory(memory), { query: owner(memory), body: { text, timezone: place.zone }, headers: { "If-Match": etag } });
}

/** Forget a memory for good, or with `dryRun` return what would go. */
export async function forget(place, memory, { dryRun = false, includeThreads = false }) {
  const body = { ...owner(memory), memory: memory.key, dry_run: dryRun, include_threads: includeThreads };
  return (await ask("POST", place, "memories/forget", { body })).value;
}
