/** Where a person is: a view, a model and a version, as they stand in the address. */

/** @typedef {"try" | "model" | "server"} View */
/** @typedef {{view: View, model: string | null, version: string | null}} Route */

/** @type {View[]} */
const VIEWS = ["try", "model", "server"];

/**
 * Return what an address names, null if it is no address of a view.
 *
 * @param {string} hash such as "#/try/digits/1"
 * @returns {Route | null}
 */
export function readRoute(hash) {
  if (hash === "" || hash === "#") return { view: "try", model: null, version: null };
  if (!hash.startsWith("#/")) return null;
  const [name, model, version] = hash.slice(2).split("/").map(decoded);
  const view = VIEWS.find((each) => each === name) ?? "try";
  return { view, model: model || null, version: version || null };
}

/** @param {Route} route @returns {string} */
export function writeRoute({ view, model, version }) {
  const parts = [view, model, model && version].filter((part) => part !== null);
  return `#/${parts.map((part) => encodeURIComponent(String(part))).join("/")}`;
}

/** @param {string} text @returns {string} as it is, if it is no encoding of anything */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
