# shellcheck shell=bash
# node.sh: what the scripts that measure a cluster share, to be sourced behind deploy/lib.sh. It makes a folder, $work, that goes at the end, and finds $port: HTTP's, of eight free ones.
# shellcheck disable=SC2034

work=$(mktemp -d)
job=''
end_job() {
    [ -z "$job" ] || { kill "$job" 2>/dev/null && wait "$job" 2>/dev/null; } || true
    job=''
}
trap 'end_job; rm -rf "$work"' EXIT
# Blocks that are full would raise the base fee above what the transfers pay.
gas_limit=1000000000000
node tests/peers/genesis.mjs $gas_limit >"$work/genesis.json"
port=$(free_port_range 8)

# Starts a coordinator and two shards of the build PRESET, on a fresh disk, as $job.
start_cohort() { # PRESET
    rm -rf "$work/data"
    mpirun -n 3 "build/$1/bin/cohort" node --data "$work/data" --genesis "$work/genesis.json" --http "127.0.0.1:$port" \
        --client-listen "tcp://127.0.0.1:$((port + 1))" --client-publish "tcp://127.0.0.1:$((port + 2))" \
        --status-listen "127.0.0.1:$((port + 3))" >"$work/node.log" 2>&1 &
    job=$!
    wait_ready "$job" "$((port + 3))" 30 || die "the cluster did not start"
}
