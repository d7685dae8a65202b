/**
 * Elements made in code. Text is only ever text: nothing that a server says becomes markup.
 */

/** @typedef {Node | string | number | null | undefined | false} Child */
/** @typedef {Record<string, string | number | boolean | null | undefined>} Attributes */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Return a new element.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Attributes} [attributes] true stands without a value, false and null do not stand
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function element(tag, attributes = {}, ...children) {
  return fill(set(document.createElement(tag), attributes), ...children);
}

/**
 * Return a new element of a drawing.
 *
 * @template {keyof SVGElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Attributes} [attributes]
 * @param {...Child} children
 * @returns {SVGElementTagNameMap[Tag]}
 */
export function svg(tag, attributes = {}, ...children) {
  return fill(set(document.createElementNS(SVG, tag), attributes), ...children);
}

/**
 * Return the one element that the page has under an id.
 *
 * @template {Element} Kind
 * @param {string} id
 * @param {new () => Kind} kind
 * @returns {Kind}
 */
export function byId(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page has no ${kind.name} #${id}`);
  return found;
}

/**
 * Put children into an element in place of what it holds.
 *
 * @template {Element} Kind
 * @param {Kind} parent
 * @param {...Child} children
 * @returns {Kind}
 */
export function fill(parent, ...children) {
  parent.replaceChildren(...children.filter(isShown).map(asNode));
  return parent;
}

/** Say something to those who do not see the page. @param {string} text */
export function say(text) {
  byId("said", HTMLParagraphElement).textContent = text;
}

/**
 * Return the value of the radio button that is chosen in a fieldset.
 *
 * @param {HTMLFieldSetElement} fieldset
 * @returns {string}
 */
export function chosen(fieldset) {
  const found = fieldset.querySelector("input:checked");
  return found instanceof HTMLInputElement ? found.value : "";
}

/**
 * @template {Element} Kind
 * @param {Kind} target
 * @param {Attributes} attributes
 * @returns {Kind}
 */
function set(target, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    target.setAttribute(name, value === true ? "" : String(value));
  }
  return target;
}

/** @param {Child} child @returns {child is Node | string | number} */
function isShown(child) {
  return child !== null && child !== undefined && child !== false;
}

/** @param {Node | string | number} child @returns {Node | string} */
function asNode(child) {
  return typeof child === "number" ? String(child) : child;
}
