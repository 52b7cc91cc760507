#!/usr/bin/env bash
# Prints events/s and CPU time per event of each stage and of the whole, after the ledger has passed; with "hudi" first, costs of the Hudi
# library beside those of DuckDB and hudi-rs. Options: scripts/bench.sh --help, scripts/bench.sh hudi --help.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v go >/dev/null || { echo "bench.sh: go is missing (1.26 or newer)" >&2; exit 1; }
bin=${PLAYHEAD_CACHE:-$HOME/.cache/playhead}/bin
mkdir -p "$bin"
echo "bench.sh: building" >&2
go build -o "$bin/bench" ./services/e2e/cmd/bench
if [[ ${1-} == hudi ]]; then
  # Without a peer its figures are left out, and the bench says so.
  scripts/peers.sh duckdb hudi-rs >&2 || true
  PLAYHEAD_PEERS=$(scripts/peers.sh --print-dir)
  export PLAYHEAD_PEERS
fi
exec "$bin/bench" "$@"
