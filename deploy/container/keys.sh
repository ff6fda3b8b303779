#!/usr/bin/env bash
# keys.sh DIR: makes the keys of a cluster of containers in DIR, unless they are there: the coordinator's, by which it starts shards, and the shards' own. For
# user 10001 of the image to read them they belong to it, or, without root, are readable by all: then guard DIR.
set -euo pipefail
dir=${1:?a folder is needed}
mkdir -p "$dir"
chmod 700 "$dir"
for name in cohort_ssh_key cohort_host_key; do
    [ -e "$dir/$name" ] || ssh-keygen -q -t ed25519 -N '' -C "$name" -f "$dir/$name"
    if [ "$(id -u)" -eq 0 ]; then chown 10001 "$dir/$name"; else chmod 444 "$dir/$name"; fi
done
