// Requests to the server this page came from, and its errors in words. Knows no route.

const base = new URL(".", document.baseURI);
const KEY = "agentgraph.key";

/** The API key: of this tab alone, never written where it would outlive it. */
export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
};

/** What went wrong, told for people. `retry` says whether the same request may succeed. */
export class Fault extends Error {
  constructor(message, { status = 0, code = "", retry = false, requestId = "" } = {}) {
    super(message);
    Object.assign(this, { status, code, retry, requestId });
  }
}

/** Return the fault a response or a `run_failed` event tells of. */
export function faultOf(status, told, retryAfter, requestId) {
  const detail = told.detail ?? told.error?.message ?? "";
  const after = retryAfter ?? told.retry_after;
  const facts = { status, code: told.code ?? told.error?.code ?? "", retry: told.retry ?? [429, 502, 503, 504].includes(status),
    requestId: requestId ?? told.request_id ?? "" };
  const wait = after ? ` Try again in ${after} s.` : " Try again in a while.";
  if (status === 401) return new Fault(key.get() ? `The key was not accepted: ${detail}` : "The server asks for a key. Enter one under “API key”.", facts);
  if (status === 403) return new Fault(`This is not allowed: ${detail}`, facts);
  if (status === 429) return new Fault(`Too much for now: ${detail}.${wait}`, facts);
  if (status === 503) return new Fault(`The server is not ready: ${detail}`, facts);
  return new Fault(detail || `The server answered ${status}.`, facts);
}

/** Return what a failed fetch means. */
export function broken(error) {
  if (error instanceof Fault || error.name === "AbortError") return error;
  if (!(error instanceof TypeError)) return error;
  const why = navigator.onLine ? "The server cannot be reached. Is it running?" : "You are offline. What you wrote is still here.";
  return new Fault(why, { retry: true, code: "unreachable" });
}

/** Send a request and return the response, or throw a `Fault`. */
export async function send(method, path, { body, query, headers, signal } = {}) {
  const url = new URL(path, base);
  for (const [name, value] of Object.entries(query ?? {})) if (value !== undefined && value !== null && value !== "") url.searchParams.set(name, value);
  const sent = { ...headers };
  if (key.get()) sent.Authorization = `Bearer ${key.get()}`;
  if (body !== undefined) sent["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(url, { method, headers: sent, signal, body: body === undefined ? undefined : JSON.stringify(body), cache: "no-store", credentials: "omit" });
  } catch (error) {
    throw broken(error);
  }
  if (response.ok) return response;
  const told = await response.json().catch(() => ({}));
  const fault = faultOf(response.status, told, response.headers.get("Retry-After"), response.headers.get("x-request-id"));
  if (fault.status === 401) document.dispatchEvent(new CustomEvent("needs-key"));
  throw fault;
}

/** Send a request and return the JSON of its answer. */
export async function json(method, path, options) {
  const response = await send(method, path, options);
  const text = await response.text();
  return { value: text ? JSON.parse(text) : null, etag: response.headers.get("ETag") };
}

/** Yield the server-sent events of a response, `{name, data}`. */
export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const frames = (rest + value).split("\n\n");
      rest = frames.pop();
      for (const frame of frames) {
        const lines = frame.split("\n");
        const name = lines.find((line) => line.startsWith("event: "))?.slice(7);
        const data = lines.filter((line) => line.startsWith("data: ")).map((line) => line.slice(6)).join("\n");
        if (name) yield { name, data: JSON.parse(data) };
      }
    }
  } catch (error) {
    throw broken(error);
  } finally {
    reader.cancel().catch(() => {});
  }
}
