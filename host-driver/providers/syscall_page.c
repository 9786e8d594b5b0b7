/* SPDX-License-Identifier: MIT */
/* Hypercalls by `syscall`: the page of the providers whose guests run below a monitor. */
#include "host-driver/providers/syscall_page.h"
#include "hypercalls/monitor/monitor.h"

void syscall_page(struct domain *d, uint8_t *page)
{
	memset(page, 0xcc, PAGE_SIZE);
	for (uint32_t nr = 0; nr < PAGE_SIZE / 32; nr++) {
		static const uint8_t call[] = {0x51, 0x41, 0x53, 0xb8, 0,    0,	   0,
					       0,    0x0f, 0x05, 0x41, 0x5b, 0x59, 0xc3};
		static const uint8_t iret[] = {0x51, 0x41, 0x53, 0x50, 0xb8, 0,
					       0,    0,	   0,	 0x0f, 0x05};
		uint8_t *p = page + nr * 32;

		if (nr == __HYPERVISOR_iret)
			memcpy(p, iret, sizeof(iret));
		else
			memcpy(p, call, sizeof(call));
		memcpy(p + (nr == __HYPERVISOR_iret ? 5 : 4), &nr, sizeof(nr));
	}
}
