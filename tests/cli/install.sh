#!/bin/bash
# SPDX-License-Identifier: MIT
# make install puts everything where it runs from, and what is installed runs a guest.
set -u
cd "$(dirname "$0")/../.."
. tests/lib.sh
D=$T/root
BIN=$D/opt/bin
check "make install" make --no-print-directory -s install DESTDIR="$D" PREFIX=/opt
for f in bin/pvctl bin/pvd bin/pvdom lib/pavane/libxencall.so.1 share/man/man1/pvctl.1 \
	share/bash-completion/completions/pvctl include/pavane/hypercall.h; do
	check "installs $f" test -s "$D/opt/$f"
done
check "the installed pvctl runs a guest" bash -c "printf 'halt\n' | timeout 300 $D/opt/bin/pvctl create --kernel $D/opt/lib/pavane/pv-guest --memory 16 --name i -c | grep -q 'pv>'"
check "the man page is well formed" bash -c "[ -z \"\$(man --warnings -E UTF-8 -l $D/opt/share/man/man1/pvctl.1 2>&1 >/dev/null)\" ]"
completes() { # what is offered for the last of the words, words...
	(
		. "$D/opt/share/bash-completion/completions/pvctl"
		COMP_WORDS=(pvctl "${@:2}") COMP_CWORD=$(($# - 1))
		_pvctl
		echo "${COMPREPLY[*]}"
		[ "${COMPREPLY[*]}" = "$1" ]
	)
}
check "the completion loads and completes" completes create cre
check "--version completes" completes --version --v
check "scan's options complete" completes --severity scan --sev
check "shutdown's options complete, and no other's" completes "--wait --help" shutdown --
version=$(scripts/version)
one_version() { # every installed program, and pvctl's page and completion know of it
	local p n=0
	for p in "$D"/opt/bin/*; do
		"$p" --version | tee /dev/stderr | grep -qxF "${p##*/} (Pavane) $version" || return
		n=$((n + 1))
	done
	[ $n -eq 6 ]
}
check "every program says the one version" one_version
check "the man page tells of --version" grep -q 'version$' "$D/opt/share/man/man1/pvctl.1"
tarball() { # no repository, or one that is around it: what VERSION says
	mkdir -p "$D/around/tree/scripts" && cp VERSION "$D/around/tree/" &&
		cp scripts/version "$D/around/tree/scripts/" && git -C "$D/around" init -q &&
		[ "$("$D/around/tree/scripts/version")" = "$(cat VERSION)" ]
}
check "a tarball's version is the release's" tarball
[ ! -e .git ] || check "a repository's names the commit" grep -qF "+$(git describe --always --tags)" <<<"$version"
check "the installed pvctl scans the installed guest" "$D/opt/bin/pvctl" scan -q "$D/opt/lib/pavane/pv-guest"
sums
