/** The API key, where the server asks for one: kept in this tab alone. */

import { byId } from "./dom.js";

const KEPT = "foldserve.key";

/** @returns {string | null} */
export function apiKey() {
  try {
    return sessionStorage.getItem(KEPT);
  } catch {
    return null;
  }
}

/**
 * Return the headers that a request needs. The name and the password that the browser was given
 * for the page open nothing else, so the key is sent in a header of its own.
 *
 * @returns {Record<string, string>}
 */
export function keyHeaders() {
  const key = apiKey();
  return key === null ? {} : { "X-API-Key": key };
}

/** Let a person give a key, change it and forget it. @param {() => void} onChange */
export function watchKey(onChange) {
  const dialog = byId("key-dialog", HTMLDialogElement);
  const field = byId("key-value", HTMLInputElement);
  const button = byId("key", HTMLButtonElement);
  button.hidden = apiKey() === null;
  button.addEventListener("click", askForKey);
  dialog.addEventListener("close", () => {
    const { returnValue } = dialog;
    const value = field.value.trim();
    field.value = "";
    if (returnValue === "use" && value !== "") sessionStorage.setItem(KEPT, value);
    else if (returnValue === "forget") sessionStorage.removeItem(KEPT);
    else return;
    onChange();
  });
}

/** Ask for a key, once: a dialog that is open stays as it is. */
export function askForKey() {
  const dialog = byId("key-dialog", HTMLDialogElement);
  byId("key", HTMLButtonElement).hidden = false;
  if (dialog.open) return;
  dialog.returnValue = "cancel"; // what Escape means
  dialog.showModal();
}
