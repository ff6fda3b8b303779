#!/usr/bin/env bash
# run.sh: real clients against a real cluster: ethers, viem, web3.js and Foundry's cast (npm, exactly the versions of package-lock.json) over HTTP and
# WebSocket, against a coordinator and two shards under mpirun; then a second implementation, @ethereumjs/vm, executes the chain that came of it (replay.mjs), and so does cohort verify. Needs node and npm. deploy/test.sh --with-peers runs it.
#
#   tests/peers/run.sh [PRESET]     of the build whose program is used; default: release
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/../.."
# shellcheck source=deploy/lib.sh
. deploy/lib.sh

preset=${1-release}
for tool in node npm mpirun; do
    command -v $tool >/dev/null || die "needs $tool"
done
here=tests/peers deps=build/deps/clients
npm_install $here $deps

work=$(mktemp -d)
job=''
finish() {
    local status=$?
    [ -z "$job" ] || { kill "$job" 2>/dev/null && wait "$job" 2>/dev/null; } || true
    [ $status -eq 0 ] || tail -n 20 "$work/node.log" >&2
    rm -rf "$work"
}
trap finish EXIT

port=$(free_port_range 8)
node $here/genesis.mjs >"$work/genesis.json"
(umask 077 && echo 'a-token-for-this-test-only' >"$work/token")
mpirun -n 3 "build/$preset/bin/cohort" node --data "$work/data" --genesis "$work/genesis.json" \
    --state-past-blocks 65536 --state-history-blocks 65536 --http "127.0.0.1:$port" --http-token-file "$work/token" --http-cors http://wallet.example \
    --client-listen "tcp://127.0.0.1:$((port + 1))" --client-publish "tcp://127.0.0.1:$((port + 2))" \
    --status-listen "127.0.0.1:$((port + 3))" >"$work/node.log" 2>&1 &
job=$!
wait_ready "$job" "$((port + 3))" 30 || die "the cluster did not start"

COHORT_RPC="127.0.0.1:$port" COHORT_CLIENTS=$PWD/$deps COHORT_TOKEN=$work/token \
    node --test --test-timeout=180000 --test-reporter=spec $here/clients.test.mjs
COHORT_RPC="127.0.0.1:$port" COHORT_CLIENTS=$PWD/$deps COHORT_WORK=$work \
    node --test --test-timeout=180000 --test-reporter=spec $here/cast.test.mjs
COHORT_RPC="127.0.0.1:$port" COHORT_CLIENTS=$PWD/$deps node $here/replay.mjs "$work/genesis.json"

# And the sequential reference, on what is stored.
kill "$job"
wait "$job" || true # mpirun's status tells of the signal alone
job=''
"build/$preset/bin/cohort" verify --data "$work/data"
