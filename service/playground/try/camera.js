/** A picture from a camera that the browser shows. */

import { byId } from "../dom.js";
import { message } from "../problem.js";

const QUALITY = 0.92; // of the JPEG; what cameras themselves write

/**
 * Show what the camera sees until a person takes a picture.
 *
 * @returns {Promise<Blob | null>} a JPEG, null if there was none
 */
export async function takePicture() {
  const dialog = byId("camera", HTMLDialogElement);
  const video = byId("viewfinder", HTMLVideoElement);
  const closed = new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  /** @type {Blob | null} */
  let taken = null;
  const shutter = byId("shutter", HTMLButtonElement);
  const close = byId("camera-close", HTMLButtonElement);
  shutter.disabled = true;
  shutter.onclick = async () => {
    taken = await still(video);
    dialog.close();
  };
  close.onclick = () => dialog.close();
  dialog.showModal();
  const stream = await open(video);
  shutter.disabled = stream === null;
  await closed;
  video.srcObject = null;
  for (const track of stream?.getTracks() ?? []) track.stop();
  return taken;
}

/**
 * @param {HTMLVideoElement} video
 * @returns {Promise<MediaStream | null>} null if there is no camera, which is said
 */
async function open(video) {
  const words = byId("camera-words", HTMLParagraphElement);
  words.textContent = "The browser asks whether this page may use the camera.";
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    video.srcObject = stream;
    await video.play();
    words.textContent = "";
    return stream;
  } catch (error) {
    words.textContent = `There is no picture: ${message(error)}. A file works as well.`;
    return null;
  }
}

/** @param {HTMLVideoElement} video @returns {Promise<Blob | null>} */
function still(video) {
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d")?.drawImage(video, 0, 0);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", QUALITY));
}
