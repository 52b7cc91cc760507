#!/usr/bin/env bash
# Checks format and common mistakes of all Go code and the syntax of all shell scripts.
set -euo pipefail

usage() {
  cat <<'TXT'
Usage: scripts/lint.sh [--fix]

gofumpt over all Go files but generated ones and test data, go vet and staticcheck per module, bash -n over all scripts, and shellcheck where
it is installed. Reports all problems, not just the first.
--fix   lets gofumpt write the files; everything else is checked as always.
TXT
}

mode=-l
case ${1:-} in
  -h | --help) usage; exit 0 ;;
  --fix) mode=-w ;;
  '') ;;
  *) usage >&2; exit 2 ;;
esac
cd "$(dirname "$0")/.."
tools=$(scripts/tools/install.sh gofumpt staticcheck)
export GOWORK=off
failed=false
fail() { echo "lint.sh: $*" >&2; failed=true; }

mapfile -d '' -t files < <(find . -name '*.go' -not -name '*.pb.go' -not -path '*/testdata/*' -not -path './.*' -print0)
unformatted=$("$tools/gofumpt" "$mode" "${files[@]}") || fail "gofumpt cannot read a file"
[[ -z $unformatted ]] || fail "not formatted (scripts/lint.sh --fix):"$'\n'"$unformatted"

while read -r module; do
  (cd "$module" && go vet ./...) || fail "$module: go vet found the above"
  (cd "$module" && "$tools/staticcheck" ./...) || fail "$module: staticcheck found the above"
done < <(find . -name go.mod -not -path '*/testdata/*' -not -path './.*' -printf '%h\n' | LC_ALL=C sort)

mapfile -d '' -t scripts < <(find scripts .ci -type f \( -name '*.sh' -o -path .ci/run \) -print0)
for script in "${scripts[@]}"; do
  bash -n "$script" || fail "$script: syntax error"
done
if command -v shellcheck >/dev/null; then
  shellcheck "${scripts[@]}" || fail "shellcheck found the above"
fi
! $failed
