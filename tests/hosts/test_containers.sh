#!/usr/bin/env bash
# test_containers.sh BUILD: the image and a cluster of containers. Builds the image from deploy/Containerfile (on a base made by debootstrap if no debian:bookworm-slim
# is there), looks at what is in it, starts deploy/compose.yaml, loads it, kills a shard's container, and finds every acknowledged
# receipt after recovery. BUILD is a build folder, for the programs that load and check. Images stay in build/containers, beside its
# own storage: nothing of the user's podman is touched. Needs root; says so loudly, and leaves with code 77, where containers cannot be run.
set -euo pipefail
build=$(realpath "$1")
cd "$(dirname "$(realpath "$0")")/../.."
. deploy/lib.sh

store=$PWD/build/containers
work=$(mktemp -d /var/tmp/cohort-containers.XXXXXX)
mkdir -p "$store"
# Limits that containers ask for by default may be above what we may give.
cat >"$work/containers.conf" <<END
[containers]
default_ulimits = ["nofile=$(ulimit -Hn | sed 's/unlimited/1048576/'):$(ulimit -Hn | sed 's/unlimited/1048576/')", "nproc=32768:32768"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
END
export CONTAINERS_CONF=$work/containers.conf
# Without systemd podman runs no health checks by itself, and says so at every turn.
cat >"$work/podman" <<END
#!/bin/bash
podman --root '$store/storage' --runroot '$store/run' --network-config-dir '$store/networks' "\$@" 2> >(grep -v 'systemd connection' >&2)
END
chmod +x "$work/podman"
podman=$work/podman
project=cohort-test-$$
compose() { COMPOSE_PROJECT_NAME=$project podman-compose --podman-path "$podman" -f "$work/deploy/compose.yaml" -p "$project" "$@" >>"$work/compose.log" 2>&1; }
up=''
finish() {
    local rc=$?
    trap - EXIT
    if [ $rc -ne 0 ] && [ -n "$up" ]; then
        for name in coordinator shard1 shard2; do
            echo "--- $name" >&2
            "$podman" logs --tail 30 "${project}_${name}_1" >&2 || true
        done
        tail -n 20 "$work/compose.log" >&2 || true
    fi
    if [ -n "$up" ]; then
        compose down -v -t 5 || true
        "$podman" network rm -f "${project}_cohort" >/dev/null 2>&1 || true
    fi
    rm -rf "$work"
    exit $rc
}
at_end finish

[ "$(id -u)" -eq 0 ] || skip "not root"
command -v podman podman-compose buildah >/dev/null || skip "no podman, buildah or podman-compose (deploy/setup.sh --containers)"
unshare --mount --net --pid --fork --mount-proc true 2>/dev/null || skip "namespaces are not allowed"

# ---- The image, and what is in it: first, and outside of the namespace that the cluster gets ----

make_image() {
    local base found label mirror started
    base=docker.io/library/debian:bookworm-slim
    if ! "$podman" image exists $base; then
        echo "making a base with debootstrap"
        mirror=$({ sed -n 's/^URIs: *//p;s/^deb \(http[^ ]*\) .*/\1/p' /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null || true; } | head -n 1) # one of these may not be there
        nice debootstrap --variant=minbase bookworm "$work/base" "${mirror:-http://deb.debian.org/debian}" >"$work/debootstrap.log" 2>&1 ||
            die "debootstrap: $(tail -n 3 "$work/debootstrap.log")"
        tar -C "$work/base" -c . | "$podman" import - $base >/dev/null 2>&1
        rm -rf "$work/base"
    fi
    started=$SECONDS
    nice "$podman" build --format docker --network=host -f deploy/Containerfile -t localhost/cohort-test --build-arg VERSION=test \
        --build-arg "REVISION=$(git rev-parse HEAD)" . >"$work/build.log" 2>&1 || {
        tail -n 30 "$work/build.log" >&2
        die "the image cannot be built"
    }
    size() { "$podman" image inspect --format '{{.Size}}' "$1"; }
    echo "image built in $((SECONDS - started)) s: $(($(size localhost/cohort-test) / 1000000)) MB, of which its base is $(($(size $base) / 1000000)) MB"

    inside() { "$podman" run --rm --network=none --entrypoint /bin/bash localhost/cohort-test -c "$1"; }
    [ "$("$podman" image inspect --format '{{.Config.User}}' localhost/cohort-test)" = cohort ] || die "the image's user is not cohort"
    for label in title version revision base.name; do
        [ -n "$("$podman" image inspect --format "{{index .Config.Labels \"org.opencontainers.image.$label\"}}" localhost/cohort-test)" ] || die "no label $label"
    done
    found=$("$podman" run --rm --user 0 --network=none --entrypoint /usr/bin/find localhost/cohort-test / -xdev -type f \( -perm /6000 -o -perm -0002 \))
    [ -z "$found" ] || die "setuid, setgid or world-writable files: $found"
    found=$("$podman" run --rm --user 0 --network=none --entrypoint /usr/bin/find localhost/cohort-test / -xdev -type d -perm -0002 ! -perm -1000)
    [ -z "$found" ] || die "world-writable folders: $found"
    # Of what belongs to the image's user, or may be written by it, nothing is outside of its two folders; nothing belongs to nobody.
    found=$("$podman" run --rm --network=none --entrypoint /usr/bin/find localhost/cohort-test / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /var/tmp \
        -o -path /run/lock -o -path /var/lib/cohort -o -path /home/cohort \) -prune -o ! -type l -writable -print 2>/dev/null || true) # some folders are closed to it
    [ -z "$found" ] || die "the image's user may write to: $found"
    found=$("$podman" run --rm --user 0 --network=none --entrypoint /usr/bin/find localhost/cohort-test / -xdev \( -nouser -o -nogroup \))
    [ -z "$found" ] || die "files of unknown users: $found"
    # Nor are there capabilities on files, which do what setuid does.
    found=$("$podman" image mount localhost/cohort-test)
    found=$(python3 - "$found" <<'END'
import os, sys
for folder, _, names in os.walk(sys.argv[1]):
    for name in names:
        path = os.path.join(folder, name)
        if not os.path.islink(path) and "security.capability" in os.listxattr(path, follow_symlinks=False):
            print(path)
END
    )
    "$podman" image unmount localhost/cohort-test >/dev/null
    [ -z "$found" ] || die "files with capabilities: $found"
    found=$("$podman" run --rm --user 0 --network=none --entrypoint /bin/grep localhost/cohort-test -rlE -e 'BEGIN ([A-Z]+ )?PRIVATE KEY' /etc /home /root /opt /srv /usr/local /var || true)
    [ -z "$found" ] || die "private keys: $found"
    # shellcheck disable=SC2016
    found=$(inside 'command -v gcc cc make cmake ninja git npm node || true')
    [ -z "$found" ] || die "build tools: $found"
    inside 'ls /etc/ssh/ssh_host_* 2>/dev/null' && die "the image holds ssh host keys"
    inside 'cohort version' >/dev/null || die "the program does not run"
}

if [ "${2-}" != --cluster ]; then
    make_image
    # What podman does to network, firewall and mounts ends with this namespace.
    rc=0
    unshare --net --mount --propagation private "$0" "$build" --cluster || rc=$?
    exit $rc
fi

# ---- A cluster ----

ip link set lo up
mkdir -p "$work/deploy"
# No ports of the machine: the test talks to the coordinator's address.
sed -e '/^    ports:/d' -e '/^      - 127\.0\.0\.1:/d' deploy/compose.yaml >"$work/deploy/compose.yaml"
accounts=200
"$podman" run --rm --network=none localhost/cohort-test bench transfers --accounts $accounts --write-genesis - >"$work/genesis.json"
chmod 644 "$work/genesis.json"
chmod 755 "$work"
deploy/container/keys.sh "$work/secrets"
export COHORT_IMAGE=localhost/cohort-test COHORT_GENESIS=$work/genesis.json COHORT_SECRETS=$work/secrets

started_ms=$(date +%s%3N)
up=1
compose up -d || die "podman-compose up"
address() { "$podman" inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "${project}_$1_1"; }
coordinator=$(address coordinator)
wait_ready() {
    local end=$((SECONDS + 60))
    until curl -fs -o /dev/null --max-time 2 "http://$coordinator:7550/readyz"; do
        [ $SECONDS -lt $end ] || die "not ready within 60 s: $1"
        sleep 0.05
    done
}
wait_ready "at first"
echo "three containers: ready $(($(date +%s%3N) - started_ms)) ms after podman-compose up"
"$podman" logs "${project}_coordinator_1" 2>&1 | grep -q 'without a job key' && die "the ranks do not use the job key of keys.sh"
for name in coordinator shard1 shard2; do
    "$podman" healthcheck run "${project}_${name}_1" >/dev/null || die "$name is not healthy"
done
# By the names that they have in their network.
for where in coordinator:7550 shard1:7551 shard2:7552; do
    # shellcheck disable=SC2016 # expanded there
    "$podman" exec "${project}_shard1_1" bash -c 'exec 3<>"/dev/tcp/${0%:*}/${0#*:}" && printf "GET /metrics HTTP/1.0\r\nHost: %s\r\n\r\n" "$0" >&3 && cat <&3' $where |
        grep -c '^cohort_' >/dev/null || fail "no metrics at $where"
done
"$build/tests/hosts/host_acks" load --requests "tcp://$coordinator:7545" --publications "tcp://$coordinator:7546" --accounts $accounts --count 20000 \
    "$work/receipts" >"$work/load.log" 2>&1 &
loader=$!
for _ in $(seq 300); do
    [ "$(stat -c %s "$work/receipts" 2>/dev/null || echo 0)" -le 200000 ] || break
    sleep 0.1
done
killed_ms=$(date +%s%3N)
"$podman" kill "${project}_shard2_1" >/dev/null
until ! curl -fs -o /dev/null --max-time 2 "http://$coordinator:7550/readyz"; do
    [ $(($(date +%s%3N) - killed_ms)) -lt 20000 ] || die "the job did not end within 20 s of the death of a shard's container"
    sleep 0.05
done
echo "shard2 killed: the job ended after $(($(date +%s%3N) - killed_ms)) ms"
"$podman" healthcheck run "${project}_shard1_1" >/dev/null || die "shard1 is not healthy while it waits"
started_ms=$(date +%s%3N)
"$podman" start "${project}_shard2_1" >/dev/null
wait_ready "after shard2 came back"
echo "shard2 started again: ready after $(($(date +%s%3N) - started_ms)) ms"
wait $loader || true
"$build/tests/hosts/host_acks" check --requests "tcp://$coordinator:7545" --accounts $accounts "$work/receipts" || die "after the death of a container"

"$podman" stop -t 30 "${project}_coordinator_1" >/dev/null
code=$("$podman" inspect --format '{{.State.ExitCode}}' "${project}_coordinator_1")
[ "$code" -eq 0 ] || die "the coordinator's container ended with $code"
echo "test_containers: passed"
