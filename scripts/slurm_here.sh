#!/bin/sh
# Runs a command beside a Slurm of its own, with one node (this machine) and all its files in a temporary folder that is
# removed at the end:
#
#     scripts/slurm_here.sh actbench -m activation=relu,gelu hydra/launcher=slurm hydra.launcher.partition=low
#
# Partitions: `low` (the default; its jobs are preempted after GRACE seconds, by default 6, and requeued) and `high`.
# CPUS (4) is how many the node claims to have. $SLURM_CONF is what Slurm's own commands find it by, $SLURM_HERE the
# folder with the logs. There is no accounting. Exit code 77: Slurm cannot be started here, for a reason that is said
# (Debian: apt-get install slurm-wlm munge), and the command was not run.
set -eu
export LC_ALL=C

skip() {
    echo "skipped: $1" >&2
    exit 77
}
PATH=$PATH:/usr/sbin:/sbin
missing=
for tool in munged slurmctld slurmd sbatch srun squeue scontrol sinfo; do
    command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
done
[ -z "$missing" ] || skip "there is no Slurm here: no$missing (Debian: apt-get install slurm-wlm munge)"
[ "$(id -u)" = 0 ] || skip "Slurm's daemons are started as root here, and this is $(id -un)"

folder=$(mktemp -d /tmp/slurm_here.XXXXXX)
chmod 755 "$folder"
stop() {
    scancel --state=RUNNING --quiet >/dev/null 2>&1 || true
    scancel --state=PENDING --quiet >/dev/null 2>&1 || true
    tries=0 # until no job's processes are left
    while [ -n "$(squeue --noheader 2>/dev/null)" ] && [ "$tries" -lt 60 ]; do
        tries=$((tries + 1))
        sleep 0.5
    done
    for name in slurmd slurmctld munged; do
        [ ! -s "$folder/$name.pid" ] || kill "$(cat "$folder/$name.pid")" 2>/dev/null || true
    done
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        alive=
        for name in slurmd slurmctld munged; do
            [ ! -s "$folder/$name.pid" ] || ! kill -0 "$(cat "$folder/$name.pid")" 2>/dev/null || alive=yes
        done
        [ -n "$alive" ] || break
        sleep 0.3
    done
    for step in $(pgrep -x slurmstepd); do # that waits for a slurmctld which is gone
        ! tr '\0' '\n' <"/proc/$step/environ" 2>/dev/null | grep -qx "SLURM_CONF=$folder/slurm.conf" ||
            kill -9 "$step" 2>/dev/null || true
    done
    rm -rf "$folder"
}
trap stop EXIT
trap 'exit 130' INT TERM HUP

host=$(hostname -s)
ports=$(python3 -c '
import socket
free = [socket.socket() for _ in range(2)]
for one in free:
    one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in free))')
mkdir "$folder/state" "$folder/spool" "$folder/munge"
dd if=/dev/urandom of="$folder/munge/key" bs=128 count=1 2>/dev/null
chmod 700 "$folder/munge"
chmod 600 "$folder/munge/key"
cat >"$folder/slurm.conf" <<CONF
ClusterName=here
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${ports% *}
SlurmdPort=${ports#* }
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_min_interval=100000,batch_sched_delay=0
ReturnToService=2
KillWait=3
MinJobAge=30
SlurmdParameters=config_overrides
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
${SLURM_MORE:-}
NodeName=$host NodeAddr=127.0.0.1 CPUs=${CPUS:-4} RealMemory=${MEMORY_MB:-16000} State=UNKNOWN
PartitionName=low Nodes=$host Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=${GRACE:-6}
PartitionName=high Nodes=$host MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
CONF
export SLURM_CONF="$folder/slurm.conf" SLURM_HERE="$folder"

fail() {
    cat "$folder"/*.log >&2 2>/dev/null || true
    echo "error: Slurm could not be started: $1" >&2
    exit 1
}
munged --force --socket="$folder/munge.socket" --key-file="$folder/munge/key" --pid-file="$folder/munged.pid" \
    --seed-file="$folder/munge/seed" --log-file="$folder/munged.log" 2>"$folder/munged.err" ||
    fail "munged: $(cat "$folder/munged.err")"
(cd "$folder" && slurmctld 2>>"$folder/slurmctld.log") || fail slurmctld
(cd "$folder" && slurmd -N "$host" 2>>"$folder/slurmd.log") || fail slurmd
tries=0
until sinfo --noheader --format=%T 2>/dev/null | grep -q idle; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || fail "its node does not come up: $(sinfo 2>&1)"
    sleep 0.2
done
"$@"
