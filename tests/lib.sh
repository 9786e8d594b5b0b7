# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What the host's suites share. Each sources it from the root of the tree, and has then a runtime
# directory and a folder $T of its own, both gone at its end. A suite may define `cleanup` anew, and
# LABEL for its lines. The last it calls is `sums`. KEEP=1 leaves $T where it is.
BIN=$PWD/build/bin
GUEST=$PWD/build/guest/pv-guest
T=$(mktemp -d)
PAVANE_RUNDIR=$T/run
mkdir "$PAVANE_RUNDIR"
export PAVANE_RUNDIR
LABEL=
passed=0 failed=0 skipped=0
cleanup() { "$BIN/pvd" --stop >/dev/null 2>&1; }
trap 'cleanup; [ -n "${KEEP:-}" ] || rm -rf "$T"' EXIT

check() { # description, command...
	local what=$LABEL$1
	shift
	if "$@" >"$T/check" 2>&1; then
		echo "ok $what"
		passed=$((passed + 1))
	else
		echo "not ok $what: $(tail -c 600 "$T/check" | tr '\n' '|')"
		failed=$((failed + 1))
	fi
}
sums() {
	echo "$passed passed, $failed failed, $skipped skipped"
	[ $failed -eq 0 ]
}
# For a suite without arguments: with each provider as its argument, one after the other. A suite
# that breaks off without its sums is a failure.
by_provider() {
	local provider line p f
	for provider in process translate; do
		while read -r line; do
			case $line in
			[0-9]*" passed, "[0-9]*" failed"*) IFS=', ' read -r p _ f _ <<<"$line" && ((passed += p, failed += f)) ;;
			*) echo "${line/ok /ok $provider: }" ;;
			esac
		done < <("$0" $provider || [ $? -eq 1 ] || echo "0 passed, 1 failed")
	done
	sums
	exit
}
pvctl() { timeout 600 "$BIN/pvctl" "$@"; }
soon() { # command...: until it succeeds, for a minute at most; then what it said last
	for _ in {1..1200}; do
		"$@" >"$T/soon" 2>&1 && return
		sleep 0.05
	done
	cat "$T/soon" >&2
	return 1
}
refuses() { # word, arguments of pvctl: one line that has the word, and a status of failure
	local word=$1
	shift
	! pvctl "$@" >"$T/o" 2>&1 </dev/null && cat "$T/o" && [ "$(wc -l <"$T/o")" -eq 1 ] &&
		grep -q -- "$word" "$T/o"
}
says() { # word, command...: its output, on either descriptor, has the word
	local word=$1
	shift
	"$@" >"$T/said" 2>&1
	cat "$T/said"
	grep -q -- "$word" "$T/said"
}
