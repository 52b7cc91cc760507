#!/usr/bin/env bash
# Writes go.work from the modules that exist, or checks that it names them all.
set -euo pipefail

usage() {
  cat <<'TXT'
Usage: scripts/gen-work.sh [--check]

Writes go.work with every module below proto, schemas and services, and with their Go version, which must be the same in all.
--check   writes nothing and fails when go.work differs.
TXT
}

check=false
case ${1:-} in
  -h | --help) usage; exit 0 ;;
  --check) check=true ;;
  '') ;;
  *) usage >&2; exit 2 ;;
esac
cd "$(dirname "$0")/.."

mapfile -t modules < <(find proto schemas services -name go.mod -not -path '*/testdata/*' -printf '%h\n' | LC_ALL=C sort)
version=$(awk '$1 == "go" { print $2 }' "${modules[@]/%//go.mod}" | sort -u)
[[ $(wc -l <<<"$version") -eq 1 ]] || { echo "gen-work.sh: modules name different Go versions:" $version >&2; exit 1; }

render() {
  printf 'go %s\n\nuse (\n' "$version"
  printf '\t./%s\n' "${modules[@]}"
  printf ')\n'
}

if $check; then
  diff -u go.work <(render) || { echo "gen-work.sh: go.work is stale; run scripts/gen-work.sh" >&2; exit 1; }
else
  render >go.work
fi
