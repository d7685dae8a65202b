/** The call that was made, to copy: in three languages, with its file to save if it needs one. */

import { address } from "../api.js";
import { byId, chosen, element, fill, say } from "../dom.js";
import { apiKey } from "../key.js";
import { snippet } from "./snippets.js";

/** @typedef {import("./snippets.js").Sent} Sent */
/** @typedef {import("./snippets.js").Language} Language */

/**
 * Let a person copy the call.
 *
 * @returns {(sent: Sent | null, isOwn: boolean) => void} shows the call; isOwn: the file is the
 *     person's own, and there is no need to save it
 */
export function watchCalls() {
  const languages = byId("languages", HTMLFieldSetElement);
  const code = byId("call", HTMLElement);
  const words = byId("call-words", HTMLParagraphElement);
  /** @type {Sent | null} */
  let shown = null;
  let link = "";

  function show() {
    if (shown === null) return;
    const language = /** @type {Language} */ (chosen(languages));
    code.textContent = snippet(language, shown, address(shown.path), apiKey() !== null);
  }

  /** @param {Sent} sent @param {boolean} isOwn */
  function showWords(sent, isOwn) {
    URL.revokeObjectURL(link);
    if (sent.file === null || isOwn) {
      fill(words, sent.file !== null && `The call reads ${sent.file} from the folder that it is run in.`);
      return;
    }
    const body = sent.body instanceof Blob ? sent.body : new Blob([sent.body]);
    link = URL.createObjectURL(body);
    fill(words, "The call reads what was sent from a file: ", element("a", { href: link, download: sent.file }, `save ${sent.file}`), ".");
  }

  languages.addEventListener("change", show);
  byId("copy", HTMLButtonElement).addEventListener("click", () => copy(code));
  return (sent, isOwn) => {
    shown = sent;
    byId("calls", HTMLDivElement).hidden = sent === null;
    if (sent !== null) showWords(sent, isOwn);
    show();
  };
}

/** @param {HTMLElement} code */
async function copy(code) {
  const button = byId("copy", HTMLButtonElement);
  try {
    await navigator.clipboard.writeText(code.textContent ?? "");
    button.textContent = "Copied";
    say("The call is copied.");
  } catch {
    getSelection()?.selectAllChildren(code); // without https there is no clipboard to write to
    say("The call is selected.");
    button.textContent = "Selected";
  }
  button.addEventListener("blur", () => (button.textContent = "Copy"), { once: true });
}
