#!/bin/sh
# Replaces the replicas behind the proxy one after the other, each by one of today's image, settings
# and models. A replica leaves once it has answered what it took, the next goes once the new one is ready.
set -eu
cd "$(dirname "$0")/.."
compose() { docker compose --profile proxy "$@"; }
for replica in $(compose ps --quiet replica); do
    docker stop "$replica" >/dev/null   # SIGTERM, and stop_grace_period to end in
    docker rm "$replica" >/dev/null
    compose up --detach --no-recreate --no-deps --wait replica
done
