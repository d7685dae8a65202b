/** A picture from a file, dropped, pasted or taken with a camera. */

import { byId } from "../dom.js";
import { takePicture } from "./camera.js";

/** @typedef {(picture: Blob, name: string, isOwn: boolean) => void} OnPicture isOwn: a file of the person's */

/**
 * Let a person give a picture.
 *
 * @param {OnPicture} onPicture told of each, with the name of its file
 * @param {() => boolean} isAsked whether a picture is wanted now: pasting is for the whole page
 */
export function watchPicture(onPicture, isAsked) {
  const preview = byId("preview", HTMLImageElement);

  /** @type {OnPicture} */
  function give(picture, name, isOwn) {
    URL.revokeObjectURL(preview.src);
    preview.src = URL.createObjectURL(picture);
    preview.alt = `The picture that was sent, ${name}`;
    preview.hidden = false;
    onPicture(picture, name, isOwn);
  }

  preview.addEventListener("error", () => (preview.hidden = true)); // no picture, or none of the browser's kinds
  for (const id of ["file", "capture"]) {
    const input = byId(id, HTMLInputElement);
    input.addEventListener("change", () => {
      const file = input.files?.[0];
      if (file) give(file, file.name, id === "file");
      input.value = ""; // the same file may be chosen again
    });
  }
  byId("take", HTMLButtonElement).addEventListener("click", async () => {
    if (!hasViewfinder()) byId("capture", HTMLInputElement).click();
    else {
      const picture = await takePicture();
      if (picture !== null) give(picture, "picture.jpg", false);
    }
  });
  watchDrop(byId("drop", HTMLDivElement), give);
  document.addEventListener("paste", (event) => {
    const file = isAsked() ? firstPicture(event.clipboardData) : null;
    if (file === null) return;
    event.preventDefault();
    give(file, file.name || "picture.png", false);
  });
}

/** Hide the picture that was given. */
export function clearPicture() {
  const preview = byId("preview", HTMLImageElement);
  preview.hidden = true;
  URL.revokeObjectURL(preview.src);
  preview.removeAttribute("src");
}

/** Whether a camera can be shown in the page. A phone's own camera is the better one. */
function hasViewfinder() {
  const isPhone = matchMedia("(pointer: coarse)").matches;
  return !isPhone && navigator.mediaDevices !== undefined; // undefined without https
}

/** @param {HTMLElement} place @param {OnPicture} give */
function watchDrop(place, give) {
  let depth = 0; // of the elements that are dragged over

  /** @param {number} change */
  function over(change) {
    depth = Math.max(0, depth + change);
    place.classList.toggle("over", depth > 0);
  }

  place.addEventListener("dragenter", () => over(1));
  place.addEventListener("dragleave", () => over(-1));
  place.addEventListener("drop", (event) => {
    over(-depth);
    const file = firstPicture(event.dataTransfer);
    if (file !== null) give(file, file.name, true);
  });
  // A file that is dropped beside the place must not open in its stead.
  for (const kind of ["dragover", "drop"]) {
    document.addEventListener(kind, (event) => event.preventDefault());
  }
}

/** @param {DataTransfer | null} given @returns {File | null} */
function firstPicture(given) {
  const files = [...(given?.files ?? [])];
  return files.find((file) => file.type.startsWith("image/")) ?? files[0] ?? null;
}
