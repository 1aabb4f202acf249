// Draws a run: the graph on the left with the way it took, and on the right, a row a node, when each was at work.

import { ms, svg } from "./dom.js";

const ROW = 58;
const BOX = { width: 150, height: 34 };
const LANE = 16;
const TIME = 380;

/** Return the steps of a run in order, tools after the node that called them. */
export function steps(run) {
  const tool = (one) => ({ ...one, isTool: true });
  return [...run.nodes.flatMap((one, i) => [{ name: one.node, ms: one.ms, step: i + 1, status: "success" }, ...one.tools.map(tool)]), ...run.loose.map(tool)];
}

/** Return the picture as an SVG element. */
export function drawRun(graph, run) {
  const visited = run.nodes.map((one) => one.node);
  const names = [...new Set([...graph.nodes, ...visited])];
  names.sort((a, b) => (a === "__end__") - (b === "__end__"));
  const row = new Map(names.map((name, i) => [name, i]));
  const way = run.error ? ["__start__", ...visited] : ["__start__", ...visited, "__end__"];
  const taken = new Set(way.slice(1).map((name, i) => `${way[i]} ${name}`));
  const around = graph.edges.filter(([from, to]) => row.get(to) - row.get(from) !== 1);
  const forward = around.filter(([from, to]) => row.get(to) > row.get(from)).sort(bySpan(row));
  const back = around.filter(([from, to]) => row.get(to) <= row.get(from)).sort(bySpan(row));
  const left = 12 + forward.length * LANE;
  const middle = left + BOX.width / 2;
  const right = left + BOX.width;
  const chart = right + back.length * LANE + 40;
  const width = chart + TIME + 70;
  const y = (name) => row.get(name) * ROW + ROW / 2;
  const drawn = svg("svg", { role: "img", viewBox: `0 0 ${width} ${names.length * ROW}`, width, height: names.length * ROW });

  const order = (edges) => [...edges].sort((a, b) => isTaken(a) - isTaken(b)); // those taken are drawn over the others
  const isTaken = ([from, to]) => taken.has(`${from} ${to}`);
  const line = (edge, d, tip) => drawn.append(svg("path", { class: isTaken(edge) ? "way on" : "way", d }), svg("path", { class: isTaken(edge) ? "tip on" : "tip", d: tip }));
  for (const edge of order(graph.edges.filter(([from, to]) => row.get(to) - row.get(from) === 1))) {
    const [top, bottom] = [y(edge[0]) + BOX.height / 2, y(edge[1]) - BOX.height / 2];
    line(edge, `M ${middle} ${top} V ${bottom - 5}`, `M ${middle} ${bottom} l -5 -8 h 10 z`);
  }
  const detour = (side, from, lane) => (edge) => {
    const x = from + side * (lane(edge) + 1) * LANE;
    const down = row.get(edge[1]) > row.get(edge[0]) ? 1 : -1;
    const [y0, y1] = [y(edge[0]) + 7 * down, y(edge[1]) - 7 * down];
    line(edge, `M ${from} ${y0} H ${x - side * 8} Q ${x} ${y0} ${x} ${y0 + 8 * down} V ${y1 - 8 * down} Q ${x} ${y1} ${x - side * 8} ${y1} H ${from + side * 5}`,
      `M ${from} ${y1} l ${side * 8} -5 v 10 z`);
  };
  order(forward).forEach(detour(-1, left, (edge) => forward.indexOf(edge)));
  order(back).forEach(detour(1, right, (edge) => back.indexOf(edge)));

  names.forEach((name) => {
    const isOn = way.includes(name);
    const label = name.startsWith("__") ? name.replaceAll("_", "") : name;
    drawn.append(svg("rect", { class: `box ${isOn ? "on" : "off"}`, x: left, y: y(name) - BOX.height / 2, width: BOX.width, height: BOX.height, rx: name.startsWith("__") ? 17 : 6 }),
      svg("text", { x: middle, y: y(name) + 5, "text-anchor": "middle", class: isOn ? "" : "dim" }, label.length > 20 ? `${label.slice(0, 19)}…` : label));
    if (!name.startsWith("__")) drawn.append(svg("path", { class: "way", d: `M ${chart} ${y(name) + 17} H ${chart + TIME}` }));
  });
  bars(drawn, run, chart, y);
  return drawn;
}

const bySpan = (row) => ([a, b], [c, d]) => Math.abs(row.get(a) - row.get(b)) - Math.abs(row.get(c) - row.get(d));

/** Draw when each node was at work: one after the other, without what passed between them. */
function bars(drawn, run, left, y) {
  const scale = TIME / Math.max(1e-9, run.nodes.reduce((sum, one) => sum + one.ms, 0));
  const last = new Map(run.nodes.map((one, i) => [one.node, i]));
  const sums = new Map();
  let passed = 0;
  run.nodes.forEach((one, i) => {
    const [x, width] = [left + passed * scale, Math.max(3, one.ms * scale)];
    const top = y(one.node) - 9;
    drawn.append(svg("rect", { class: "bar-of", x, y: top, width, height: 14, rx: 3 }, svg("title", {}, `${i + 1}. ${one.node}: ${ms(one.ms)}`)));
    one.tools.forEach((tool, j) => {
      const share = Math.max(3, Math.min(width, tool.ms * scale));
      drawn.append(svg("rect", { class: "bar-of tool-bar", x, y: top + 16 + (j % 3) * 4, width: share, height: 3 }, svg("title", {}, `tool ${tool.name}: ${ms(tool.ms)}`)));
    });
    sums.set(one.node, (sums.get(one.node) ?? 0) + one.ms);
    if (last.get(one.node) === i) drawn.append(svg("text", { x: x + width + 6, y: top + 12 }, ms(sums.get(one.node))));
    passed += one.ms;
  });
  const numbers = new Map();
  run.nodes.forEach((one, i) => numbers.set(one.node, [...(numbers.get(one.node) ?? []), i + 1]));
  for (const [name, visits] of numbers) {
    const text = visits.length > 4 ? `${visits.length} visits` : visits.map((visit) => `${visit}.`).join(" ");
    drawn.append(svg("text", { class: "dim", x: left - 6, y: y(name) + 5, "text-anchor": "end" }, text));
  }
}
