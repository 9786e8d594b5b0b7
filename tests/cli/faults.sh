#!/bin/bash
# SPDX-License-Identifier: MIT
# kill -9 of every process there is: the others answer with an error or go on, nothing is left.
#   faults.sh [--provider process|translate|vtx]   of the guests; auto
set -u
cd "$(dirname "$0")/../.."
. tests/lib.sh
command -v pgrep >/dev/null || { echo "not ok faults: pgrep is missing (procps)"; exit 1; }
provider=auto
[ "${1:-}" != --provider ] || provider=$2

ours() { # processes of this test's run directory, by name
	local p
	for p in $(pgrep -x "$1"); do
		tr '\0' '\n' <"/proc/$p/environ" 2>/dev/null | grep -qx "PAVANE_RUNDIR=$PAVANE_RUNDIR" && echo "$p"
	done
}
ended() {
	local p
	for p; do [ -z "$(ours "$p")" ] || return; done
}
none() { soon ended "$@"; } # no process by these names
create() { pvctl create --kernel "$GUEST" --provider "$provider" --memory 16 --name "$@"; }
fails_soon() { # an error, not a hang (124) and not a signal
	"$@"
	local rc=$?
	[ $rc -ne 0 ] && [ $rc -lt 124 ]
}
listed() { pvctl list | grep -qw "$1"; }
gone() { soon eval "! listed $1"; }
cpu_ms() { pvctl list --json "$1" | sed -nE 's/.*"cpu_seconds": ([0-9]*)\.([0-9]*).*/\1\2/p'; }
uses_cpu() {
	local from
	from=$(cpu_ms "$1")
	soon eval "[ \"\$(cpu_ms $1)\" -gt '$from' ]"
}
stands_still() {
	local from
	for _ in $(seq 20); do # a broker that is kept waiting tells last time's
		from=$(cpu_ms "$1")
		sleep 0.3
		[ "$(cpu_ms "$1")" -eq "$from" ] && return 0
	done
	return 1
}
pid_of() { pvctl info "$1" --json | sed -n 's/.*"pid": *\([0-9]*\).*/\1/p'; } # a domain's process
kill_ours() { kill -9 $(ours "$1"); }
cleanup() {
	"$BIN/pvd" --stop >/dev/null 2>&1
	for p in pvdom xenstored xenconsoled pvd; do kill -9 $(ours $p) 2>/dev/null; done
}

fd_of_ours() { ls -l /proc/$(ours pvd)/fd /proc/$(ours pvdom)/fd /proc/$(ours xenstored)/fd | grep "$1"; }

exec 9>"$T/held"
check "a guest is created" create one
exec 9>&-
check "what was open in whoever started pvd is not open in its processes" \
	bash -c "! grep -q held <<<'$(fd_of_ours "$T")'"
check "a guest that owns its process cannot fill the disk" \
	grep -qE '^Max file size +[0-9]+ ' "/proc/$(ours pvdom)/limits"
truncate -s 20M "$PAVANE_RUNDIR/console/guest-one.log" # as if it had printed that much
check "the same name is refused" fails_soon create one
check "a second guest is created" create two
stopped=$(pid_of one)
kill -STOP "$stopped"
check "a process that does not answer is told as such" \
	bash -c "timeout 300 $BIN/pvctl pause one 2>&1 | grep 'does not answer'"
check "and makes an error of its virtual CPUs" fails_soon pvctl vcpu-list one
check "but the list is there" listed two
kill -CONT "$stopped"
check "kill -9 of one guest's pvdom" kill -9 "$stopped"
check "its domain goes away" gone one
check "the other is still there" listed two
console=$(ours xenconsoled)
check "kill -9 of xenconsoled" kill_ours xenconsoled
another() {
	local p
	p=$(ours xenconsoled)
	[ -n "$p" ] && [ "$p" != "$console" ]
}
check "there is another" soon another
check "the console answers again" bash -c "printf 'help\nhalt\n' | timeout 300 $BIN/pvctl create --kernel $GUEST --provider $provider --memory 16 --name three -c"
printf '%s\n' "name = 'again'" "kernel = '$GUEST'" memory=16 'on_crash = "restart"' >"$PAVANE_RUNDIR/again.cfg"
check "a guest that is started again when it crashes" pvctl create --provider "$provider" "$PAVANE_RUNDIR/again.cfg"
again=$(pid_of again)
check "kill -9 of xenstored" kill_ours xenstored
check "list still answers, with or without the store" bash -c "timeout 300 $BIN/pvctl list; [ \$? -lt 124 ]"
check "destroy by number works without the store" bash -c "timeout 300 $BIN/pvctl destroy two || timeout 300 $BIN/pvctl destroy 2"
check "kill -9 of the last one's pvdom" kill -9 "$again"
back() { # by its name, which the store has; within a minute
	for _ in $(seq 1200); do
		listed again && return
		sleep 0.05
	done
	return 1
}
check "it is started again, and so is the store" back
check "another process" test "$(pid_of again)" != "$again"
check "destroy" pvctl destroy again
check "guests can be created again" create four
check "what a guest prints does not fill the disk either" \
	soon eval '[ "$(stat -c %s "$PAVANE_RUNDIR/console/guest-one.log")" -lt 20000000 ]'
check "a guest that spins on three vCPUs is created" pvctl create \
	--kernel build/guests/spin --provider "$provider" --memory 16 --vcpus 3 --cmdline spin --name spin
check "it spins" uses_cpu spin
check "it is paused" pvctl pause spin
check "and stands still" stands_still spin
check "it goes on" pvctl unpause spin
check "and spins again" uses_cpu spin
check "it is destroyed" pvctl destroy spin
check "at once" gone spin
# A config that starts it again, whatever ends it; two vCPUs that are never out of guest code.
printf '%s\n' "name = 'told'" "kernel = '$PWD/build/guests/spin'" 'extra = "spin"' memory=16 vcpus=2 \
	'on_poweroff = "restart"' 'on_crash = "restart"' 'on_reboot = "restart"' >"$PAVANE_RUNDIR/told.cfg"
check "a guest that is to be started again" pvctl create --provider "$provider" "$PAVANE_RUNDIR/told.cfg"
told=$(pvctl domid told)
check "spins" uses_cpu told
check "kill -TERM of its pvdom" kill -TERM "$(pid_of told)"
check "is pvctl destroy" gone told
no_traces() { # beside so many other domains; of the store, where there is a program that shows it
	! ls "$PAVANE_RUNDIR/domains/$told".* && [ "$(ours pvdom | wc -l)" -eq "$1" ] || return
	! command -v xenstore-ls >/dev/null || pvctl exec -- xenstore-ls -f | tee /dev/stderr | grep -q '^/local/domain' &&
		! pvctl exec -- xenstore-ls -f | grep -E "^/local/domain/(0/backend/[a-z]*/)?$told/|^/vm/.*told"
}
others=$(pvctl list | tail -n +3 | wc -l)
check "and nothing is left of it" no_traces "$others"
check "the broker says why" grep -q "^.*d$told: its process was told to end" "$PAVANE_RUNDIR/pvd.log"
waits() { # the broker's reaper of this domain is there
	local p
	for p in $(ours pvctl); do
		[ "$(tr '\0' ' ' <"/proc/$p/cmdline" | cut -d ' ' -f 2-)" != "reap $1 " ] || return 0
	done
	return 1
}
create watched -w 2>"$T/creator" &
creator=$!
check "a pvctl waits for its domain's end" soon listed watched
mkfifo "$T/typed"
"$BIN/pvctl" console watched <"$T/typed" >"$T/reader" 2>&1 &
reader=$!
exec 8>"$T/typed"
check "another reads its console" soon grep -q 'pv>' "$T/reader"
watched=$(pvctl domid watched)
kill -STOP $reader
kill -9 "$(pid_of watched)"
check "and is waited for when it ends" soon waits "$watched"
kill -CONT $reader
wait $reader
check "hence knows how" [ $? -eq 1 ]
wait $creator
check "as the first does" [ $? -eq 1 ]
exec 8>&-
powered_off() { grep -c "shutdown, reason 0" "$PAVANE_RUNDIR/pvd.log"; }
before=$(powered_off)
kill -STOP "$(ours xenconsoled)"
pvctl create --kernel build/guests/abrupt --provider "$provider" --memory 16 --name abrupt --cmdline a -w &
creator=$!
check "a guest that ends at once" soon eval '[ "$(powered_off)" -gt $before ]'
kill -CONT "$(ours xenconsoled)"
wait $creator
check "is not removed before the log has its last line" soon grep "the last line" "$PAVANE_RUNDIR/console/guest-abrupt.log"
abandon() {
	(export LD_PRELOAD=$BIN/test-abandon.so && create told -p)
	[ $? -eq 137 ] && soon grep "who was making it has gone" "$PAVANE_RUNDIR/pvd.log"
}
check "kill -9 of a pvctl that makes a domain" abandon
told=$(sed -n 's/.* d\([0-9]*\): who was making it has gone$/\1/p' "$PAVANE_RUNDIR/pvd.log")
check "leaves nothing of it" soon no_traces "$others"
removing() { # status, variables of the pvctl
	local status=$1
	shift
	env "$@" LD_PRELOAD="$BIN/test-remove.so" "$BIN/pvctl" create --kernel "$GUEST" \
		--provider "$provider" --memory 16 --name told --cmdline cmd=halt -w
	[ $? -eq "$status" ] || return
	told=$(sed -n 's/.* d\([0-9]*\): created, .*/\1/p' "$PAVANE_RUNDIR/pvd.log" | tail -n 1)
	soon no_traces "$others"
}
check "a pvctl that is to end as its domain does removes all of it" removing 143 A=
check "of one that is killed then the broker does" removing 137 REMOVE_KILLED=1
check "kill -9 of pvd" kill_ours pvd
check "no process outlives pvd" none pvdom xenstored xenconsoled pvd
check "the next command starts over" create five
check "stop ends everything" "$BIN/pvd" --stop
check "no process is left" none pvdom xenstored xenconsoled pvd
check "what a broker ran before its end fails" fails_soon env PAVANE_BY_BROKER=1 "$BIN/pvctl" reap 1
check "and starts no other" none pvd
check "a process with the number of one that died ends its own domain" tests/cli/pid-reuse
check "no mount is left" bash -c "! grep -q $PAVANE_RUNDIR /proc/mounts"
check "no socket is left" bash -c "! find $PAVANE_RUNDIR -type s | grep -q ."
sums
