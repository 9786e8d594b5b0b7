/* SPDX-License-Identifier: MIT */
#include <pv/arch.h>
#include <pv/lib.h>

int guest_main(void)
{
	long v = HYPERVISOR_xen_version(XENVER_version, NULL);

	printf("pv-guest: %s on Xen %ld.%ld\n", PV_GUEST_VERSION, v >> 16, v & 0xffff);
	upcalls_enable();
	return 0;
}
