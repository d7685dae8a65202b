#!/bin/sh
# Foldserve from a shell: sh examples/curl.sh [URL] [IMAGE]
set -eu
url=${1:-http://127.0.0.1:8000}
image=${2:-tests/data/digit_7.png}

# Quiet but for errors, which end the script; "not now" (429, 503) is tried again when the server
# says, and so is a connection that is refused.
ask() {
  curl --silent --show-error --fail-with-body --retry 5 --retry-connrefused --retry-max-time 60 "$@"
  echo
}

echo "Ready?"
ask "$url/v2/health/ready"

echo "A picture as the whole body:"
ask --data-binary "@$image" "$url/models/digits/predict?top_k=1"

echo "The same as a form:"
ask --form "file=@$image" "$url/models/digits/predict?top_k=1"

echo "Numbers, by the Open Inference Protocol:"
zeros=$(yes 0 | head -n 64 | paste -s -d , -)
ask --json "{\"inputs\": [{\"name\": \"input\", \"shape\": [1, 1, 8, 8], \"datatype\": \"FP32\",
  \"data\": [$zeros]}]}" "$url/v2/models/digits/infer"

echo "A picture by the same protocol, and its two highest classes (score:index:label):"
ask --json "{\"inputs\": [{\"name\": \"input\", \"shape\": [1], \"datatype\": \"BYTES\",
  \"data\": [{\"b64\": \"$(base64 < "$image" | tr -d '\n')\"}]}],
  \"outputs\": [{\"name\": \"logits\", \"parameters\": {\"classification\": 2}}]}" \
  "$url/v2/models/digits/infer"
