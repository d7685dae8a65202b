/** What went wrong, in words, with what to do about it. */

import { element } from "./dom.js";

/** What a person can do, by the server's code. */
const BY_CODE = {
  unauthorized: "Give an API key: the button is at the top.",
  forbidden: "Use a key that has the scope, or ask the operator for one.",
  rate_limited: "Wait a moment, then send it again.",
  body_too_large: "Send something smaller, or have the operator raise FOLDSERVE_MAX_BODY_BYTES.",
  image_too_large: "Scale the picture down, or have the operator raise FOLDSERVE_MAX_IMAGE_PIXELS.",
  invalid_image: "Choose another picture: this file is empty, cut off or damaged.",
  unsupported_image: "Save the picture as PNG, JPEG or WebP, and send that.",
  invalid_parameter: "Correct the number of classes.",
  model_takes_no_images: "Send tensors: the model's file does not say how a picture becomes its input.",
  model_not_found: "Choose another model; this one has left the repository.",
  version_not_found: "Choose another version; this one has left the repository.",
  model_not_ready: "Look at the model's state under Server; its reason says what is wrong with the file.",
  queue_full: "The server has more to do than it can. Wait a moment, then send it again.",
  overloaded: "The server has more to do than it can. Wait a moment, then send it again.",
  deadline_exceeded: "Send it again when there is less load, or raise FOLDSERVE_REQUEST_TIMEOUT_S.",
  run_timed_out: "The model takes too long for this input; FOLDSERVE_RUN_TIMEOUT_S says how long it may.",
  out_of_memory: "Send fewer rows at once.",
  output_not_finite: "The model has no finite answer to this input; try another one.",
  inference_failed: "The model cannot run on this input; compare it with the signature under Model.",
  shutting_down: "The server is about to end. This page goes on when it is back.",
  not_ready: "The server is starting or ending. This page goes on when it is ready.",
};

/** The same by status, for what needs no words of its own. */
const BY_STATUS = {
  0: "Is it still running? This page goes on by itself when the server answers again.",
  400: "Compare the request with the signature under Model, correct it, and send it again.",
  401: BY_CODE.unauthorized,
  403: BY_CODE.forbidden,
  404: "Reload the page: models may have been removed.",
  405: "Reload the page: it is older than the server.",
  408: "Send it again; the connection was too slow.",
  413: BY_CODE.body_too_large,
  414: "Use a shorter name.",
  415: BY_CODE.unsupported_image,
  422: "Correct the request, and send it again.",
  429: BY_CODE.queue_full,
  431: "Clear the cookies of this address: the head of the request is too large.",
  500: "The server's log has the cause under the request's id.",
  503: BY_CODE.not_ready,
  504: BY_CODE.deadline_exceeded,
};

/** A request that was not answered as it was meant. */
export class Problem extends Error {
  /**
   * @param {number} status 0 if there was no answer
   * @param {string} title
   * @param {string} detail
   * @param {{code?: string | null, requestId?: string | null, retryAfter?: number}} [more] retryAfter: seconds
   */
  constructor(status, title, detail, more = {}) {
    super(detail || title);
    this.status = status;
    this.title = title;
    this.detail = detail;
    this.code = more.code ?? null;
    this.requestId = more.requestId ?? null;
    this.retryAfter = more.retryAfter ?? 0;
    /** Whether the key was changed while the request was under way. */
    this.isOfOldKey = false;
  }

  /** Whether it may be over in a moment. @returns {boolean} */
  get isPassing() {
    return [0, 429, 503].includes(this.status);
  }

  /** What to do. @returns {string} */
  get advice() {
    const byCode = Object.entries(BY_CODE).find(([code]) => code === this.code);
    const byStatus = Object.entries(BY_STATUS).find(([status]) => Number(status) === this.status);
    return byCode?.[1] ?? byStatus?.[1] ?? "";
  }
}

/** Return the problem of a request that nobody answered. @returns {Problem} */
export function unreachable() {
  return new Problem(0, "The server does not answer", "");
}

/**
 * Return the problem of an answer: problem details (RFC 9457), or the protocol's {"error": …}.
 *
 * @param {Response} response
 * @param {string} text its body
 * @returns {Problem}
 */
export function problemOf(response, text) {
  const told = object(text);
  const title = told.title ?? `The server answered ${response.status}`;
  const detail = told.detail ?? told.error ?? text.slice(0, 300);
  return new Problem(response.status, String(title), String(detail), {
    code: response.headers.get("Foldserve-Error"), // the protocol's bodies have no room for it
    requestId: response.headers.get("X-Request-ID"),
    retryAfter: Number(response.headers.get("Retry-After")) || 0,
  });
}

/**
 * Return a problem as it is shown.
 *
 * @param {unknown} error
 * @returns {HTMLElement}
 */
export function problemView(error) {
  if (!(error instanceof Problem)) {
    return element("div", { class: "problem" }, element("p", {}, message(error)));
  }
  const source = [error.status || null, error.code, error.requestId && `request ${error.requestId}`];
  return element(
    "div",
    { class: "problem" },
    element("p", { class: "title" }, error.title),
    error.detail && element("p", {}, error.detail),
    error.advice && element("p", {}, error.advice),
    error.status !== 0 && element("p", { class: "source" }, source.filter(Boolean).join(" · ")),
  );
}

/** @param {unknown} error @returns {string} */
export function message(error) {
  return error instanceof Error ? error.message : String(error);
}

/** @param {string} text @returns {Record<string, unknown>} */
function object(text) {
  try {
    const told = JSON.parse(text);
    return told !== null && typeof told === "object" ? told : {};
  } catch {
    return {};
  }
}
