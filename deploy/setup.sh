#!/usr/bin/env bash
# setup.sh: installs the Debian packages that are missing, as root or through sudo, and fetches the one library that Debian
# does not have into build/deps. Says nothing when all is there.
#
#   deploy/setup.sh [--test] [--contracts] [--lint] [--peers] [--hosts] [--containers] [--monitoring] [--slurm] [--kubernetes] [--list]
#
# --test adds what the test suite needs, --contracts what compiles its contracts anew, --lint the formatter and linter, --peers, --hosts, --containers, --monitoring, --slurm and --kubernetes what
# deploy/test.sh --with-peers and its kind need (servers among it, which Debian starts where there is an init system); --list only prints what is missing.
# Packages and their reasons stand in deploy/packages.txt.
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/.."

groups=build
contracts=''
list_only=''
while [ $# -gt 0 ]; do
    case $1 in
    --test) groups+=" test" ;;
    --contracts) contracts=1 ;;
    --lint) groups+=" lint" ;;
    --slurm) groups+=" hosts slurm" ;;
    --peers | --hosts | --containers | --monitoring | --kubernetes) groups+=" ${1#--}" ;;
    --list) list_only=1 ;;
    -h | --help)
        sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$self"
        exit 0
        ;;
    *)
        echo "setup.sh: unknown option $1 (try --help)" >&2
        exit 2
        ;;
    esac
    shift
done

is_installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# c-kzg, the sources of c-kzg-4844 and blst, comes as an npm package: exactly this one, told by its digest, and remembered in the
# unpacked folder.
ckzg=c-kzg@4.1.0
ckzg_sha256=c56d9ed6aaa17bafa95c337c28837c68d2e54dabd76d91a185e2600a26480965
ckzg_dir=build/deps/c-kzg
ckzg_missing=''
if [ "$(cat "$ckzg_dir/.sha256" 2>/dev/null)" != "$ckzg_sha256" ] || [ ! -f "$ckzg_dir/deps/c-kzg/ckzg.c" ]; then
    ckzg_missing=1
fi

# Node.js and npm serve only to fetch it, and to compile contracts; any will do.
is_needed() {
    case $1 in
    nodejs) [ -n "$ckzg_missing$contracts" ] && ! command -v node >/dev/null ;;
    npm) [ -n "$ckzg_missing$contracts" ] && ! command -v npm >/dev/null ;;
    *) true ;;
    esac
}

missing=()
while read -r group package _; do
    case $group in '' | '#'*) continue ;; esac
    case " $groups " in *" $group "*) ! is_needed "$package" || is_installed "$package" || missing+=("$package") ;; esac
done <deploy/packages.txt

# promtool checks our metrics. Its package also starts a monitoring server, which nobody asked for: so only the
# tool is taken out of the package, into the build folder, and nothing is installed. So is, for --monitoring, the server.
promtool=''
needs_tool() { ! command -v "$1" >/dev/null && [ ! -x "build/tools/$1" ]; }
case " $groups " in *" test "*) ! needs_tool promtool || promtool=promtool ;; esac
case " $groups " in *" monitoring "*) ! needs_tool prometheus || promtool+=" prometheus" ;; esac

if [ -n "$list_only" ]; then
    [ ${#missing[@]} -eq 0 ] || printf '%s\n' "${missing[@]}"
    [ -z "$promtool" ] || echo "prometheus (only $promtool, unpacked into build/tools)"
    [ -z "$ckzg_missing" ] || echo "$ckzg (npm package, unpacked into build/deps)"
    exit 0
fi
[ ${#missing[@]} -gt 0 ] || [ -n "$promtool$ckzg_missing" ] || exit 0

log=$(mktemp)
work=$(mktemp -d)
trap 'rm -rf "$log" "$work"' EXIT

# Runs a step with its output kept aside; on failure shows the end of it and what to do.
step() {
    if ! "$@" >>"$log" 2>&1 </dev/null; then
        tail -n 25 "$log" >&2
        echo "setup.sh: failed: $*" >&2
        exit 1
    fi
}

if [ ${#missing[@]} -gt 0 ] || [ -n "$promtool" ]; then
    as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            echo "setup.sh: needs root or sudo to install: ${missing[*]}" >&2
            exit 1
        fi
        as_root=(sudo)
    fi
    echo "setup: installing ${missing[*]}${promtool:+ $promtool}" >&2
    apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
    step "${apt[@]}" update
    if [ ${#missing[@]} -gt 0 ]; then
        step "${apt[@]}" install --no-install-recommends "${missing[@]}"
    fi
fi
if [ -n "$promtool" ]; then
    chmod 755 "$work"
    (cd "$work" && step apt-get -q download prometheus)
    step dpkg-deb -x "$work"/prometheus_*.deb "$work/root"
    mkdir -p build/tools
    for tool in $promtool; do
        install -m 755 "$work/root/usr/bin/$tool" "build/tools/$tool"
    done
fi
if [ -n "$ckzg_missing" ]; then
    echo "setup: fetching $ckzg" >&2
    step npm pack --loglevel error --no-update-notifier --cache "$work/npm" --pack-destination "$work" "$ckzg"
    tarball=$(echo "$work"/c-kzg-*.tgz)
    if ! echo "$ckzg_sha256  $tarball" | sha256sum --check --status; then
        echo "setup.sh: $ckzg has sha256 $(sha256sum <"$tarball" | cut -d' ' -f1), expected $ckzg_sha256; not used" >&2
        exit 1
    fi
    mkdir -p build/deps
    unpacked=$(mktemp -d build/deps/unpack.XXXXXX)
    trap 'rm -rf "$log" "$work" "$unpacked"' EXIT
    step tar -xzf "$tarball" -C "$unpacked" --no-same-owner package/package.json package/deps
    echo "$ckzg_sha256" >"$unpacked/package/.sha256"
    rm -rf "$ckzg_dir"
    mv -T "$unpacked/package" "$ckzg_dir"
fi
