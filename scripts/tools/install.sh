#!/usr/bin/env bash
# Builds the pinned developer tools of versions.txt into the cache and prints the folder that they are in.
set -euo pipefail

usage() {
  cat <<'TXT'
Usage: scripts/tools/install.sh [TOOL ...]

Builds TOOLs (default: all of scripts/tools/versions.txt) into $PLAYHEAD_CACHE/tools (default ~/.cache/playhead/tools), each once per version,
and prints that folder as the only line of standard output. Needs go; downloads sources through the Go module proxy on first use.
TXT
}

case ${1:-} in -h | --help) usage; exit 0 ;; esac
versions=$(cd "$(dirname "$0")" && pwd)/versions.txt
tools=${PLAYHEAD_CACHE:-$HOME/.cache/playhead}/tools
command -v go >/dev/null || { echo "install.sh: go is missing (1.26 or newer)" >&2; exit 1; }
mkdir -p "$tools"

# installed BINARY PACKAGE VERSION: true when the binary there was built from this very version. The binary itself says so; a stamp beside
# it could disagree.
installed() {
  local info
  info=$(go version -m "$tools/$1" 2>/dev/null) || return 1
  [[ $info == *$'\tpath\t'"$2"$'\n'* && $(awk '$1 == "mod" { print $3 }' <<<"$info") == "$3" ]]
}

# install BINARY PACKAGE VERSION: builds beside the folder and moves the binary in whole, so that a run that goes on meanwhile never sees half of it.
install() {
  local scratch
  scratch=$(mktemp -d "$tools/.build.XXXXXX")
  echo "install.sh: building $1 $3" >&2
  if ! GOBIN=$scratch GOWORK=off GOFLAGS='' CGO_ENABLED=0 go install "$2@$3" >&2; then
    rm -rf "$scratch"
    echo "install.sh: $1 $3 cannot be built; is the Go module proxy reachable?" >&2
    return 1
  fi
  mv -f "$scratch/$1" "$tools/$1"
  rm -rf "$scratch"
}

known=()
while read -r binary package version; do
  [[ -n $binary && $binary != \#* ]] || continue
  known+=("$binary")
  [[ $# -eq 0 || " $* " == *" $binary "* ]] || continue
  installed "$binary" "$package" "$version" || install "$binary" "$package" "$version"
done <"$versions"
for tool in "$@"; do
  [[ " ${known[*]} " == *" $tool "* ]] || { echo "install.sh: $tool is not in versions.txt" >&2; exit 2; }
done
echo "$tools"
