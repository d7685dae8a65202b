/** The view in which a person tries a model. */

import { byId } from "../dom.js";
import { modelPath } from "../models.js";
import { message } from "../problem.js";
import { inputWords, kindOf, signalSpec } from "./kind.js";
import { watchPictures } from "./pictures.js";
import { createSender } from "./sending.js";
import { watchSignal } from "./signal.js";
import { watchTensor } from "./tensor.js";

/** @typedef {import("../models.js").Selection} Selection */

// Longer bodies stand in a file beside the call, so that it can be read.
const LONGEST_INLINE = 4000;

/** @returns {{show: (selection: Selection) => void}} */
export function createTry() {
  /** @type {Selection | null} */
  let selection = null;
  const sender = createSender();
  const pictures = watchPictures(sender);

  /** @param {string} body */
  function sendTensors(body) {
    if (selection === null) return;
    const path = `v2/${modelPath(selection)}/infer`;
    const file = body.length > LONGEST_INLINE ? "request.json" : null;
    sender.send({ path, body, file, type: "application/json" });
  }

  const showSignal = watchSignal(({ shape, values }) => {
    const spec = selection && signalSpec(selection.version);
    if (spec === null) return;
    const { name, datatype } = spec;
    sendTensors(JSON.stringify({ inputs: [{ name, shape, datatype, data: values }] }));
  });
  const showTensor = watchTensor((body) => {
    try {
      JSON.parse(body);
    } catch (error) {
      sender.refuse(new Error(`The request is not JSON: ${message(error)}.`));
      return;
    }
    sendTensors(body);
  });

  return {
    show(wanted) {
      if (JSON.stringify(wanted) === JSON.stringify(selection)) return; // what was given stays
      selection = wanted;
      const { version } = wanted;
      const kind = kindOf(version);
      for (const each of document.querySelectorAll("[data-input]")) {
        if (each instanceof HTMLElement) each.hidden = each.dataset.input !== kind;
      }
      byId("input-words", HTMLParagraphElement).textContent = inputWords(version);
      sender.reset(version.manifest);
      if (kind === "picture") pictures.show(wanted);
      else pictures.hide();
      const spec = signalSpec(version);
      if (kind === "signal" && spec !== null) showSignal(spec);
      if (kind === "tensor") showTensor(version);
    },
  };
}
