// A client of Foldserve for browsers and Node.js 18 or newer, of nothing but fetch.

const LENGTH = "Inference-Header-Content-Length";

// The protocol's words for what typed arrays hold; both are little-endian.
const ARRAYS = {
  UINT8: Uint8Array,
  UINT16: Uint16Array,
  UINT32: Uint32Array,
  UINT64: BigUint64Array,
  INT8: Int8Array,
  INT16: Int16Array,
  INT32: Int32Array,
  INT64: BigInt64Array,
  FP32: Float32Array,
  FP64: Float64Array,
};

// "Not now", of the server and of a proxy in front. No request changes anything at the server:
// each may be sent again.
const NOT_NOW = [429, 502, 503];

export class FoldserveError extends Error {
  constructor(detail, status, code, requestId) {
    super(detail);
    Object.assign(this, { name: "FoldserveError", status, code, requestId });
  }
}

export class Foldserve {
  #url;
  #headers;
  #attempts;
  #timeoutMs;

  constructor(url, { apiKey, attempts = 5, timeoutMs = 60_000 } = {}) {
    this.#url = url.replace(/\/+$/, "");
    this.#headers = apiKey ? { Authorization: `Bearer ${apiKey}` } : {};
    this.#attempts = attempts;
    this.#timeoutMs = timeoutMs;
  }

  // The likeliest classes of a picture: a Blob, a File, an ArrayBuffer or a Buffer.
  async predict(model, image, { topK } = {}) {
    const query = topK ? `?top_k=${topK}` : "";
    const path = `/models/${encodeURIComponent(model)}/predict${query}`;
    const answer = await this.#post(path, image, { "Content-Type": "application/octet-stream" });
    return (await answer.json()).predictions;
  }

  // Every output by name; inputs and outputs are { data: a typed array, shape: [sizes] }.
  async infer(model, inputs) {
    const tensors = Object.entries(inputs).map(([name, { data, shape }]) => ({
      name,
      shape,
      datatype: datatypeOf(data),
      parameters: { binary_data_size: data.byteLength },
    }));
    const document = { inputs: tensors, parameters: { binary_data_output: true } };
    const head = new TextEncoder().encode(JSON.stringify(document));
    const body = new Blob([head, ...Object.values(inputs).map(({ data }) => data)]);
    const path = `/v2/models/${encodeURIComponent(model)}/infer`;
    const type = "application/octet-stream";
    const answer = await this.#post(path, body, { "Content-Type": type, [LENGTH]: head.length });
    return outputsOf(await answer.arrayBuffer(), Number(answer.headers.get(LENGTH)));
  }

  async #post(path, body, headers) {
    const deadline = Date.now() + this.#timeoutMs;
    for (let attempt = 1; ; attempt++) {
      const left = Math.max(0, deadline - Date.now());
      const options = { method: "POST", body, headers: { ...this.#headers, ...headers } };
      let failure;
      let waitMs = Math.random() * 100 * 2 ** (attempt - 1); // not all clients at once
      try {
        options.signal = AbortSignal.timeout(left);
        const answer = await fetch(this.#url + path, options);
        if (answer.ok) return answer;
        failure = await errorOf(answer);
        if (!NOT_NOW.includes(answer.status)) throw failure;
        waitMs += 1000 * Number(answer.headers.get("Retry-After") ?? 0);
      } catch (error) {
        if (!(error instanceof TypeError)) throw error; // a TypeError: there was no answer
        failure = error;
      }
      if (attempt >= this.#attempts || !(Date.now() + waitMs < deadline)) throw failure;
      await new Promise((resolve) => setTimeout(resolve, waitMs));
    }
  }
}

function datatypeOf(data) {
  const found = Object.entries(ARRAYS).find(([, kind]) => data instanceof kind);
  if (!found) throw new RangeError(`${data?.constructor?.name} holds no tensor`);
  return found[0];
}

function outputsOf(buffer, length) {
  const document = JSON.parse(new TextDecoder().decode(buffer.slice(0, length)));
  const outputs = {};
  let start = length;
  for (const { name, datatype, shape, parameters } of document.outputs) {
    const end = start + parameters.binary_data_size;
    if (!ARRAYS[datatype]) throw new RangeError(`no typed array holds ${datatype}`);
    outputs[name] = { data: new ARRAYS[datatype](buffer.slice(start, end)), shape };
    start = end;
  }
  return outputs;
}

async function errorOf(answer) {
  const body = await answer.json().catch(() => ({})); // of a proxy it is no JSON
  const code = body.code ?? answer.headers.get("Foldserve-Error");
  const detail = body.detail ?? body.error ?? answer.statusText;
  return new FoldserveError(detail, answer.status, code, answer.headers.get("X-Request-ID"));
}
