#!/usr/bin/env bash
# A real Slurm with one node on the loopback, for test_slurm.py; for Debian, as root, in a container
# or a virtual machine. It needs neither systemd nor cgroups, and it has no accounting, so sacct fails.
#
#   tests/slurm/setup.sh start     install what is missing, start all daemons; again without harm
#   tests/slurm/setup.sh stop      cancel all jobs, stop all daemons
#   export SLURM_CONF=/tmp/slurm-loopback/slurm.conf     for the tests and for squeue, scancel ...
set -euo pipefail

folder=/tmp/slurm-loopback
node=$(hostname -s)
export SLURM_CONF=$folder/slurm.conf

alive() {
    [ -f "$1" ] && kill -0 "$(cat "$1")" 2>/dev/null
}

end() {
    for pid_file in "$@"; do
        alive "$pid_file" || continue
        kill "$(cat "$pid_file")"
        while alive "$pid_file"; do sleep 0.1; done
    done
}

start() {
    if ! command -v slurmctld slurmd munged sbatch >/dev/null; then
        apt-get update --quiet
        apt-get install --yes --quiet --no-install-recommends slurmctld slurmd munge slurm-client
    fi
    mkdir -p $folder/state $folder/spool
    [ -s /etc/munge/munge.key ] || mungekey --create
    if ! munge --no-input 2>/dev/null | unmunge >/dev/null 2>&1; then
        install -d -o munge -g munge /run/munge /var/log/munge /var/lib/munge
        chown munge:munge /etc/munge /etc/munge/munge.key
        runuser -u munge -- munged --force
    fi
    cat >$SLURM_CONF <<END
ClusterName=loopback
SlurmctldHost=$node(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
SlurmdTimeout=20
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
JobRequeue=1
KillWait=15
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=2,bf_interval=2,defer
SlurmdParameters=config_overrides
NodeName=$node NodeAddr=127.0.0.1 CPUs=2 RealMemory=8000 State=UNKNOWN
PartitionName=loopback Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
    alive $folder/slurmctld.pid || slurmctld
    alive $folder/slurmd.pid || slurmd
    for _ in $(seq 100); do
        sinfo --noheader --format=%T 2>/dev/null | grep -qE "idle|mixed|allocated" && break
        scontrol update nodename="$node" state=resume 2>/dev/null || true
        sleep 0.3
    done
    sinfo
}

stop() {
    scancel --user="$(id -un)" 2>/dev/null && sleep 2 || true
    end $folder/slurmd.pid $folder/slurmctld.pid /run/munge/munged.pid
}

"${1:-start}"
