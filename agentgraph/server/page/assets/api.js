// The server's routes as the page needs them: the one file that knows their names and shapes.

import { events, json, send } from "./http.js";
import { textOf } from "./dom.js";

const ROOT = "api/v1";

/** Return what the page has to know of the server and of the caller. */
export const about = async () => (await json("GET", "page/about")).value;

/** Yield the events of a turn, `{name, data}`; sent again under its `name` it joins the run it began. */
export async function* turn(body, name, signal) {
  yield* events(await send("POST", "page/turns", { body, signal, headers: { "Idempotency-Key": name } }));
}
export const threads = async () => [];
export const conversation = async () => ({ messages: [], interrupts: [] });
export const runs = async () => [];
export const timeline = async () => [];
