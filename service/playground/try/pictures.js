/** The part of the view for models that take pictures: files, a camera, a canvas. */

import { byId, chosen } from "../dom.js";
import { modelPath } from "../models.js";
import { watchDrawing } from "./drawing.js";
import { isDrawable } from "./kind.js";
import { clearPicture, watchPicture } from "./picture.js";

/** @typedef {import("../models.js").Selection} Selection */
/** @typedef {import("./sending.js").Sender} Sender */
/** @typedef {{body: Blob, file: string, isOwn: boolean}} Picture */

/**
 * Let a person give pictures.
 *
 * @param {Sender} sender
 * @returns {{show: (selection: Selection) => void, hide: () => void}}
 */
export function watchPictures(sender) {
  const ways = byId("ways", HTMLFieldSetElement);
  const top = byId("top", HTMLInputElement);
  /** @type {Selection | null} */
  let selection = null;
  /** @type {Picture | null} */
  let last = null;

  /** @param {Picture} picture */
  function send(picture) {
    if (selection === null) return;
    last = picture;
    const path = `${modelPath(selection)}/predict?top_k=${encodeURIComponent(top.value)}`;
    sender.send({ path, body: picture.body, file: picture.file, type: null }, picture.isOwn);
  }

  function showWay() {
    const isDrawing = !ways.hidden && chosen(ways) === "drawing";
    byId("way-drawing", HTMLDivElement).hidden = !isDrawing;
    byId("way-picture", HTMLDivElement).hidden = isDrawing;
  }

  const isAsked = () => selection !== null && !byId("view-try", HTMLElement).hidden;
  watchPicture((body, file, isOwn) => send({ body, file, isOwn }), isAsked);
  const drawing = watchDrawing((body) => send({ body, file: "drawing.png", isOwn: false }));
  ways.addEventListener("change", showWay);
  top.addEventListener("change", () => last !== null && send(last));

  return {
    show(wanted) {
      [selection, last] = [wanted, null];
      clearPicture();
      const input = wanted.version.manifest?.input;
      if (input?.kind === "image") drawing.reset(input.width, input.height);
      ways.hidden = !isDrawable(wanted.version);
      showWay();
    },
    hide() {
      selection = null;
    },
  };
}
