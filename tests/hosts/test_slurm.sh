#!/usr/bin/env bash
# test_slurm.sh BUILD: deploy/hosts/cohort.sbatch under Slurm (slurmctld, slurmd and munge of Debian) on three hosts that are namespaces of this machine. A job makes
# the data, is loaded and drained; a second one on the same data has every acknowledged receipt, survives the death of a rank, and is
# drained too. BUILD is a build folder. Needs root; says so loudly, and leaves with code 77, where it cannot be run.
set -euo pipefail
build=$(realpath "$1")
cd "$(dirname "$(realpath "$0")")/../.."
. deploy/lib.sh
. tests/hosts/hosts.sh

why=$(hosts_can 2>&1) || skip "$why"
command -v slurmctld slurmd munged sbatch >/dev/null || skip "no Slurm (deploy/setup.sh --slurm)"
work=$(mktemp -d /var/tmp/cohort-slurm.XXXXXX)
finish() {
    local rc=$?
    trap - EXIT
    hosts_down # and with them every daemon
    [ $rc -eq 0 ] || tail -n 30 "$work"/*.log "$work"/slurm/*.log >&2 || true
    rm -rf "$work"
    exit $rc
}
at_end finish

hosts_up "$work/net" "$build/tests/hosts/host_switch" 3
mkdir -p "$work/slurm/state"
head -c 128 /dev/urandom >"$work/munge.key"
chmod 400 "$work/munge.key"
cat >"$work/slurm/slurm.conf" <<END
ClusterName=test
SlurmctldHost=h1(10.99.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation=$work/slurm/state
SlurmdSpoolDir=/mnt/spool
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmctldLogFile=$work/slurm/ctld.log
SlurmdLogFile=$work/slurm/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
SlurmdParameters=config_overrides
ReturnToService=2
NodeName=h1 NodeAddr=10.99.0.1 CPUs=2 State=UNKNOWN
NodeName=h2 NodeAddr=10.99.0.2 CPUs=2 State=UNKNOWN
NodeName=h3 NodeAddr=10.99.0.3 CPUs=2 State=UNKNOWN
PartitionName=main Nodes=h[1-3] Default=YES MaxTime=INFINITE State=UP
END
slurm() { on h1 env SLURM_CONF="$work/slurm/slurm.conf" "$@"; }
for host in h1 h2 h3; do
    on $host mkdir -p /run/munge /mnt/spool
    on $host munged --force --key-file "$work/munge.key" --socket /run/munge/munge.socket.2 --pid-file /run/munge/munged.pid \
        --log-file "/run/munge/munged.log" --seed-file "/run/munge/seed"
done
slurm slurmctld
for host in h1 h2 h3; do on $host env SLURM_CONF="$work/slurm/slurm.conf" slurmd -N $host; done
for _ in $(seq 200); do
    [ "$(slurm sinfo -h -t idle -o %D 2>/dev/null)" != 3 ] || break
    sleep 0.1
done
[ "$(slurm sinfo -h -t idle -o %D)" = 3 ] || die "the nodes do not come up: $(slurm sinfo -N)"

accounts=200
"$build/bin/cohort" bench transfers --accounts $accounts --write-genesis "$work/genesis.json"
requests=tcp://10.99.0.1:7545 publications=tcp://10.99.0.1:7546
# submit LOG: prints the job's number. Of the environment only what the script asks for goes along.
submit() {
    slurm sbatch --parsable --nodes=3 --time=10 --chdir "$PWD" --output "$1" \
        --export="PATH=$PATH,COHORT_DATA=/mnt/data,COHORT_GENESIS=$work/genesis.json,COHORT_NETWORK=10.99.0.0/24,COHORT_PROGRAM=$build/bin/cohort,COHORT_OPTIONS=--client-listen $requests --client-publish $publications --status-listen 0.0.0.0:7550,SLURM_CONF=$work/slurm/slurm.conf" \
        deploy/hosts/cohort.sbatch
}
ready() { # LOG TIMES
    touch "$1"
    for _ in $(seq 600); do
        [ "$(grep -c 'mod=launch msg="cluster ready"' "$1" || true)" -lt "$2" ] || return 0
        sleep 0.1
    done
    die "the job did not become ready"
}
drain() { # JOB
    local state=''
    slurm scancel --signal=TERM --batch "$1"
    for _ in $(seq 300); do
        state=$(slurm scontrol show job "$1" | sed -n 's/.*JobState=\([A-Z]*\).*/\1/p')
        case $state in RUNNING | COMPLETING) sleep 0.1 ;; *) break ;; esac
    done
    [ "$state" = COMPLETED ] || die "job $1 ended as $state" # with any other exit code it is FAILED
}
load() {
    on h1 "$build/tests/hosts/host_acks" load --requests "$requests" --publications "$publications" --accounts $accounts --count 10000 "$work/receipts"
}

job=$(submit "$work/job1.log")
ready "$work/job1.log" 1
load
drain "$job"
echo "job $job: made the data, loaded, drained"
job=$(submit "$work/job2.log")
ready "$work/job2.log" 1
on h1 "$build/tests/hosts/host_acks" check --requests "$requests" --accounts $accounts "$work/receipts" || die "in the second job"
on h3 pkill -KILL -x cohort
ready "$work/job2.log" 2
load
on h1 "$build/tests/hosts/host_acks" check --requests "$requests" --accounts $accounts "$work/receipts" || die "after the death of a rank"
drain "$job"
echo "job $job: resumed, survived the death of a rank, drained"
echo "test_slurm: passed"
