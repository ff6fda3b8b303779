#!/usr/bin/env bash
# rpc.sh: all conformance cases of ethereum/execution-apis (rpc.mjs) against the program: it imports the suite's chain, and a node serves it.
#
#   tests/conformance/rpc.sh PROGRAM     COHORT_TEST_DATA: folder of the test data, else ../shared/data beside the project; without it, or without
#                                       node, nothing is tested, and that is said
set -euo pipefail
program=$(realpath "$1")
cd "$(dirname "$(realpath "$0")")/../.."
# shellcheck source=deploy/lib.sh
. deploy/lib.sh

data=${COHORT_TEST_DATA-}
unpack=../shared/data/unpack.sh
if [ -z "$data" ] && [ -f "$unpack" ]; then
    data=$(flock "$unpack" bash "$unpack")
fi
suite=$data/rpc
if ! command -v node >/dev/null; then
    echo "SKIPPED: ALL JSON-RPC cases against the program: there is no node here"
    exit 0
fi
if [ ! -f "$suite/chain.rlp" ]; then
    echo "SKIPPED: ALL JSON-RPC cases against the program: no conformance data here (set COHORT_TEST_DATA to its folder)"
    exit 0
fi

work=$(mktemp -d)
job=''
finish() {
    local status=$?
    [ -z "$job" ] || { kill "$job" 2>/dev/null && wait "$job" 2>/dev/null; } || true
    [ $status -eq 0 ] || cat "$work"/*.log >&2
    rm -rf "$work"
}
trap finish EXIT

"$program" import --rlp "$suite/chain.rlp" --genesis "$suite/genesis.json" --data "$work/data" >"$work/import.log" 2>&1
port=$(free_port_range 8)
"$program" node --data "$work/data" --http "127.0.0.1:$port" \
    --client-listen "tcp://127.0.0.1:$((port + 1))" --client-publish "tcp://127.0.0.1:$((port + 2))" \
    --status-listen "127.0.0.1:$((port + 3))" >"$work/node.log" 2>&1 &
job=$!
wait_ready "$job" "$((port + 3))" 30 || die "the node did not start"
node tests/conformance/rpc.mjs "http://127.0.0.1:$port" "$suite"
