// Builds elements. Whatever people, models and tools wrote enters as text nodes or attributes, never as HTML.

/** Return the element of an id. */
export const byId = (id) => document.getElementById(id);

/** Return a new element: `props` are properties, `on…` listeners, names with a dash or `role` attributes. */
export function el(tag, props, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name.includes("-") || name === "role" || name === "for") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** Return a new SVG element. */
export function svg(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes ?? {})) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** Return a button that does nothing while what it does is under way; it keeps the focus, as a disabled one would not. */
export function button(label, action, className = "quiet") {
  let isBusy = false;
  const press = async ({ currentTarget }) => {
    if (isBusy) return;
    isBusy = true;
    try {
      await action(currentTarget);
    } finally {
      isBusy = false;
    }
  };
  return el("button", { type: "button", className, onclick: press }, label);
}

/** Return a moment as people read it, in a zone; what is none is returned as it came. */
export function when(moment, zone) {
  const date = new Date(moment);
  if (!moment || Number.isNaN(date.getTime())) return String(moment ?? "");
  const style = { dateStyle: "medium", timeStyle: "short" };
  try {
    return date.toLocaleString(undefined, { ...style, timeZone: zone || undefined });
  } catch {
    return date.toLocaleString(undefined, style);
  }
}

/** Return milliseconds as people read them. */
export function ms(value) {
  if (value >= 1000) return `${(value / 1000).toFixed(2)} s`;
  return `${value >= 10 ? Math.round(value) : value.toFixed(1)} ms`;
}

/** Return any JSON as people read it. */
export function pretty(value) {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

/** Return a message's text: content is a string or blocks. */
export function textOf(content) {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return "";
  return content.map((part) => (typeof part === "string" ? part : part.text ?? `[${part.type ?? "part"}]`)).join("");
}

/** Return a count and its noun. */
export const count = (number, one, many = `${one}s`) => `${number} ${number === 1 ? one : many}`;
