// Who speaks and where: the fields of the sidebar, remembered for this tab.

import { byId, el } from "./dom.js";

const STORED = "agentgraph.place";
const form = () => byId("place");
const listeners = [];

/** Return `{tenant, user, session, thread, zone, memories}`; of session and thread one is `null`. */
export function place() {
  const { tenant, user, kind, conversation, zone, memories } = form().elements;
  const id = conversation.value.trim() || null;
  const isSession = kind.value === "session";
  return {
    tenant: tenant.value.trim() || tenant.dataset.own || null,
    user: user.value.trim() || user.dataset.own || null,
    session: isSession ? id : null,
    thread: isSession ? null : id,
    zone: zone.value.trim() || null,
    memories: memories.checked,
    isBound: Boolean(user.dataset.own),
  };
}

/** Call `listener` whenever who or where changes. */
export const onPlace = (listener) => listeners.push(listener);

/** Go to a conversation. */
export function goTo(id, { isSession = false } = {}) {
  form().elements.kind.value = isSession ? "session" : "thread";
  form().elements.conversation.value = id;
  changed();
}

/** Go to a conversation nobody has begun. */
export const goToNew = () => goTo(`chat-${token(5)}`, { isSession: form().elements.kind.value === "session" });

/** Return a new random name; `crypto.randomUUID` is missing where a page comes without TLS. */
export function token(bytes = 16) {
  return Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Show what the server says of the caller: ids that the key decides are not to be typed. */
export function bind(about) {
  for (const name of ["tenant", "user"]) {
    const field = form().elements[name];
    const own = about?.caller[name] ?? "";
    field.dataset.own = own;
    field.readOnly = Boolean(own);
    if (own) field.value = own;
  }
  const tenant = form().elements.tenant;
  if (about && !tenant.value) tenant.value = "default";
}

/** Offer conversations to choose from, `{id, isSession}`. */
export function offer(known) {
  const isSession = form().elements.kind.value === "session";
  byId("conversations").replaceChildren(
    ...known.filter((one) => one.isSession === isSession).map((one) => el("option", { value: one.id })),
  );
}

/** Fill the fields in with what was there before. */
export function restore() {
  const { elements } = form();
  try {
    for (const [name, value] of Object.entries(JSON.parse(sessionStorage.getItem(STORED) ?? "{}"))) {
      if (elements[name]) elements[name][name === "memories" ? "checked" : "value"] = value;
    }
  } catch {
    sessionStorage.removeItem(STORED);
  }
  elements.zone.value ||= Intl.DateTimeFormat().resolvedOptions().timeZone ?? "";
  byId("zones").append(...(Intl.supportedValuesOf?.("timeZone") ?? []).map((value) => el("option", { value })));
  form().addEventListener("change", changed);
  form().addEventListener("submit", (event) => event.preventDefault());
  byId("new").addEventListener("click", goToNew);
  if (elements.conversation.value) changed();
  else goToNew();
}

function changed() {
  const { tenant, user, kind, conversation, zone, memories } = form().elements;
  byId("id-label").textContent = kind.value === "session" ? "Session" : "Thread";
  const kept = { tenant: tenant.value, user: user.value, kind: kind.value, conversation: conversation.value, zone: zone.value, memories: memories.checked };
  sessionStorage.setItem(STORED, JSON.stringify(kept));
  for (const listener of listeners) listener();
}
