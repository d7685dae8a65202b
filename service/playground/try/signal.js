/** A signal: generated here, or from a file. */

import { byId, chosen, element, fill } from "../dom.js";
import { counted, shape } from "../format.js";
import { message } from "../problem.js";
import { plotSignal } from "../charts.js";
import { asSignals, readNumbers } from "./numbers_file.js";
import { FORMS, waveform } from "./waveform.js";

/** @typedef {import("../models.js").Tensor} Tensor */
/** @typedef {{shape: number[], values: number[]}} Signals */

const ANY_LENGTH = 128; // of a generated signal, where the model takes every length

/**
 * Let a person give a signal.
 *
 * @param {(signals: Signals) => void} onSend
 * @returns {(spec: Tensor) => void} starts anew for a model's input
 */
export function watchSignal(onSend) {
  const sources = byId("sources", HTMLFieldSetElement);
  const words = byId("signal-words", HTMLParagraphElement);
  const send = byId("send-signal", HTMLButtonElement);
  const file = byId("signal-file", HTMLInputElement);
  /** @type {Tensor} */
  let spec = { name: "", datatype: "FP32", shape: [1, 1, ANY_LENGTH] };
  /** @type {Signals | null} */
  let signals = null;

  fill(byId("form", HTMLSelectElement), ...Object.keys(FORMS).map((name) => element("option", {}, name)));

  function generate() {
    const [, channels, stated] = spec.shape;
    const length = stated === -1 ? ANY_LENGTH : stated;
    const rows = waveform(choice(), channels, length);
    take({ shape: [1, channels, length], values: rows.flat() });
  }

  /** @param {Signals | null} found */
  function take(found) {
    signals = found;
    send.disabled = found === null;
    preview(found);
  }

  async function readFile() {
    const [given] = file.files ?? [];
    if (!given) return;
    try {
      const found = asSignals(await readNumbers(given), spec.shape[1], spec.shape[2]);
      words.textContent = `${given.name}: ${counted(found.shape[0], "signal")}`;
      take(found);
    } catch (error) {
      words.textContent = `${given.name}: ${message(error)}.`;
      take(null);
    }
  }

  function showSource() {
    const isFile = chosen(sources) === "file";
    byId("source-file", HTMLDivElement).hidden = !isFile;
    byId("source-generated", HTMLDivElement).hidden = isFile;
    if (!isFile) return generate();
    take(null);
    words.textContent = `CSV with a line for each channel, JSON, or .npy, of the shape ${shape(spec.shape)}`;
    return readFile();
  }

  sources.addEventListener("change", showSource);
  file.addEventListener("change", readFile);
  for (const id of ["cycles", "amplitude", "noise"]) {
    byId(id, HTMLInputElement).addEventListener("input", generate);
  }
  byId("form", HTMLSelectElement).addEventListener("change", generate);
  send.addEventListener("click", () => signals !== null && onSend(signals));
  return (wanted) => {
    spec = wanted;
    file.value = "";
    showSource();
  };
}

function choice() {
  const number = (/** @type {string} */ id) => byId(id, HTMLInputElement).valueAsNumber;
  return {
    form: byId("form", HTMLSelectElement).value,
    cycles: number("cycles"),
    amplitude: number("amplitude"),
    noise: number("noise"),
  };
}

/** Show the first signal, a line for each of its channels. @param {Signals | null} signals */
function preview(signals) {
  const place = byId("signal-plot", HTMLDivElement);
  const caption = byId("signal-caption", HTMLElement);
  if (signals === null) {
    fill(place);
    caption.textContent = "";
    return;
  }
  const [rows, channels, length] = signals.shape;
  const lines = Array.from({ length: channels }, (_, channel) =>
    signals.values.slice(channel * length, (channel + 1) * length),
  );
  plotSignal(place, lines);
  const many = rows > 1 ? `the first of ${rows} signals, ` : "";
  caption.textContent = `${many}${counted(channels, "channel")} of ${counted(length, "value")}`;
}
