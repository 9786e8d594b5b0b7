#!/bin/bash
# SPDX-License-Identifier: MIT
# pvd under ASan and UBSan against clients that send nonsense and pvdoms that lie.
# tests/fuzz/pvd.sh [SECONDS]
set -u
cd "$(dirname "$0")/../.."
SECS=${1:-5}
T=$(mktemp -d)
export PAVANE_RUNDIR=$T/run
mkdir -p "$T/bin" "$PAVANE_RUNDIR"
trap '"$T/bin/pvd" --stop >/dev/null 2>&1; rm -rf "$T"' EXIT
ln -s "$PWD/build/lib" "$T/lib"
ln -s "$PWD/build/bin/pvdom" "$PWD/build/bin/pvctl" "$T/bin/"
gcc -O1 -g -std=gnu11 -D_GNU_SOURCE -I. -D__XEN_TOOLS__ -include stdint.h -fPIE -pie \
	-fsanitize=address,undefined -o "$T/bin/pvd" toolstack/pvd/*.c toolstack/xenlibs/conn.c \
	hypercalls/pvdom/namespaces.c hypercalls/pvdom/version.c \
	"-DPAVANE_VERSION=\"$(scripts/version)\"" -lpthread || exit 1
passed=0 failed=0
serve() {
	"$T/bin/pvd" --daemon
	pid=$(cat "$PAVANE_RUNDIR/pvd.pid")
}
verdict() { # description: this pvd still serves (pvctl would start another), and no sanitizer spoke
	if timeout 300 build/bin/pvctl list >/dev/null && [ "$(cat "$PAVANE_RUNDIR/pvd.pid")" = "$pid" ] &&
		! grep -qE 'Sanitizer|runtime error' "$PAVANE_RUNDIR/pvd.log"; then
		echo "ok $1"
		passed=$((passed + 1))
	else
		echo "not ok $1"
		grep -E -A15 'Sanitizer|runtime error' "$PAVANE_RUNDIR/pvd.log" | head -30
		failed=$((failed + 1))
	fi
	timeout 300 "$T/bin/pvd" --stop
}
serve
timeout 300 python3 tests/fuzz/pvd_domains.py 2 0
for seed in $RANDOM $RANDOM; do
	timeout $((SECS * 3 + 300)) python3 tests/fuzz/pvd_client.py $seed "$SECS" | sed "s/^/seed $seed: /" &
done
wait $(jobs -p)
verdict "clients that send nonsense"
"$T/bin/pvd" --daemon
if timeout 300 python3 tests/fuzz/pvd_fds.py; then
	passed=$((passed + 1))
else
	failed=$((failed + 1))
fi
"$T/bin/pvd" --stop
export PAVANE_PVDOM=$PWD/tests/fuzz/lying_pvdom.py
serve
timeout 300 python3 tests/fuzz/pvd_domains.py 4 5
verdict "pvdoms that lie"
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
