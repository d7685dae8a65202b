/** Cells of tables that become blocks on a phone, each under the head of its column. */

import { element } from "./dom.js";

/** @typedef {import("./dom.js").Child} Child */

/**
 * Return a cell.
 *
 * @param {string} head of its column
 * @param {...Child} content a cell without content has no place on a phone
 * @returns {HTMLTableCellElement}
 */
export function cell(head, ...content) {
  const known = content.filter((each) => each !== null && each !== undefined && each !== false);
  return element("td", { "data-head": head }, known.length > 0 && element("div", {}, ...known));
}
