/* SPDX-License-Identifier: MIT */
/* From the first instruction to guest_main(). */
#include <pv/arch.h>
#include <pv/event.h>
#include <pv/lib.h>
#include <pv/mm.h>
#include <pv/time.h>

struct start_info *start_info;
struct percpu percpu[MAX_VCPUS];

void shutdown(unsigned int reason)
{
	struct sched_shutdown arg = {.reason = reason};

	console_flush();
	for (;;)
		HYPERVISOR_sched_op(SCHEDOP_shutdown, &arg);
}

void panic(const char *fmt, ...)
{
	char line[256];
	va_list ap;

	upcalls_disable();
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	printf("panic: %s\n", line);
	shutdown(SHUTDOWN_crash);
}

void arch_main(struct start_info *si)
{
	start_info = si;
	/*
	 * Until shared_info is where we look for it, nothing may touch the upcall mask; and the
	 * console is not up yet, so a failure here has no better voice than a crash.
	 */
	if (HYPERVISOR_update_va_mapping((unsigned long)&pv_shared_info, si->shared_info | PTE_KERN,
					 UVMF_INVLPG))
		__builtin_trap();
	upcalls_disable();
	console_init();
	trap_init();
	event_init();
	time_init();
	shutdown(guest_main() ? SHUTDOWN_crash : SHUTDOWN_poweroff);
}
