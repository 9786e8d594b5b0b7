/* SPDX-License-Identifier: MIT */
/*
 * The other vCPUs. A PV guest needs no trampoline: it says what the registers of a vCPU are to be,
 * and that vCPU then runs, in the same address space.
 */
#include <pv/lib.h>
#include <pv/mm.h>
#include <pv/process.h>
#include <pv/time.h>
#include "kernel.h"

#define PATIENCE (60 * SEC)

static unsigned int started; /* vCPUs that answered; written by the newest */

/* What a vCPU does first, in its idle thread, with upcalls masked. */
static void smp_main(void)
{
	trap_init();
	process_init_vcpu();
	HYPERVISOR_vcpu_op(VCPUOP_stop_periodic_timer, this_cpu->id, NULL);
	threads_bind_timer();
	threads_bind_ipi();
	__atomic_store_n(&started, this_cpu->id, __ATOMIC_RELEASE);
	idle_loop(NULL);
}

static bool start(unsigned int id)
{
	static struct vcpu_guest_context c;
	struct thread *idle = thread_create("idle", idle_loop, NULL);
	uint64_t deadline = time_ns() + PATIENCE;

	if (!idle)
		return false;
	idle->state = THREAD_RUNNING;
	idle->started_ns = time_ns();
	percpu[id] = (struct percpu){.id = id, .thread = idle, .idle = idle};
	WRITE_ONCE(pv_shared_info.vcpu_info[id].evtchn_upcall_mask, 1);

	memset(&c, 0, sizeof(c));
	c.flags = VGCF_in_kernel;
	c.user_regs.rip = (unsigned long)smp_main;
	c.user_regs.rsp = thread_stack_top(idle) - 8; /* as behind a call */
	c.user_regs.rflags = 0x200;
	c.user_regs.cs = FLAT_KERNEL_CS;
	c.user_regs.ss = FLAT_KERNEL_SS;
	c.kernel_ss = FLAT_KERNEL_SS;
	c.kernel_sp = thread_stack_top(idle);
	c.ctrlreg[3] = xen_pfn_to_cr3(va_to_mfn((void *)start_info->pt_base));
	c.gs_base_kernel = (unsigned long)id * VCPU_BYTES;
	if (HYPERVISOR_vcpu_op(VCPUOP_initialise, id, &c) ||
	    HYPERVISOR_vcpu_op(VCPUOP_up, id, NULL))
		return false;
	while (__atomic_load_n(&started, __ATOMIC_ACQUIRE) != id) {
		if (time_ns() > deadline)
			return false;
		HYPERVISOR_sched_op(SCHEDOP_yield, NULL);
	}
	return true;
}

void smp_init(void)
{
	unsigned int id = 1;

	if (HYPERVISOR_vcpu_op(VCPUOP_is_up, id, NULL) < 0)
		return;
	threads_bind_ipi();
	for (; id < MAX_VCPUS && HYPERVISOR_vcpu_op(VCPUOP_is_up, id, NULL) >= 0; id++) {
		if (!start(id))
			panic("vCPU %u does not start", id);
		/* From here on others may send it work. */
		__atomic_store_n(&nr_vcpus, id + 1, __ATOMIC_RELEASE);
	}
}
