#!/usr/bin/env bash
# Passes all tests, or one stage of them. Ends with the line "N passed, N failed".
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD

usage() {
  cat <<'TXT'
Usage: scripts/test.sh [--list] [STAGE [--full]] ...

Without a stage: all of them, in this order. Installs what a stage needs at pinned versions into $PLAYHEAD_CACHE (default
~/.cache/playhead) and says what is missing when it cannot.

Stages:
  gen       generated code is up to date, protobuf lints, no breaking change     builds buf
  lint      gofumpt, vet, staticcheck, shell syntax                             builds staticcheck
  mods      every module builds alone (GOWORK=off) and is tidy
  unit      unit tests of all modules: race detector and leak checks on, order shuffled
  fuzz      every fuzz target for a few seconds ($FUZZTIME, default 3s each)
  deploy    compose file and charts: parsed, linted, rendered, decoded strictly
  scenario  the pipeline on the embedded stack, as one process and as real processes; seeded defects are caught
  chaos     kill -9 and SIGSTOP of each service, short form; --full: ten kills each, on real Kafka (slow, by hand)
  interop   real Kafka, registry and S3 server; Spark with Hudi 0.15.0, 1.1.1, 1.2.0 and hudi-rs read and write tables; the S3 store on
            the real server; the table of engines is up to date    needs java, mvn, python3    --full: more cells of each kind (slow)
  dev       scripts/dev.sh runs the main job, twice on one folder
TXT
}

stages=(gen lint mods unit fuzz deploy scenario chaos interop dev)
export PLAYHEAD_CACHE=${PLAYHEAD_CACHE:-$HOME/.cache/playhead}
logs=$PLAYHEAD_CACHE/logs/$$
passed=0 failed=0
full=false

# check NAME COMMAND...: one check that is not a Go test; its output is shown when it fails.
check() {
  local name=$1 log=$logs/$1.log
  shift
  if "$@" >"$log" 2>&1; then
    passed=$((passed + 1)) && echo "ok    $name"
  else
    failed=$((failed + 1)) && echo "FAIL  $name" && tail -n 100 "$log"
  fi
}

# go_test NAME ARGS...: go test -v with ARGS; counts top-level tests; shows package lines and whatever a failing test printed.
go_test() {
  local name=$1 log=$logs/$1.log status=0
  shift
  go test "$@" -v >"$log" 2>&1 || status=$?
  local p f
  p=$(grep -c '^--- PASS' "$log" || true)
  f=$(grep -c '^--- FAIL' "$log" || true)
  # A package that does not build, panics or times out fails without a test line of its own.
  [[ $status -eq 0 || $f -gt 0 ]] || f=1
  if [[ $status -eq 0 && $p -eq 0 ]]; then
    echo "FAIL  $name: no test ran" && f=1
  fi
  passed=$((passed + p)) failed=$((failed + f))
  grep -E '^(ok|FAIL|---( FAIL| SKIP))|defects caught' "$log" | grep -v 'no test files' || true
  if [[ $status -ne 0 ]]; then
    grep -nE -B 40 '^(\s*--- FAIL|panic:|FAIL|WARNING: DATA RACE)' "$log" | tail -n 300 || true
    tail -n 40 "$log"
  fi
}

# packages PATTERN: import paths of the workspace that match the extended regular expression.
packages() { go list work | grep -E "$1"; }

stage_gen() { check gen scripts/gen.sh --check; }
stage_lint() { check lint scripts/lint.sh; }
stage_mods() {
  check workspace scripts/gen-work.sh --check
  check mods scripts/mods.sh
}

stage_unit() {
  # Packages that start processes or load have stages of their own.
  # shellcheck disable=SC2046
  go_test unit -race -shuffle=on -timeout 10m $(packages . | grep -vE '/e2e/(scenario|defect|interop|peers)$')
  # The library's sweeps over failing store calls are thin with the race detector on.
  go_test sweeps -timeout 10m ./services/lake-writer/hudi
}

# fuzz TARGET PACKAGE: fuzzes for a moment. Under load the fuzzer's workers sometimes miss its own deadline and it fails without a failing
# input; then it is asked once more. A failure with an input is one at once.
fuzz() {
  local out
  out=$(mktemp)
  if go test -run '^$' -fuzz "^$1\$" -fuzztime "${FUZZTIME:-3s}" "$2" >"$out" 2>&1; then
    cat "$out" && rm "$out"
    return
  fi
  cat "$out"
  grep -q 'Failing input written\|failure while testing seed corpus\|build failed' "$out" && rm "$out" && return 1
  rm "$out"
  go test -run '^$' -fuzz "^$1\$" -fuzztime "${FUZZTIME:-3s}" "$2"
}

stage_fuzz() {
  local pkg target targets
  while read -r pkg; do
    # The files say that there are targets: a package that lists none does not build.
    if ! targets=$(go test -list '^Fuzz' "$pkg" | grep '^Fuzz'); then
      failed=$((failed + 1)) && echo "FAIL  fuzz-${pkg##*/}: its targets cannot be listed"
      continue
    fi
    for target in $targets; do
      check "fuzz-${pkg##*/}-$target" fuzz "$target" "$pkg"
    done
  done < <(grep -rl --include='*_test.go' '^func Fuzz' services schemas | xargs -rn1 dirname | sort -u | sed "s#^#$root/#")
}

stage_deploy() { GOWORK=off go_test deploy -C scripts/tools/deploycheck -count=1 .; }
stage_scenario() { go_test scenario -timeout 15m ./services/e2e/scenario ./services/e2e/defect; }

stage_chaos() {
  if $full; then
    scripts/peers.sh kafka apicurio versitygw
    PLAYHEAD_PEERS=$(scripts/peers.sh --print-dir) PLAYHEAD_CHAOS=full go_test chaos-full -timeout 170m -run 'Chaos' ./services/e2e/scenario
    return
  fi
  PLAYHEAD_CHAOS=short go_test chaos -timeout 10m -run 'Chaos' ./services/e2e/scenario
}

# engine_table COMMITTED NEW: the tables of what works with which engine are equal. An empty cell of a short run was not tried.
engine_table() {
  if $full; then diff -u "$1" "$2"; return; fi
  awk -F'|' '
    NR == FNR { old[FNR] = $0; lines = FNR; next }
    { n = split(old[FNR], cells, "|"); same = n == NF
      for (i = 1; i <= NF; i++) if ($i != cells[i] && $i != " ") same = 0
      if (!same) { print "committed: " old[FNR] "\nthis run:  " $0; bad = 1 } }
    END { exit bad || FNR != lines }' "$1" "$2"
}

stage_interop() {
  scripts/peers.sh || { failed=$((failed + 1)); return; }
  local table=$logs/ENGINES.md form=short
  ! $full || form=full
  PLAYHEAD_PEERS=$(scripts/peers.sh --print-dir) PLAYHEAD_INTEROP=$form PLAYHEAD_ENGINE_TABLE=$table \
    go_test interop -timeout 40m ./services/e2e/peers ./services/e2e/interop
  # When this fails and nothing else, run with --full and PLAYHEAD_ENGINES=services/lake-writer/hudi/ENGINES.md, which takes the new table.
  check engine-table engine_table services/lake-writer/hudi/ENGINES.md "$table"
  if $full && [[ -n ${PLAYHEAD_ENGINES:-} ]]; then cp "$table" "$PLAYHEAD_ENGINES"; fi
  check real-s3 real_s3
}

# real_s3: the lake-writer's S3 store, its start-up probe and the conformance suite of stores, on a real versitygw. A file system cannot
# hold an object below another one, so the case that needs it is left out there; fakes of S3 have it in the unit tests.
real_s3() (
  dir=$(mktemp -d)
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  mkdir -p "$dir/conformance"
  export ROOT_ACCESS_KEY=playhead ROOT_SECRET_KEY=playhead-secret AWS_ACCESS_KEY_ID=playhead AWS_SECRET_ACCESS_KEY=playhead-secret
  "$(scripts/peers.sh --print-dir)/versitygw/versitygw" --port "127.0.0.1:$port" posix "$dir" >"$dir.log" 2>&1 &
  server=$!
  trap 'kill "$server"; wait "$server" || true; rm -rf "$dir" "$dir.log"' EXIT
  for _ in $(seq 100); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
    kill -0 "$server"
    sleep 0.1
  done
  S3STORE_TEST_ENDPOINT=http://127.0.0.1:$port S3STORE_TEST_BUCKET=conformance \
    go test -count=1 -v -run 'TestRealStore' -skip 'TestRealStore/missing' ./services/lake-writer/internal/s3store
)

stage_dev() {
  local dir
  dir=$(mktemp -d)
  check dev-first scripts/dev.sh --duration 10s --rate 1000 --dir "$dir" --output json
  check dev-resumed scripts/dev.sh --duration 5s --rate 1000 --dir "$dir" --output json
  rm -rf "$dir"
}

wanted=()
for arg in "$@"; do
  case $arg in
    -h | --help) usage; exit 0 ;;
    --list) printf '%s\n' "${stages[@]}"; exit 0 ;;
    --full) full=true ;;
    *)
      [[ " ${stages[*]} " == *" $arg "* ]] || { echo "test.sh: unknown stage $arg" >&2; usage >&2; exit 2; }
      wanted+=("$arg")
      ;;
  esac
done
[[ ${#wanted[@]} -gt 0 ]] || wanted=("${stages[@]}")
command -v go >/dev/null || { echo "test.sh: go is missing (1.26 or newer)" >&2; exit 1; }
mkdir -p "$logs"
trap 'rm -rf "$logs"' EXIT

for stage in "${wanted[@]}"; do
  began=$SECONDS
  echo "== $stage"
  "stage_$stage"
  echo "== $stage took $((SECONDS - began)) s"
done
echo "$passed passed, $failed failed"
[[ $failed -eq 0 ]]
