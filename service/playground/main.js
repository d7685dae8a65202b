/** The page: where a person is, which model is chosen, and the three views of it. */

import { onProblem, read } from "./api.js";
import { createCard } from "./card/card.js";
import { byId, fill } from "./dom.js";
import { askForKey, watchKey } from "./key.js";
import { readModels, readSelection } from "./models.js";
import { createPicker } from "./picker.js";
import { Problem, problemView } from "./problem.js";
import { watchPulse } from "./pulse.js";
import { readRoute, writeRoute } from "./route.js";
import { createServer } from "./server/server.js";
import { watchTheme } from "./theme.js";
import { createTry } from "./try/try.js";

/** @typedef {import("./route.js").Route} Route */
/** @typedef {import("./route.js").View} View */

/** @type {Record<View, string>} */
const TITLES = { try: "Try", model: "Model", server: "Server" };

// The pulse is not told of every problem; what may be over in a moment is tried again by itself.
const AGAIN_MS = 2000;

const picker = createPicker((model, version) => {
  location.hash = writeRoute({ ...route(), model, version });
});
const tries = createTry();
const card = createCard();
const server = createServer();

/** @type {Route} */
let shown = { view: "try", model: null, version: null };
let turn = 0; // of a choice: the answer to an older one is not shown

/** @returns {Route} */
function route() {
  return readRoute(location.hash) ?? shown;
}

/** Show the view of the address, and its model once it is there. */
async function show() {
  const before = shown;
  shown = route();
  showView(shown.view);
  if (shown.view !== before.view) byId(`title-${shown.view}`, HTMLHeadingElement).focus();
  if (shown.view === "server") return;
  await select(shown);
}

/** @param {View} view */
function showView(view) {
  document.title = `${TITLES[view]} · Foldserve`;
  byId("picker", HTMLFormElement).hidden = view === "server";
  for (const link of document.querySelectorAll("nav a[data-view]")) {
    if (!(link instanceof HTMLAnchorElement)) continue;
    const each = /** @type {View} */ (link.dataset.view);
    byId(`view-${each}`, HTMLElement).hidden = each !== view;
    link.href = writeRoute({ ...shown, view: each });
    if (each === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  server.setActive(view === "server");
}

/** @param {Route} wanted */
async function select(wanted) {
  const mine = ++turn;
  const trouble = byId("trouble", HTMLDivElement);
  try {
    const models = await readModels();
    const name = models.find((each) => each.name === wanted.model)?.name ?? firstOf(models);
    if (name === null) throw new Error("The model repository is empty: put a model into it, as <name>/<version>/model.onnx.");
    const selection = await readSelection(name, wanted.version);
    if (mine !== turn) return;
    picker(models, selection);
    tries.show(selection);
    card.show(selection);
    trouble.hidden = true;
  } catch (error) {
    if (mine !== turn) return;
    fill(trouble, problemView(error));
    trouble.hidden = false;
    if (error instanceof Problem && error.isPassing) setTimeout(() => mine === turn && select(wanted), AGAIN_MS);
  }
}

/**
 * Return the model that is shown first: one that can answer, if there is one.
 *
 * @param {import("./models.js").Model[]} models
 * @returns {string | null}
 */
function firstOf(models) {
  return (models.find((each) => each.state === "ready") ?? models[0])?.name ?? null;
}

async function showRelease() {
  const told = await read("v2");
  fill(byId("release", HTMLSpanElement), told.version);
}

function reload() {
  select(route());
  server.refresh();
  showRelease().catch(() => {}); // the models' problem is shown, and it is the same
}

onProblem((error) => {
  if (error.status === 401 && !error.isOfOldKey) askForKey();
});
watchTheme(byId("theme", HTMLSelectElement));
watchKey(reload);
watchPulse(reload);
addEventListener("hashchange", show);
show();
showRelease().catch(() => {});
