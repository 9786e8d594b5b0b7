/* SPDX-License-Identifier: MIT */
/*
 * The benchmark guest: what the hypervisor's work for a guest costs, in ticks of the TSC, which
 * in Bochs counts the instructions of the whole machine. The same image runs on Pavane and on Xen.
 *
 * For each row a line "bench ROW TICKS OPS ROUNDS TOTAL EXITS INTERRUPTS": ticks of the median
 * round, which is OPS operations (or FEW_OPS); and of all ROUNDS together the ticks, the VM exits,
 * and those of them for the host's interrupts ("-" where the hypervisor counts no exits).
 */
#include <pavane/extension.h>
#include <pv/event.h>
#include <pv/lib.h>
#include <pv/mm.h>
#include <pv/time.h>

#include "tests/bench/pv/bench.h"

#define OPS	    128
#define FEW_OPS	    16 /* of what takes thousands of ticks: most rounds see no interrupt */
#define WINDOW	    0x2000000000ul
#define NOWHERE	    (WINDOW + PAGE_SIZE)
#define NOPS	    1000
#define FAR	    (1000 * SEC)
#define QUIET	    4000000 /* ticks */
#define MASK_EVENTS 4	    /* trap_info.flags */

_Static_assert(offsetof(struct shared_info, evtchn_pending) == PENDING, "pending");
_Static_assert(offsetof(struct vcpu_info, evtchn_pending_sel) == PENDING_SEL, "selector");
_Static_assert(offsetof(struct vcpu_info, evtchn_upcall_pending) == UPCALL_PENDING, "upcall");

static char kernel_stack[PAGE_SIZE] __attribute__((aligned(16)));
static uint64_t window_pte, frame_pte, deadline;
static struct multicall_entry calls[32];
static bool exits_counted;
static unsigned int ops = OPS; /* in a round */

static long stack_switch(void)
{
	return HYPERVISOR_stack_switch(FLAT_KERNEL_SS,
				       (unsigned long)kernel_stack + sizeof(kernel_stack));
}

static long send(void)
{
	struct evtchn_send op = {.port = (evtchn_port_t)bench_port};

	return HYPERVISOR_event_channel_op(EVTCHNOP_send, &op);
}

/* An operation, as a loop of n of them; not 0 when it failed. */
#define LOOP(name, operation)                  \
	static long name(unsigned int n)       \
	{                                      \
		long failed = 0;               \
                                               \
		while (n--)                    \
			failed |= (operation); \
		return failed;                 \
	}

LOOP(null_hypercall, HYPERVISOR_xen_version(XENVER_version, NULL) < 0)
LOOP(sends, send())
LOOP(stack_switches, stack_switch())
LOOP(multicall, HYPERVISOR_multicall(calls, ARRAY_SIZE(calls)))
LOOP(mmu_update, pt_set(window_pte, frame_pte ^= PTE_RW))
LOOP(context_switch, space_load(n & 1))
LOOP(timer_later, HYPERVISOR_set_timer_op(deadline += 1000))
LOOP(timer_sooner, HYPERVISOR_set_timer_op(deadline -= 1000))

static long iret(unsigned int n)
{
	bench_iret(n);
	return 0;
}

static long kernel_faults(unsigned int n)
{
	bench_faults(n, NOWHERE);
	return 0;
}

static uint64_t in_kernel(long (*loop)(unsigned int n), bool *failed)
{
	const uint64_t since = rdtsc();

	*failed |= loop(ops) != 0;
	return rdtsc() - since;
}

/* The user's loop takes its own time, without the way there and back. */
static uint64_t in_user(const char *code)
{
	return bench_user(ops, USER_NOTHING, USER_CODE + (uint64_t)(code - user_code));
}

static struct pavane_vm_exits exits(void)
{
	struct pavane_vm_exits e = {0};

	exits_counted = !PV_HYPERCALL2(__HYPERVISOR_arch_7, PAVANE_OP_vm_exits, &e);
	return e;
}

static uint64_t median(uint64_t *samples)
{
	for (unsigned int i = 1; i < ROUNDS; i++)
		for (unsigned int j = i; j && samples[j] < samples[j - 1]; j--) {
			const uint64_t t = samples[j];

			samples[j] = samples[j - 1];
			samples[j - 1] = t;
		}
	return samples[ROUNDS / 2];
}

static void row(const char *name, long (*loop)(unsigned int n), const char *user)
{
	struct pavane_vm_exits before, after;
	uint64_t samples[ROUNDS], total;
	bool failed = false;

	/* What is touched for the first time has its own price. */
	if (loop)
		in_kernel(loop, &failed);
	else
		in_user(user);
	/* The line of the row before is on its way through the host still, with its interrupts. */
	for (total = rdtsc(); rdtsc() - total < QUIET;)
		;
	before = exits();
	total = rdtsc();
	for (unsigned int i = 0; i < ROUNDS; i++)
		samples[i] = loop ? in_kernel(loop, &failed) : in_user(user);
	total = rdtsc() - total;
	after = exits();
	if (failed) {
		printf("not ok bench %s: the operation failed\n", name);
		return;
	}
	printf("bench %s %lu %u %u %lu ", name, median(samples), ops, ROUNDS, total);
	if (exits_counted)
		printf("%lu %lu\n", after.all - before.all, after.interrupts - before.interrupts);
	else
		printf("- -\n");
}

/* Only the one event comes up: the console's and the like wait. */
static void event_row(void)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(pv_shared_info.evtchn_mask); i++)
		pv_shared_info.evtchn_mask[i] = ~0ul;
	row("event_send_masked", sends, NULL);
	pv_shared_info.evtchn_pending[0] &= ~(1ul << bench_port);
	pv_shared_info.vcpu_info[0].evtchn_pending_sel = 0;
	pv_shared_info.vcpu_info[0].evtchn_upcall_pending = 0;
	pv_shared_info.evtchn_mask[0] &= ~(1ul << bench_port);
	upcalls_enable();
	row("event_send", sends, NULL);
	upcalls_disable();
}

static long register_callback(uint16_t type, const char *address)
{
	struct callback_register reg = {.type = type, .address = (unsigned long)address};

	return HYPERVISOR_callback_op(CALLBACKOP_register, &reg);
}

static bool set_up(void)
{
	long port = event_bind_ipi();
	void *page = page_alloc();

	if (port < 0 || port >= 64)
		return false;
	bench_port = (uint64_t)port;
	frame_pte = mfn_pte(va_to_mfn(page), PTE_KERN);
	for (unsigned int i = 0; i < ARRAY_SIZE(calls); i++)
		calls[i] = (struct multicall_entry){.op = __HYPERVISOR_xen_version,
						    .args = {XENVER_version}};
	return !map_mfn(WINDOW, va_to_mfn(page), PTE_KERN) &&
	       pt_find(WINDOW, 1, &window_pte, NULL) && !stack_switch() &&
	       !register_callback(CALLBACKTYPE_event, bench_event) &&
	       !register_callback(CALLBACKTYPE_syscall, bench_syscall) &&
	       !trap_set_entry(14, MASK_EVENTS, (unsigned long)bench_page_fault) &&
	       !spaces_make() && !space_load(0);
}

/* What the ticks of this machine are; the figures are instructions where a nop is one. */
static void ticks_print(void)
{
	const uint64_t since = rdtsc();

	__asm__ volatile(".rept %c0; nop; .endr" : : "i"(NOPS));
	printf("bench nops %lu %u\n", rdtsc() - since, NOPS);
}

int guest_main(void)
{
	mm_init();
	if (!set_up()) {
		printf("not ok bench: cannot set up\n");
		return 1;
	}
	ticks_print();
	row("null_hypercall", null_hypercall, NULL);
	ops = FEW_OPS;
	row("multicall_32", multicall, NULL);
	ops = OPS;
	row("system_call", NULL, user_code);
	row("page_fault_user", NULL, user_faults);
	row("page_fault_kernel", kernel_faults, NULL);
	row("iret", iret, NULL);
	row("stack_switch", stack_switches, NULL);
	row("context_switch", context_switch, NULL);
	row("mmu_update", mmu_update, NULL);
	event_row();
	deadline = time_ns() + FAR;
	row("timer_later", timer_later, NULL);
	deadline = time_ns() + FAR / 2;
	ops = FEW_OPS;
	row("timer_sooner", timer_sooner, NULL);
	HYPERVISOR_set_timer_op(0);
	printf("bench end\n");
	return 0;
}
