/** Requests to the server that this page came from. */

import { apiKey, keyHeaders } from "./key.js";
import { Problem, problemOf, unreachable } from "./problem.js";

/** @typedef {{method?: string, body?: BodyInit, headers?: Record<string, string>, signal?: AbortSignal}} Call */
/**
 * An answer: its text, the milliseconds until the last of it was there, and what it says of them.
 *
 * @typedef {{text: string, milliseconds: number, timing: string, requestId: string}} Answer
 */

// A server behind a proxy may be below a path of its own.
const HERE = new URL(".", document.baseURI);

// Longer than that a person does not wait for a page.
const LONGEST_WAIT_S = 3;

// Of as many requests as the page has under way at once, each try lets one more through.
const MOST_TRIES = 5;

/** @type {Set<(error: Problem) => void>} */
const listeners = new Set();

/** @param {(error: Problem) => void} listener told of every problem */
export function onProblem(listener) {
  listeners.add(listener);
}

/** @param {string} path such as "models/digits" @returns {string} */
export function address(path) {
  return new URL(path, HERE).href;
}

/**
 * Ask the server.
 *
 * @param {string} path
 * @param {Call} [call]
 * @returns {Promise<Answer>}
 * @throws {Problem} an error, or no answer
 */
export async function ask(path, call = {}) {
  try {
    return await attempt(path, call);
  } catch (error) {
    throw told(error);
  }
}

/**
 * Read a document. A key may only ask so often, and a page asks for several things at once: what
 * only reads is asked for again after the wait that the server names.
 *
 * @param {string} path
 * @returns {Promise<any>}
 */
export async function read(path) {
  return JSON.parse(await readText(path));
}

/** The same for text. @param {string} path @returns {Promise<string>} */
export async function readText(path) {
  for (let left = MOST_TRIES - 1; ; left -= 1) {
    try {
      return (await attempt(path)).text;
    } catch (error) {
      const wait = error instanceof Problem && error.status === 429 ? error.retryAfter : Infinity;
      if (wait > LONGEST_WAIT_S || left === 0) throw told(error);
      await new Promise((resolve) => setTimeout(resolve, wait * 1000));
    }
  }
}

/** Tell the listeners of a problem. @param {unknown} error @returns {unknown} the same */
function told(error) {
  if (error instanceof Problem) for (const listener of listeners) listener(error);
  return error;
}

/**
 * Ask the server, and tell no listener what went wrong.
 *
 * @param {string} path
 * @param {Call} [call]
 * @returns {Promise<Answer>}
 * @throws {Problem} an error, or no answer
 */
export async function attempt(path, call = {}) {
  const key = apiKey();
  const headers = { ...call.headers, ...keyHeaders() };
  const began = performance.now();
  let response, text;
  try {
    response = await fetch(address(path), { ...call, headers, cache: "no-store" });
    text = await response.text();
  } catch (error) {
    if (call.signal?.aborted) throw error;
    throw unreachable();
  }
  const milliseconds = performance.now() - began;
  if (!response.ok) {
    const problem = problemOf(response, text);
    problem.isOfOldKey = key !== apiKey();
    throw problem;
  }
  const timing = response.headers.get("Server-Timing") ?? "";
  return { text, milliseconds, timing, requestId: response.headers.get("X-Request-ID") ?? "" };
}
