#!/usr/bin/env bash
# keys.sh DIR: makes the keys of a cluster of containers in DIR, unless they are there: the coordinator's, by which it starts shards, the shards' own, and the job's. For
# user 10001 of the image to read them they belong to it, or, without root, are readable by all: then guard DIR.
set -euo pipefail
dir=${1:?a folder is needed}
mkdir -p "$dir"
chmod 700 "$dir"
for name in cohort_ssh_key cohort_host_key cohort_job_key; do
    if [ ! -e "$dir/$name" ] && [ $name = cohort_job_key ]; then
        (umask 077 && od -An -tx1 -v -N32 /dev/urandom | tr -d ' \n' >"$dir/$name")
    elif [ ! -e "$dir/$name" ]; then
        ssh-keygen -q -t ed25519 -N '' -C "$name" -f "$dir/$name"
    fi
    if [ "$(id -u)" -eq 0 ]; then chown 10001 "$dir/$name"; else chmod 444 "$dir/$name"; fi
done
