#!/bin/busybox sh
# SPDX-License-Identifier: MIT
# shellcheck shell=dash
# The sandbox lets a program do what its policy says and nothing else. Runs in the lab.
policy=host-driver/examples/sandbox/busybox.policy
intruder=build/tests/libpavane/intruder

# check NAME COMMAND STATUS OUTPUT: what COMMAND prints, on either descriptor, and its exit status.
# OUTPUT is a pattern.
check() {
	out=$(eval "$2" 2>&1)
	status=$?
	# shellcheck disable=SC2254 # a pattern
	case $out in
	$4) [ $status = "$3" ] && echo "ok $1" && return ;;
	esac
	echo "not ok $1: status $status, output $out"
}

sandbox() { build/host-driver/examples/sandbox "$@"; }
try() { sandbox $policy -- $intruder "$@"; }
with() { # LINES PROGRAM...: under a policy of our own
	printf '%b' "$1" >/tmp/policy
	shift
	sandbox /tmp/policy -- "$@"
}

mkdir -p /tmp/box
echo secret >/secret
echo 12345678 >/etc/public
ln -s /secret /etc/link

# Where the sandbox's own program is, which is the same in every run.
echo 0 >/proc/sys/kernel/randomize_va_space
mkfifo /tmp/fifo
build/host-driver/examples/sandbox $policy -- busybox cat </tmp/fifo &
exec 3>/tmp/fifo
for _ in $(seq 60); do
	monitor=$(sed -n 's,^\([0-9a-f]*\)-.*/sandbox$,\1,p' /proc/$!/maps | head -n 1)
	[ -z "$monitor" ] || break
	sleep 1
done
exec 3>&-
[ -n "$monitor" ] && echo "ok where the sandbox itself is" || echo "not ok where the sandbox itself is: no such line in maps"

check "busybox's shell runs" "sandbox $policy -- busybox sh -c 'i=0; while [ \$i -lt 100 ]; do i=\$((i + 1)); done; echo \$i'" \
	0 100
check "a policy's folder is open" "sandbox $policy -- busybox cat /etc/public" 0 12345678
check "and can be listed" "sandbox $policy -- busybox ls /etc/" 0 '*public*'
check "a shell reads from it" "sandbox $policy -- busybox sh -c 'read x </etc/public; echo \$x'" 0 12345678
check "a folder to write" \
	"sandbox $policy -- busybox sh -c 'echo new >/tmp/box/file' && cat /tmp/box/file" 0 new
check "the program's exit status" "sandbox $policy -- busybox sh -c 'exit 7'" 7 ''

check "a folder to read is not to write" "sandbox $policy -- busybox sh -c 'echo new >/etc/public'" \
	1 '*ermission denied*'
check "another folder is refused" "sandbox $policy -- busybox cat /secret" 1 '*ermission denied*'
check "so is the way up" "sandbox $policy -- busybox cat /etc/../secret" 1 '*ermission denied*'
check "so is a link that leads out" "sandbox $policy -- busybox cat /etc/link" 1 '*ermission denied*'
check "a call that the policy does not name is refused" "sandbox $policy -- busybox hostname new" \
	1 '*not permitted*'
check "a call that the policy kills for ends the program" "sandbox $policy -- busybox sleep 1" \
	159 '*system call * is not for it'
check "so does any other under 'otherwise kill'" "with 'otherwise kill' busybox true" 159 \
	'*system call * is not for it'

check "a null pointer ends the program alone" "try load 8" 139 'sandbox: *exception 14*address 0x8'
check "so does reading ring 0's memory" "try load $monitor" 139 "sandbox: *exception 14*0x$monitor"
check "so does writing it" "try store $monitor" 139 "sandbox: *exception 14*0x$monitor"
check "so does calling it" "try jump $monitor" 139 "sandbox: *exception 14*0x$monitor"
check "so does an address of the kernel" "try load ffffffff81000000" 139 'sandbox: *exception 14*'
check "so does cli" "try cli" 139 'sandbox: *exception 13*'
check "so does vmcall" "try vmcall" 132 'sandbox: *exception 6*'
check "so does int 0x80" "try int80" 139 'sandbox: *exception 13*'
check "so does sysenter" "try sysenter" 139 'sandbox: *exception 13*'
check "a segment base from nowhere is refused" "try segment 8000000000000000" 0 '*not permitted'
check "its files do not get our messages" "try silence 8 2>/dev/null; cat /tmp/box/silence" 0 2
check "the host does not read ring 0's memory for it" "try write $monitor" 0 'Bad address'
check "nor writes the program's own text" "try text </etc/public" 0 'Bad address'
check "it has none of our descriptors" "try descriptors" 0 '0 of ours'

check "a static program for any address runs" "sandbox $policy -- build/tests/libpavane/intruder-pie" 0 \
	'nothing happened'

check "an error in a policy names its line" "with 'allow read\n\nallow opnat /etc/\n' busybox true" 125 \
	'sandbox: /tmp/policy:3: *opnat'
check "a file call without a folder is an error" "with 'allow openat read\n' busybox true" 125 \
	'sandbox: /tmp/policy:1: openat needs folders after it'
check "two verdicts on a call are an error" "with 'allow read\nkill read\n' busybox true" 125 \
	'sandbox: /tmp/policy:2: already decided otherwise: read'
check "words too many are an error" "with 'otherwise kill EPERM\n' busybox true" 125 \
	'sandbox: /tmp/policy:1: too much: EPERM'
check "a dynamic program is not started" "sandbox $policy -- build/host-driver/examples/sandbox" 125 \
	'*not a static program'
