#!/usr/bin/env bash
# Generates the Go code of the protobuf contracts, or checks that what is committed is what would be generated.
set -euo pipefail

usage() {
  cat <<'TXT'
Usage: scripts/gen.sh [--check]

Writes proto/**/*.pb.go with the pinned buf and plugins.
--check   writes nothing; fails when the committed code differs from a fresh generation, when the contracts do not pass `buf lint`, or when they
          break those of branch main (origin/main, else main; skipped with a word when there is neither).
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
tools=$(scripts/tools/install.sh buf protoc-gen-go protoc-gen-go-grpc)
export PATH=$tools:$PATH

# generate DIR: replaces the generated code below DIR, also that of contracts that are gone.
generate() {
  find "$1" -name '*.pb.go' -delete
  (cd "$1" && buf generate)
}

if ! $check; then
  generate proto
  exit 0
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=false

cp -R proto "$scratch/proto"
generate "$scratch/proto"
diff -ru proto "$scratch/proto" || { echo "gen.sh: generated code is stale; run scripts/gen.sh" >&2; failed=true; }

(cd proto && buf lint) || { echo "gen.sh: buf lint found the above" >&2; failed=true; }

base=
for candidate in origin/main main; do
  if git cat-file -e "$candidate:proto/buf.yaml" 2>/dev/null; then
    base=$candidate
    break
  fi
done
if [[ -z $base ]]; then
  echo "gen.sh: no branch main to compare with; skipping buf breaking"
else
  mkdir "$scratch/base"
  git archive "$base" proto | tar -x -C "$scratch/base"
  (cd proto && buf breaking --against "$scratch/base/proto") || { echo "gen.sh: the contracts break those of $base" >&2; failed=true; }
fi
! $failed
