# shellcheck shell=bash
# hosts.sh: several hosts on one machine, for tests of clusters. Sourced. A host is a set of namespaces (network, mount, UTS, PID, IPC) with a
# name, an address, /tmp, /dev/shm, /run and /mnt of its own, and sshd as its first process. Between the hosts lies a switch (switch.c), which
# delays, loses and cuts as it is told. Everything hangs on processes of the script that sources this, and is gone when that ends, however it does.
#
#   hosts_can                        true if this machine allows it; else says why on standard error
#   hosts_up DIR SWITCH CNT          hosts h1..hCNT at 10.99.0.1..CNT; DIR gets what they need, and DIR/hosts, a host file with one slot each.
#                                    /mnt of host h is DIR/h: it is there again after a crash
#   hosts_down
#   on HOST COMMAND...               runs a command in a host
#   crash HOST, boot HOST            every process of the host dies at once; starts it again
#   cut HOST, heal HOST              no frame passes to or from it; again
#   worsen HOST DELAY_US JITTER_US LOSS_PPM     of what it sends from now on
hosts_dir='' hosts_cnt=0 hosts_net=10.99.0 switch_pid=''
declare -A host_pid=() host_unshare=()

hosts_can() {
    local why=''
    if [ "$(id -u)" -ne 0 ]; then
        why='not root'
    elif [ ! -x /usr/sbin/sshd ]; then
        why='no sshd (deploy/setup.sh --hosts)'
    elif ! [ -w /dev/net/tun ]; then
        why='no /dev/net/tun'
    elif ! unshare --mount --uts --ipc --net --pid --fork --mount-proc mount -t tmpfs none /mnt 2>/dev/null; then
        why='namespaces are not allowed'
    fi
    [ -z "$why" ] || echo "$why" >&2
    [ -z "$why" ]
}

# Tells the switch, and waits for its word.
switch_do() {
    local answer
    echo "$*" >&"${hosts_switch[1]}"
    IFS= read -r -t 10 answer <&"${hosts_switch[0]}" || answer='no answer'
    [ "$answer" = ok ] || {
        echo "hosts: switch: $* -> $answer" >&2
        return 1
    }
}

host_number() { echo "${1#h}"; }

# The first process of a host; its first arguments are the host's name and the folder.
# shellcheck disable=SC2016 # expanded there
host_init='
    host=$1 dir=$2
    hostname "$host"
    mkdir -p "$dir/$host"
    mount --bind "$dir/$host" /mnt
    mount --bind "$dir/etc_hosts" /etc/hosts
    for folder in /tmp /dev/shm /run; do mount -t tmpfs -o mode=1777 none $folder; done
    mkdir -p /run/sshd
    ip link set lo up
    exec /usr/sbin/sshd -D -e -f "$dir/sshd_config"'

boot() {
    local host=$1 number try pid=''
    number=$(host_number "$host")
    setpriv --pdeathsig KILL unshare --mount --uts --ipc --net --pid --fork --mount-proc --kill-child --propagation private \
        bash -c "$host_init" init "$host" "$hosts_dir" </dev/null >>"$hosts_dir/$host.log" 2>&1 &
    host_unshare[$host]=$!
    for try in $(seq 200); do
        pid=$(cat "/proc/${host_unshare[$host]}/task/${host_unshare[$host]}/children" 2>/dev/null) || true
        pid=${pid% }
        if [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = sshd ]; then
            break
        fi
        [ "$try" -lt 200 ] || {
            echo "hosts: $host does not start: $(tail -n 3 "$hosts_dir/$host.log")" >&2
            return 1
        }
        sleep 0.05
    done
    host_pid[$host]=$pid
    switch_do attach "$number" "$pid"
    on "$host" ip address add "$hosts_net.$number/24" dev eth0
    on "$host" ip link set eth0 up
}

crash() {
    kill -KILL "${host_pid[$1]}"
    wait "${host_unshare[$1]}" 2>/dev/null || true
    switch_do detach "$(host_number "$1")"
}

on() {
    local host=$1
    shift
    nsenter -t "${host_pid[$host]}" --mount --uts --ipc --net --pid -- "$@"
}

cut() { switch_do cut "$(host_number "$1")"; }
heal() { switch_do heal "$(host_number "$1")"; }
worsen() { switch_do set "$(host_number "$1")" "$2" "$3" "$4"; }

hosts_up() {
    local host i try
    hosts_dir=$1 hosts_cnt=$3
    mkdir -p "$hosts_dir"
    chmod 700 "$hosts_dir"
    ssh-keygen -q -t ed25519 -N '' -f "$hosts_dir/key"
    ssh-keygen -q -t ed25519 -N '' -f "$hosts_dir/host_key"
    echo '127.0.0.1 localhost' >"$hosts_dir/etc_hosts"
    : >"$hosts_dir/hosts"
    for i in $(seq "$hosts_cnt"); do
        echo "$hosts_net.$i h$i" >>"$hosts_dir/etc_hosts"
        echo "h$i slots=1" >>"$hosts_dir/hosts"
        echo "h$i $(cat "$hosts_dir/host_key.pub")" >>"$hosts_dir/known_hosts"
    done
    cat >"$hosts_dir/sshd_config" <<END
HostKey $hosts_dir/host_key
AuthorizedKeysFile $hosts_dir/key.pub
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
PidFile none
END
    cat >"$hosts_dir/ssh_config" <<END
IdentityFile $hosts_dir/key
UserKnownHostsFile $hosts_dir/known_hosts
StrictHostKeyChecking yes
BatchMode yes
LogLevel ERROR
ServerAliveInterval 2
ServerAliveCountMax 3
END
    coproc hosts_switch { exec setpriv --pdeathsig KILL "$2"; }
    # shellcheck disable=SC2154 # set by coproc
    switch_pid=$hosts_switch_PID
    for i in $(seq "$hosts_cnt"); do
        boot "h$i"
    done
    for i in $(seq "$hosts_cnt"); do
        for try in $(seq 100); do
            if on h1 ssh -F "$hosts_dir/ssh_config" "h$i" true 2>/dev/null; then
                continue 2
            fi
            sleep 0.1
        done
        echo "hosts: h$i does not answer to ssh" >&2
        return 1
    done
}

hosts_down() {
    local host
    for host in "${!host_unshare[@]}"; do
        kill -KILL "${host_pid[$host]}" 2>/dev/null || true
        wait "${host_unshare[$host]}" 2>/dev/null || true
    done
    if [ -n "$switch_pid" ]; then
        kill -KILL "$switch_pid" 2>/dev/null || true
        wait "$switch_pid" 2>/dev/null || true
    fi
    host_pid=() host_unshare=() switch_pid=''
}
