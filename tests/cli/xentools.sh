#!/bin/bash
# SPDX-License-Identifier: MIT
# Debian's own Xen tools, unmodified, on our four libraries and pvd. Where a tool insists on fixed
# paths under /run, /var and /sys it gets a mount namespace (a user namespace too, when not root).
set -u
cd "$(dirname "$0")/../.."
. tests/lib.sh
LIB=$PWD/build/lib/pavane
XEN=$(ls -d /usr/lib/xen-[0-9]*/bin | tail -1)
NS=$PAVANE_RUNDIR/ns

tool() { # as it is, only told where the libraries and the store are
	LD_LIBRARY_PATH=$LIB XENSTORED_RUNDIR=$PAVANE_RUNDIR/xenstored timeout 300 "$@"
}
boxed() { # in a namespace with the fixed paths
	mkdir -p "$NS"/{run/xen,run/lock,lib,log/xen}
	# the libraries are named inside: unshare itself must not see them
	timeout 300 unshare -m $([ "$(id -u)" = 0 ] || echo -r) bash -c '
		for p in "log /var/log" "lib /var/lib/xen"; do
			set -- $p "$@"; [ -d "$2" ] && mount --bind "$NS/$1" "$2"; shift 2
		done
		mount -t tmpfs none /sys/bus && mkdir -p /sys/bus/xen-backend/devices
		mount --bind "$NS/run" /run
		export LD_LIBRARY_PATH=$LIB XENSTORED_RUNDIR=$PAVANE_RUNDIR/xenstored
		exec "$@"' boxed "$@"
}
export NS LIB
gone() { local l; l=$(tool "$XEN/xl" -f list) && ! grep -qw "$1" <<<"$l"; }
same_symbols() { # our library's versioned symbols are Debian's
	local a b
	a=$(readelf -W --dyn-syms "$LIB/$1" | grep -oE 'xen[A-Za-z0-9_]+@@VERS_[0-9.]+' | sort -u)
	b=$(readelf -W --dyn-syms "/usr/lib/x86_64-linux-gnu/$1" |
		grep -oE 'xen[A-Za-z0-9_]+@@VERS_[0-9.]+' | sort -u)
	[ -n "$a" ] && [ "$a" = "$b" ]
}
version_refused() { # a domctl of another interface version: EACCES (13)
	cat >"$PAVANE_RUNDIR/v.c" <<-'C'
	#define __XEN_TOOLS__ 1
	#include <stdint.h>
	#include <errno.h>
	#include <string.h>
	#include <xencall.h>
	#include <xen/domctl.h>
	int main(void) {
		xencall_handle *x = xencall_open(0, 0);
		struct xen_domctl *d = x ? xencall_alloc_buffer(x, sizeof(*d)) : 0;
		if (!d) return 2;
		d->cmd = XEN_DOMCTL_getdomaininfo;
		d->interface_version = XEN_DOMCTL_INTERFACE_VERSION + 1;
		if (xencall1(x, __HYPERVISOR_domctl, (uintptr_t)d) != -1 || errno != EACCES) return 3;
		if (xencall1(x, __HYPERVISOR_domctl, 0x1000) != -1 || errno != EFAULT) return 4;
		if (xencall1(x, __HYPERVISOR_xsm_op, 0) != -1 || errno != ENOSYS) return 5;
		return 0;
	}
	C
	gcc -o "$PAVANE_RUNDIR/v" "$PAVANE_RUNDIR/v.c" -L"$LIB" -lxencall && tool "$PAVANE_RUNDIR/v"
}
create_pair() {
	for n in one two; do
		printf 'name="%s"\ntype="pv"\nkernel="%s"\nmemory=16\nvcpus=1\n' $n "$GUEST" \
			>"$PAVANE_RUNDIR/$n.cfg"
		boxed "$XEN/xl" create -e "$PAVANE_RUNDIR/$n.cfg" || return 1
	done
}

for l in libxencall.so.1 libxenforeignmemory.so.1 libxenevtchn.so.1 libxengnttab.so.1; do
	check "$l has Debian's symbols and versions" same_symbols $l
done
check "pvd starts" "$BIN/pvd" --daemon
check "pvd starts twice" "$BIN/pvd" --daemon
check "xenstore-ls" says 'name = "Domain-0"' tool xenstore-ls
check "xenstore-write" tool xenstore-write /tool/test hello
check "xenstore-read" says hello tool xenstore-read /tool/test
check "xl info" says "xen_caps.*x86_64" tool "$XEN/xl" -f info
check "xl list shows domain 0" says "Domain-0  *0" tool "$XEN/xl" -f list
check "xl cpupool-list" says Pool-0 tool "$XEN/xl" -f cpupool-list
check "an unknown interface version is refused" version_refused
if boxed true 2>/dev/null; then
	check "xl create, twice" create_pair
	check "xl list shows both" says "two  *2" tool "$XEN/xl" -f list
	check "xl vcpu-list" says "one  *1  *0" tool "$XEN/xl" -f vcpu-list
	check "the guest wrote its console" soon grep -q 'pv>' "$PAVANE_RUNDIR/console/guest-one.log"
	check "xentop" says one boxed "$XEN/xentop" -b -i 1
	check "xenctx reads registers" says rip: tool "$XEN/xenctx" 1
	check "xl pause" tool "$XEN/xl" -f pause one
	check "xl list shows it paused" says "one .*p" tool "$XEN/xl" -f list
	check "xl unpause" tool "$XEN/xl" -f unpause one
	check "xl sched-credit2" says "one  *1  *256" tool "$XEN/xl" -f sched-credit2
	check "xl vcpu-pin" tool "$XEN/xl" -f vcpu-pin one 0 all
	check "xl dmesg" says "d1: created" tool "$XEN/xl" -f dmesg
	check "xl destroy" boxed "$XEN/xl" destroy one
	check "it is gone" soon gone one
	check "a killed guest is listed as crashed or gone" bash -c "
		kill -9 \$(grep -oP 'd2: created.*pid \K\d+' $PAVANE_RUNDIR/pvd.log); true"
	check "xl shows the crash" soon says "two .*c" tool "$XEN/xl" -f list
	check "xl destroys it" boxed "$XEN/xl" destroy two
	check "and it is gone" soon gone two
else
	echo "skip: no mount namespace here: xl create, xentop"
	skipped=1
fi
check "pvd stops" "$BIN/pvd" --stop
check "xl says so without it" bash -c "! LD_LIBRARY_PATH=$LIB timeout 300 $XEN/xl -f list"
sums
