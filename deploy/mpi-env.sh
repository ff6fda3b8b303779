# shellcheck shell=sh
# mpi-env.sh: Open MPI settings for ranks on one machine, as environment; sourced by every script here.
# Each may be overridden by setting the variable before. For several hosts see deploy/README.md.

# A coordinator and its shards may be more than the cores.
export OMPI_MCA_rmaps_base_oversubscribe="${OMPI_MCA_rmaps_base_oversubscribe-1}"
export OMPI_MCA_hwloc_base_binding_policy="${OMPI_MCA_hwloc_base_binding_policy-none}"
# Shared memory between ranks, loopback for the rest: without a named interface any address of the machine is tried.
export OMPI_MCA_pml="${OMPI_MCA_pml-ob1}"
export OMPI_MCA_btl="${OMPI_MCA_btl-vader,tcp,self}"
export OMPI_MCA_btl_tcp_if_include="${OMPI_MCA_btl_tcp_if_include-lo}"
export OMPI_MCA_oob_tcp_if_include="${OMPI_MCA_oob_tcp_if_include-lo}"
# When mpirun is told to end, or a rank has died, the others get SIGTERM and this many seconds to finish the block in hand
# before SIGKILL (default: 1). Where a rank has died they cannot finish, so this is also how long the job outlives it.
export OMPI_MCA_odls_base_sigkill_timeout="${OMPI_MCA_odls_base_sigkill_timeout-5}"
# In containers one is root, which mpirun refuses without these two.
if [ "$(id -u)" -eq 0 ]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
