/* SPDX-License-Identifier: MIT */
/* vcpus: 3 */
#include "common.h"
#include "vcpu.h"

TEST("pt-race", "a page becomes a page table while other vCPUs' calls have results to write to it");

#define WRITERS 2
#define ROUNDS	100

static char stacks[WRITERS][PAGE_SIZE] __attribute__((aligned(16)));
static uint64_t results[512] __attribute__((aligned(PAGE_SIZE)));
static unsigned long calls[WRITERS], written;

/* Their stacks lie elsewhere: only the call's result goes to the page. */
static void writer(unsigned long i)
{
	for (;;) {
		if (!HYPERVISOR_xen_version(XENVER_compile_info, results))
			WRITE_ONCE(written, 1);
		WRITE_ONCE(calls[i], calls[i] + 1);
	}
}

static void start(unsigned int i)
{
	static struct vcpu_guest_context c;

	vcpu_context(&c, (void *)writer, stacks[i], sizeof(stacks[i]));
	c.user_regs.rdi = i;
	vcpu_start(i + 1, &c);
}

/* Until each of them has made more than one whole call. */
static void let_write(void)
{
	for (unsigned int i = 0; i < WRITERS; i++) {
		const unsigned long from = READ_ONCE(calls[i]);

		while (READ_ONCE(calls[i]) - from < 2)
			HYPERVISOR_sched_op(SCHEDOP_yield, NULL);
	}
}

static unsigned int entries(void)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < 512; i++)
		n += READ_ONCE(results[i]) != 0;
	return n;
}

void test_main(void)
{
	const mfn_t mfn = va_to_mfn(results);
	unsigned int tables = 0, n = 0;

	if (HYPERVISOR_vcpu_op(VCPUOP_is_up, WRITERS, NULL) == -XEN_ENOENT)
		skip("the domain has too few vCPUs");
	for (unsigned int i = 0; i < WRITERS; i++)
		start(i);
	for (unsigned int i = 0; i < ROUNDS && !n; i++) {
		let_write();
		check_eq("read-only", page_set_ro(results, true), 0);
		check_eq("empty", mmuext(MMUEXT_CLEAR_PAGE, mfn), 0);
		if (!mmuext(MMUEXT_PIN_L1_TABLE, mfn)) { /* else another result came late */
			tables++;
			n = entries();
			let_write();
			n = entries() - n;
			check_eq("unpin", mmuext(MMUEXT_UNPIN_TABLE, mfn), 0);
		}
		check_eq("writable", page_set_ro(results, false), 0);
	}
	check("results were written", READ_ONCE(written));
	printf("pt-race: %u page tables\n", tables);
	check_eq("entries that nobody checked", n, 0);
	check("it was a page table", tables > ROUNDS / 2);
}
