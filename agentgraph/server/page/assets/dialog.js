// A question before something that cannot be undone, or that needs a name.

import { button, byId, el } from "./dom.js";

/** Ask; `action` does it, and what it throws is told in the dialog. Focus returns to where it was. */
export function confirm({ title, content, label, action, isDanger = false }) {
  const dialog = byId("dialog");
  const fault = el("p", { className: "bad", role: "alert" });
  const act = button(label, async () => {
    fault.textContent = "";
    try {
      await action();
      dialog.close();
    } catch (error) {
      fault.textContent = error.message;
    }
  }, isDanger ? "danger" : "");
  dialog.replaceChildren(el("h2", { id: "dialog-title" }, title), ...[content].flat(), fault,
    el("p", { className: "row" }, act, button("Cancel", () => dialog.close())));
  dialog.querySelector("input:not([type=checkbox])")?.addEventListener("keydown", (event) => event.key === "Enter" && act.click());
  dialog.showModal();
}
