// Lays a thread's checkpoints out as a tree: one row each, the first at the top, one column a branch.

import { svg } from "./dom.js";

const ROW = 76;
const COLUMN = 20;

/** Return the rows that are shown, `{info, parent, lane}`: the ends of turns, of lines, and where the thread stands. */
export function rows(checkpoints) {
  const byName = new Map(checkpoints.map((info) => [info.id, info]));
  const followed = new Set(checkpoints.map((info) => info.parent_id));
  const isShown = (info) => info.is_head || (info.messages.length && !info.next.length) || !followed.has(info.id);
  const before = (info) => {
    let parent = byName.get(info.parent_id);
    while (parent && !isShown(parent)) parent = byName.get(parent.parent_id);
    return parent?.id ?? null;
  };
  const shown = checkpoints.toReversed().filter(isShown).map((info) => ({ info, parent: before(info), lane: null }));
  const onLine = lineToHead(shown);
  const at = new Map(shown.map((row) => [row.info.id, row]));
  const straight = new Map();
  for (const row of shown) {
    if (onLine.has(row.info.id) || !straight.has(row.parent)) straight.set(row.parent, row);
  }
  let lanes = 0;
  for (const row of shown) row.lane = straight.get(row.parent) === row && at.has(row.parent) ? at.get(row.parent).lane : lanes++;
  return shown;
}

function lineToHead(shown) {
  const at = new Map(shown.map((row) => [row.info.id, row]));
  const line = new Set();
  for (let row = shown.find(({ info }) => info.is_head); row; row = at.get(row.parent)) line.add(row.info.id);
  return line;
}

/** Return the picture that stands left of the rows; it tells nothing the rows do not. */
export function picture(shown) {
  const index = new Map(shown.map((row, i) => [row.info.id, i]));
  const x = (row) => row.lane * COLUMN + 12;
  const y = (i) => i * ROW + ROW / 2;
  const width = (Math.max(0, ...shown.map((row) => row.lane)) + 1) * COLUMN + 6;
  const drawn = svg("svg", { width, height: shown.length * ROW, "aria-hidden": "true", focusable: "false" });
  const line = lineToHead(shown);
  shown.forEach((row, i) => {
    const above = index.get(row.parent);
    if (above === undefined) return;
    const [x0, y0, x1, y1] = [x(shown[above]), y(above), x(row), y(i)];
    const bend = x0 === x1 ? "" : `C ${x0} ${y0 + 26} ${x1} ${y0 + 12} ${x1} ${y0 + 38} `;
    drawn.append(svg("path", { class: line.has(row.info.id) ? "way on" : "way", d: `M ${x0} ${y0} ${bend}L ${x1} ${y1}` }));
  });
  shown.forEach((row, i) => drawn.append(svg("circle", { class: row.info.is_head ? "spot on" : "spot", cx: x(row), cy: y(i), r: row.info.is_head ? 8 : 6 })));
  return { drawn, width };
}
