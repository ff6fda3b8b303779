# shellcheck shell=sh
# cluster-env.sh: Open MPI settings for ranks on several hosts, as environment; sourced by cohort-launch, or by hand before mpirun.
# mpirun hands them on to the other hosts. Each may be overridden by setting the variable before.
#
#   COHORT_NETWORK   interface (eth0) or network (10.1.2.0/24) on which ranks talk; the same spelling must fit on all hosts, so
#                    better the network. Without it Open MPI tries every address that a host has.
#   COHORT_PORTS     first of 510 TCP ports for ranks and daemons, where a firewall stands between hosts: 20000 means
#                    20000-20499 for ranks and 20500-20509 for mpirun's daemon on each host (it listens on all of these that are free: two
#                    clusters on one host need ports of their own). Without it the kernel chooses.

: "${COHORT_NETWORK:?set it to the network between the hosts, such as 10.1.2.0/24}"
export OMPI_MCA_btl_tcp_if_include="${OMPI_MCA_btl_tcp_if_include-$COHORT_NETWORK}"
export OMPI_MCA_oob_tcp_if_include="${OMPI_MCA_oob_tcp_if_include-$COHORT_NETWORK}"

# Shared memory between ranks of one host, TCP between hosts. With InfiniBand and the like: OMPI_MCA_pml=ucx, and no btl.
export OMPI_MCA_pml="${OMPI_MCA_pml-ob1}"
if [ "$OMPI_MCA_pml" = ob1 ]; then
    export OMPI_MCA_btl="${OMPI_MCA_btl-vader,tcp,self}"
fi

# A rank has threads of its own: no binding to one core. It may be one of more ranks than cores.
export OMPI_MCA_hwloc_base_binding_policy="${OMPI_MCA_hwloc_base_binding_policy-none}"
export OMPI_MCA_rmaps_base_oversubscribe="${OMPI_MCA_rmaps_base_oversubscribe-1}"

# The first host starts all others itself: only it needs a key for them.
export OMPI_MCA_plm_rsh_no_tree_spawn="${OMPI_MCA_plm_rsh_no_tree_spawn-1}"

# A daemon that cannot be reached is given up after 3 + 3 * 1 s, not after minutes, and the job ends.
export OMPI_MCA_oob_tcp_keepalive_time="${OMPI_MCA_oob_tcp_keepalive_time-3}"
export OMPI_MCA_oob_tcp_keepalive_intvl="${OMPI_MCA_oob_tcp_keepalive_intvl-1}"
export OMPI_MCA_oob_tcp_keepalive_probes="${OMPI_MCA_oob_tcp_keepalive_probes-3}"
# When a rank has died the others cannot go on: from then to the end of the job mpirun takes twice these seconds, between SIGTERM and
# SIGKILL. (A clean end goes by SIGUSR1 to mpirun, and takes the time it needs.)
export OMPI_MCA_odls_base_sigkill_timeout="${OMPI_MCA_odls_base_sigkill_timeout-1}"

# Ten for the daemon, since it does not take a port again on which a connection of the last job still waits for its end (a minute, after a link was cut).
if [ -n "${COHORT_PORTS-}" ]; then
    # It listens for both families of addresses.
    export OMPI_MCA_btl_tcp_port_min_v4="${OMPI_MCA_btl_tcp_port_min_v4-$COHORT_PORTS}"
    export OMPI_MCA_btl_tcp_port_range_v4="${OMPI_MCA_btl_tcp_port_range_v4-500}"
    export OMPI_MCA_btl_tcp_port_min_v6="${OMPI_MCA_btl_tcp_port_min_v6-$COHORT_PORTS}"
    export OMPI_MCA_btl_tcp_port_range_v6="${OMPI_MCA_btl_tcp_port_range_v6-500}"
    export OMPI_MCA_oob_tcp_dynamic_ipv4_ports="${OMPI_MCA_oob_tcp_dynamic_ipv4_ports-$((COHORT_PORTS + 500))-$((COHORT_PORTS + 509))}"
    export OMPI_MCA_oob_tcp_dynamic_ipv6_ports="${OMPI_MCA_oob_tcp_dynamic_ipv6_ports-$((COHORT_PORTS + 500))-$((COHORT_PORTS + 509))}"
fi

# mpirun refuses root without these two; in containers one is root.
if [ "$(id -u)" -eq 0 ]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
