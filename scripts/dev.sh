#!/usr/bin/env bash
# Runs the main job on the embedded stack: broker, registry, object store and the three services, with generated playback sessions
# through a real WebSocket. Needs nothing but Go. Options: scripts/dev.sh --help.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v go >/dev/null || { echo "dev.sh: go is missing (1.26 or newer)" >&2; exit 1; }
bin=${PLAYHEAD_CACHE:-$HOME/.cache/playhead}/bin
mkdir -p "$bin"
echo "dev.sh: building" >&2
go build -o "$bin/devstack" ./services/e2e/cmd/devstack
exec "$bin/devstack" "$@"
