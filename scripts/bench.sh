#!/usr/bin/env bash
# Prints events/s and CPU time per event of each stage and of the whole, after the ledger has passed. Options: scripts/bench.sh --help.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v go >/dev/null || { echo "bench.sh: go is missing (1.26 or newer)" >&2; exit 1; }
bin=${PLAYHEAD_CACHE:-$HOME/.cache/playhead}/bin
mkdir -p "$bin"
echo "bench.sh: building" >&2
go build -o "$bin/bench" ./services/e2e/cmd/bench
exec "$bin/bench" "$@"
