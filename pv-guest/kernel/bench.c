/* SPDX-License-Identifier: MIT */
/*
 * Nanoseconds per operation, one line each. Every operation is repeated until it took long enough
 * to measure, and the best of three rounds counts: what the guest pays when nothing interferes.
 */
#include <pv/event.h>
#include <pv/grant.h>
#include <pv/thread.h>
#include <pv/time.h>
#include "kernel.h"

#define ROUND_NS (5 * MSEC)

static unsigned int ipi;
static void *page;
static unsigned long window;
static uint64_t window_pte, frame_pte;
static struct multicall_entry calls[32];

static void op_version(void)
{
	HYPERVISOR_xen_version(XENVER_version, NULL);
}

static void op_unknown(void)
{
	PV_HYPERCALL0(62);
}

static void op_yield(void)
{
	HYPERVISOR_sched_op(SCHEDOP_yield, NULL);
}

static void op_send(void)
{
	event_send(ipi);
}

static void op_send_masked(void)
{
	event_send(ipi);
	event_clear(ipi);
}

static void op_multicall(void)
{
	HYPERVISOR_multicall(calls, ARRAY_SIZE(calls));
}

static void op_mmu_update(void)
{
	pt_set(window_pte, frame_pte);
	frame_pte ^= PTE_RW;
}

static void op_update_va(void)
{
	HYPERVISOR_update_va_mapping(window, frame_pte, UVMF_INVLPG);
	frame_pte ^= PTE_RW;
}

/* Remap and touch: what a mapping costs until it can be used. */
static void op_update_touch(void)
{
	HYPERVISOR_update_va_mapping(window, frame_pte, UVMF_INVLPG);
	frame_pte ^= PTE_RW;
	*(volatile char *)window;
}

static void op_tlb_flush(void)
{
	struct mmuext_op op = {.cmd = MMUEXT_TLB_FLUSH_LOCAL};

	HYPERVISOR_mmuext_op(&op, 1, NULL, DOMID_SELF);
}

static void op_pin(void)
{
	struct mmuext_op op = {.cmd = MMUEXT_PIN_L1_TABLE, .arg1.mfn = va_to_mfn(page)};

	HYPERVISOR_mmuext_op(&op, 1, NULL, DOMID_SELF);
	op.cmd = MMUEXT_UNPIN_TABLE;
	HYPERVISOR_mmuext_op(&op, 1, NULL, DOMID_SELF);
}

static void op_set_timer(void)
{
	HYPERVISOR_set_timer_op(0);
}

static void op_stack_switch(void)
{
	HYPERVISOR_stack_switch(FLAT_KERNEL_SS, (unsigned long)page);
}

static void op_segment_base(void)
{
	HYPERVISOR_set_segment_base(SEGBASE_GS_KERNEL, this_cpu->id * VCPU_BYTES);
}

static void op_grant_copy(void)
{
	struct gnttab_copy op = {
		.source = {.u.gmfn = va_to_mfn(page), .domid = DOMID_SELF},
		.dest = {.u.gmfn = va_to_mfn(page), .domid = DOMID_SELF, .offset = 2048},
		.len = 64,
	};

	grant_copy(&op);
}

static void op_clock(void)
{
	time_ns();
}

static bool skip_fault(struct trap_regs *regs)
{
	regs->rip = regs->rax;
	return true;
}

static void op_page_fault(void)
{
	__asm__ volatile("leaq 1f(%%rip), %%rax; movb $0, (%0); 1:"
			 :
			 : "r"(window + PAGE_SIZE)
			 : "rax", "memory");
}

static void op_invalid_opcode(void)
{
	__asm__ volatile("leaq 1f(%%rip), %%rax; ud2; 1:" ::: "rax", "memory");
}

/* The iret hypercall to the next instruction: the frame is what a trap's end would build. */
static void op_iret(void)
{
	__asm__ volatile("movq %%rsp, %%rax\n\t"
			 "pushq $0xe02b\n\t"
			 "pushq %%rax\n\t"
			 "pushq $0x202\n\t"
			 "pushq $0xe030\n\t"
			 "pushq $1f\n\t"
			 "pushq $0\n\t"
			 "jmp hypercall_page + 23 * 32\n"
			 "1:" ::
				 : "rax", "rcx", "r11", "memory", "cc");
}

static void op_thread_switch(void)
{
	thread_yield();
}

static const struct bench {
	const char *name;
	void (*op)(void);
} benches[] = {
	{"xen_version", op_version},
	{"unknown_hypercall", op_unknown},
	{"sched_yield", op_yield},
	{"evtchn_send_self", op_send},
	{"evtchn_send_masked", op_send_masked},
	{"multicall_32", op_multicall},
	{"mmu_update", op_mmu_update},
	{"update_va_mapping", op_update_va},
	{"update_va_mapping_touch", op_update_touch},
	{"tlb_flush_local", op_tlb_flush},
	{"pin_unpin_l1", op_pin},
	{"set_timer", op_set_timer},
	{"stack_switch", op_stack_switch},
	{"set_segment_base", op_segment_base},
	{"grant_copy_64", op_grant_copy},
	{"iret", op_iret},
	{"page_fault", op_page_fault},
	{"invalid_opcode", op_invalid_opcode},
	{"thread_yield", op_thread_switch},
	{"clock_read", op_clock},
};

static uint64_t run_round(void (*op)(void), unsigned long n)
{
	uint64_t start = time_ns();

	for (unsigned long i = 0; i < n; i++)
		op();
	return time_ns() - start;
}

static uint64_t measure(void (*op)(void))
{
	unsigned long n = 16;
	uint64_t best, ns;

	for (op(); (ns = run_round(op, n)) < ROUND_NS && n < 1ul << 24;)
		n *= ns < ROUND_NS / 8 ? 8 : 2;
	best = ns;
	for (int i = 0; i < 2; i++) {
		ns = run_round(op, n);
		if (ns < best)
			best = ns;
	}
	return (best * 10 + n / 2) / n;
}

static void nothing(unsigned int port, void *data)
{
}

static bool set_up(void)
{
	long rc = ipi ? ipi : event_bind_ipi();

	if (rc < 0 || grant_init())
		return false;
	if (!ipi)
		window = va_alloc(2);
	ipi = (unsigned int)rc;
	event_bind(ipi, nothing, NULL);
	page = page_alloc();
	frame_pte = mfn_pte(va_to_mfn(page), PTE_KERN & ~PTE_RW);
	for (unsigned int i = 0; i < ARRAY_SIZE(calls); i++)
		calls[i] = (struct multicall_entry){.op = __HYPERVISOR_xen_version,
						    .args = {XENVER_version}};
	/* The frame stays read-only where pin wants it to be; the window gets it writable too. */
	return !map_mfn(window, va_to_mfn(page), PTE_KERN & ~PTE_RW) &&
	       pt_find(window, 1, &window_pte, NULL);
}

void bench_run(const char *only)
{
	trap_handler_t faults;

	thread_pin(0);
	if (!set_up()) {
		printf("bench: cannot set up\n");
		return;
	}
	faults = trap_set_handler(14, skip_fault);
	trap_set_handler(6, skip_fault);
	for (unsigned int i = 0; i < ARRAY_SIZE(benches); i++) {
		const struct bench *b = &benches[i];
		uint64_t tenths;

		if (only && strcmp(only, b->name))
			continue;
		if (b->op == op_send_masked)
			event_mask(ipi);
		if (b->op == op_pin) {
			unmap_va(window);
			page_set_ro(page, true);
		}
		tenths = measure(b->op);
		printf("bench %s %lu.%lu\n", b->name, tenths / 10, tenths % 10);
		if (b->op == op_send_masked)
			event_unmask(ipi);
		if (b->op == op_pin)
			page_set_ro(page, false);
	}
	trap_set_handler(14, faults);
	trap_set_handler(6, NULL);
	unmap_va(window);
	page_free(page);
	/* Timers set here belonged to the scheduler; let it set its own again. */
	thread_yield();
	thread_pin(-1);
}
