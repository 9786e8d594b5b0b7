# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What the programs share that watch Debian's kernel as a guest. They give `label`, the name of the
# configuration; `out` is what its console says, and $PAVANE_RUNDIR/ended is there after its end.
# From the environment: PROVIDER (vtx) and LIMIT, the seconds it may take (900).
PROVIDER=${PROVIDER:-vtx} LIMIT=${LIMIT:-900}
PAVANE_RUNDIR=$(mktemp -d)
export PAVANE_RUNDIR
out=$PAVANE_RUNDIR/out
: >"$out"
trap 'build/bin/pvd --stop >/dev/null 2>&1; rm -rf "$PAVANE_RUNDIR"' EXIT

failed=0
# verdict NAME COMMAND...: ok if the command succeeds.
verdict() {
	local name="$label: $1"
	shift
	if "$@" >/dev/null; then
		echo "ok $name"
	else
		echo "not ok $name"
		failed=1
	fi
}
said() { grep -aqE -- "$1" "$out"; }
silent() { ! said "$1"; }
# await PATTERN: until the guest has said so, or pvctl has ended (and perhaps all been removed).
await() {
	until said "$1"; do
		[ ! -e "$out" ] || [ -e "$PAVANE_RUNDIR/ended" ] && return 1
		sleep 0.1
	done
}

# debian VCPUS WORD OPTION...: runs it, with one word for its init, until it ends.
# Bochs compacts XSAVE areas wrongly (321: XSAVEC, 323: XSAVES); the ciphers' tests take 6 s; what the
# machine's own kernel leaves out in the lab the guest leaves out there too.
debian() {
	local vcpus=$1 words="console=hvc0 earlyprintk=xen loglevel=4 cryptomgr.notests=1 $2"
	local filter=(tr -d '\r')
	shift 2
	[ "$PROVIDER" != vtx ] || words+=" clearcpuid=321,323 $(grep -o 'initcall_blacklist=[^ ]*' /proc/cmdline)"
	# The lab's tr is busybox's, which keeps nothing back.
	! command -v stdbuf >/dev/null || filter=(stdbuf -o0 "${filter[@]}")
	timeout "$LIMIT" build/bin/pvctl create --provider "$PROVIDER" --memory 192 --vcpus "$vcpus" \
		--name debian --cmdline "$words" "$@" -c | "${filter[@]}" >"$out"
	status=${PIPESTATUS[0]}
	[ "$status" != 124 ] || echo "# not done within $LIMIT s"
	touch "$PAVANE_RUNDIR/ended"
}

# explain: after a failure, what the guest and the broker said last.
explain() {
	[ $failed = 0 ] && return
	grep -a '^complaint: ' "$out"
	tail -n 20 "$out" | sed 's/^/# /'
	tail -n 20 "$PAVANE_RUNDIR/pvd.log" | sed 's/^/# /'
}
