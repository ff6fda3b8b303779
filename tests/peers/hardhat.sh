#!/usr/bin/env bash
# hardhat.sh: real Hardhat (npm, exactly the versions of hardhat/package-lock.json) runs the tests of a small project of contracts against a dev chain: a coordinator and three shards under
# mpirun. Needs node and npm. deploy/test.sh --with-peers runs it.
#
#   tests/peers/hardhat.sh [PRESET]     of the build whose program is used; default: release
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/../.."
# shellcheck source=deploy/lib.sh
. deploy/lib.sh

preset=${1-release}
for tool in node npm mpirun; do
    command -v $tool >/dev/null || die "needs $tool"
done
here=tests/peers/hardhat deps=build/deps/hardhat
# Two of Hardhat's own packages name each other's earlier versions as peers.
npm_install $here $deps --legacy-peer-deps

work=$(mktemp -d)
job=''
finish() {
    local status=$?
    [ -z "$job" ] || { kill "$job" 2>/dev/null && wait "$job" 2>/dev/null; } || true
    [ $status -eq 0 ] || tail -n 20 "$work/node.log" >&2
    rm -rf "$work"
}
trap finish EXIT

# Hardhat takes the folder of its configuration for the project, and writes there.
mkdir "$work/project"
cp -r $here/hardhat.config.js $here/contracts $here/test $deps/package.json "$work/project/"
ln -s "$PWD/$deps/node_modules" "$work/project/node_modules"

port=$(free_port_range 8)
mpirun -n 4 "build/$preset/bin/cohort" node --dev --data "$work/data" --http "127.0.0.1:$port" \
    --client-listen "tcp://127.0.0.1:$((port + 1))" --client-publish "tcp://127.0.0.1:$((port + 2))" \
    --status-listen "127.0.0.1:$((port + 3))" >"$work/node.log" 2>&1 &
job=$!
wait_ready "$job" "$((port + 3))" 30 || die "the cluster did not start"

cd "$work/project"
HOME=$work XDG_CONFIG_HOME=$work XDG_CACHE_HOME=$work XDG_DATA_HOME=$work CI=1 HARDHAT_DISABLE_TELEMETRY_PROMPT=true \
    COHORT_RPC="127.0.0.1:$port" node_modules/.bin/hardhat test
