// Begins the page: which view is shown, in which colours, with which key.

import * as api from "./api.js";
import { byId } from "./dom.js";
import { key } from "./http.js";
import { bind, onPlace, place, restore } from "./place.js";
import * as chat from "./chat.js";
import * as memories from "./memories.js";
import * as threads from "./threads.js";
import * as runs from "./runs.js";

const VIEWS = { chat, memories, threads, run: runs };
const THEMES = ["system", "light", "dark"];
let shown = null;

function show({ isFirst = false } = {}) {
  const [name, ...rest] = location.hash.slice(1).split("/");
  const view = VIEWS[name] ? name : "chat";
  for (const each of Object.keys(VIEWS)) byId(`view-${each}`).hidden = each !== view;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${view}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const title = byId(`h-${view}`);
  document.title = `${title.textContent} · agentgraph`;
  if (!isFirst && shown !== view) title.focus();
  shown = view;
  VIEWS[view].show(rest.map(decodeURIComponent));
}

function paint(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  byId("theme").textContent = `Theme: ${theme}`;
  localStorage.setItem("agentgraph.theme", theme);
}

function banner(text) {
  byId("banner").textContent = text;
  byId("banner").hidden = !text;
}

async function meet() {
  try {
    const about = await api.about();
    bind(about);
    runs.draw(about.graph);
    byId("about").textContent = `agentgraph ${about.version}, ${about.model ?? "no model is set up"}${about.memory ? "" : ", memory is off"}`;
    banner("");
  } catch (fault) {
    bind(null);
    banner(fault.message);
  }
  show({ isFirst: true });
}

/** Go on with another key: what was shown with the one before goes. */
function become(other) {
  key.set(other);
  runs.clear();
  chat.reread();
  meet();
}

byId("theme").addEventListener("click", () => {
  const now = document.documentElement.dataset.theme ?? "system";
  paint(THEMES[(THEMES.indexOf(now) + 1) % THEMES.length]);
});
byId("access").addEventListener("submit", (event) => {
  event.preventDefault();
  const field = event.target.elements.key;
  become(field.value.trim());
  field.value = "";
});
byId("drop").addEventListener("click", () => {
  become("");
});
document.addEventListener("needs-key", () => {
  byId("where").open = true;
  if (document.activeElement === document.body) byId("access").elements.key.focus();
});
window.addEventListener("hashchange", () => show());
window.addEventListener("offline", () => banner("You are offline. What is on the page stays; nothing can be sent."));
window.addEventListener("online", meet);

paint(THEMES.includes(localStorage.getItem("agentgraph.theme")) ? localStorage.getItem("agentgraph.theme") : "system");
if (matchMedia("(max-width: 48rem)").matches) byId("where").open = false;
for (const view of Object.values(VIEWS)) view.begin?.();
restore();
let spoken = JSON.stringify(place());
onPlace(() => {
  if (spoken !== (spoken = JSON.stringify(place()))) show({ isFirst: true });
});
meet();
