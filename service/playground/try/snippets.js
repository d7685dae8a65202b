/** A call as a program: curl, Python, JavaScript. Each does what the page did, byte for byte. */

/**
 * A request, as it is sent and as it is written down.
 *
 * @typedef {{
 *   path: string, body: Blob | string, type: string | null,
 *   file: string | null,
 * }} Sent file: the name of a file with the body; null where the body stands in the call itself
 */
/** @typedef {"curl" | "python" | "javascript"} Language */

const KEY = "API_KEY"; // the environment variable that the calls take a key from

/**
 * Return a call.
 *
 * @param {Language} language
 * @param {Sent} sent
 * @param {string} url
 * @param {boolean} hasKey whether the server asks for a key
 * @returns {string}
 */
export function snippet(language, sent, url, hasKey) {
  return { curl, python, javascript }[language](sent, url, hasKey);
}

/** @param {Sent} sent @param {string} url @param {boolean} hasKey */
function curl({ body, type, file }, url, hasKey) {
  const data = file === null ? String(body) : `@${file}`;
  const parts = [
    hasKey && `-H "X-API-Key: $${KEY}"`,
    type && `-H ${shell(`Content-Type: ${type}`)}`,
    `--data-binary ${shell(data)}`,
    shell(url),
  ];
  return `curl ${parts.filter(Boolean).join(" \\\n  ")}`;
}

/** @param {Sent} sent @param {string} url @param {boolean} hasKey */
function python({ body, type, file }, url, hasKey) {
  const data = file === null ? `json.dumps(${literal(body)}).encode()` : `Path(${quoted(file)}).read_bytes()`;
  const headers = [
    `"Content-Type": ${quoted(type ?? "application/octet-stream")}`,
    hasKey && `"X-API-Key": os.environ["${KEY}"]`,
  ];
  return [
    "import json",
    hasKey && "import os",
    "import urllib.request",
    file !== null && "from pathlib import Path",
    "",
    "request = urllib.request.Request(",
    `    ${quoted(url)},`,
    `    data=${data},`,
    `    headers={${headers.filter(Boolean).join(", ")}},`,
    ")",
    "with urllib.request.urlopen(request) as answer:",
    "    print(json.load(answer))",
  ]
    .filter((line) => line !== false)
    .join("\n");
}

/** @param {Sent} sent @param {string} url @param {boolean} hasKey */
function javascript({ body, type, file }, url, hasKey) {
  const data = file === null ? `JSON.stringify(${body})` : `await readFile(${quoted(file)})`;
  const headers = [type && `"Content-Type": ${quoted(type)}`, hasKey && `"X-API-Key": process.env.${KEY}`];
  const stated = headers.filter(Boolean).join(", ");
  return [
    file !== null && 'import { readFile } from "node:fs/promises";\n',
    `const answer = await fetch(${quoted(url)}, {`,
    '  method: "POST",',
    stated !== "" && `  headers: { ${stated} },`,
    `  body: ${data},`,
    "});",
    "if (!answer.ok) throw new Error(await answer.text());",
    "console.log(JSON.stringify(await answer.json()));",
  ]
    .filter((line) => line !== false)
    .join("\n");
}

/** Quote for a POSIX shell. @param {string} text */
function shell(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** A string as Python and JavaScript both write it. @param {string} text */
function quoted(text) {
  return JSON.stringify(text);
}

/** JSON as Python writes it. @param {Blob | string} body */
function literal(body) {
  const words = /** @type {Record<string, string>} */ ({ true: "True", false: "False", null: "None" });
  const strings = /"(?:[^"\\]|\\.)*"|\b(?:true|false|null)\b/g;
  return String(body).replace(strings, (found) => words[found] ?? found);
}
