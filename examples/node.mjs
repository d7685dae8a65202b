// Foldserve from Node.js 18 or newer: node examples/node.mjs [URL] [IMAGE]
import { readFile } from "node:fs/promises";
import { Foldserve } from "./foldserve.mjs";

const [url = "http://127.0.0.1:8000", image = "tests/data/digit_7.png"] = process.argv.slice(2);
const foldserve = new Foldserve(url); // { apiKey: "fs_…" } where the server wants one

for (const { label, probability } of await foldserve.predict("digits", await readFile(image), {
  topK: 3,
})) {
  console.log(`${label}: ${probability.toFixed(3)}`);
}

const empty = { data: new Float32Array(4 * 64), shape: [4, 1, 8, 8] };
const { logits } = await foldserve.infer("digits", { input: empty });
const first = [...logits.data.slice(0, logits.shape[1])];
const best = first.indexOf(Math.max(...first));
console.log(`logits of four empty pictures: (${logits.shape.join(", ")}), each ${best}`);

try {
  await foldserve.predict("letters", await readFile(image));
} catch (error) {
  console.log(`${error.code}: ${error.message}`);
}
