#!/usr/bin/env bash
# Checks that every module stands alone: the workspace hides missing requirements and forbidden imports until an image build breaks.
set -euo pipefail

usage() {
  cat <<'TXT'
Usage: scripts/mods.sh [MODULE_DIR ...]

For each module (default: all of the repository), without the workspace: go build, go vet, go mod tidy -diff. Then checks over all modules
that directly required third-party modules have the same version everywhere. Reports all problems, not just the first.
TXT
}

case ${1:-} in -h | --help) usage; exit 0 ;; esac
cd "$(dirname "$0")/.."
command -v go >/dev/null || { echo "mods.sh: go is missing (1.26 or newer)" >&2; exit 1; }
export GOWORK=off

mapfile -t all < <(find . -name go.mod -not -path '*/testdata/*' -not -path './.*' -printf '%h\n' | LC_ALL=C sort)
modules=("${all[@]}")
[[ $# -eq 0 ]] || modules=("$@")
failed=false

# step MODULE COMMAND...: runs the command in the module and remembers a failure.
step() {
  local module=$1
  shift
  (cd "$module" && "$@") || { echo "mods.sh: $module: $* failed" >&2; failed=true; }
}

for module in "${modules[@]}"; do
  step "$module" go build ./...
  step "$module" go vet ./...
  step "$module" go mod tidy -diff
done

# direct MODULE: "path version module" of each third-party module that go.mod requires without "// indirect".
direct() {
  awk -v module="$1" '
    $1 == "require" && $2 == "(" { block = 1; next }
    $1 == ")" { block = 0 }
    /\/\/ indirect/ { next }
    block && NF >= 2 { print $1, $2, module }
    !block && $1 == "require" { print $2, $3, module }
  ' "$1/go.mod" | grep -v '^github.com/playhead-pipeline/playhead/' || true
}

different=$(for module in "${all[@]}"; do direct "$module"; done | LC_ALL=C sort | awk '
  $1 != path { if (versions > 1) printf "%s", lines; path = $1; version = ""; versions = 0; lines = "" }
  $2 != version { version = $2; versions++ }
  { lines = lines "  " $1 " " $2 " in " $3 "\n" }
  END { if (versions > 1) printf "%s", lines }
')
if [[ -n $different ]]; then
  printf 'mods.sh: directly required modules differ in version:\n%s\n' "$different" >&2
  failed=true
fi
! $failed
