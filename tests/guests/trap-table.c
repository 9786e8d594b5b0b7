/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("trap-table", "what set_trap_table takes over, and what it leaves as it was");

extern char tt_entry[];
uint64_t tt_count, tt_cs;

/* Counts, and goes on behind a two-byte instruction. */
__asm__("tt_entry:\n"
	"	popq %rcx\n"
	"	popq %r11\n"
	"	incq tt_count(%rip)\n"
	"	addq $2, (%rsp)\n"
	"	pushq $0\n"
	"	jmp hypercall_page + 23 * 32\n");

static void ud(void)
{
	__asm__ volatile("ud2" ::: "rcx", "r11", "memory");
}

static void soft(void *arg)
{
	__asm__ volatile("int $0x90; nop; nop" ::: "rcx", "r11", "memory");
}

void test_main(void)
{
	struct trap_info list[] = {
		{.vector = 6, .flags = 0, .cs = FLAT_KERNEL_CS, .address = (unsigned long)tt_entry},
		{.vector = 0x90, .flags = 3, .cs = FLAT_KERNEL_CS, .address = NON_CANON},
		{0},
	};

	check_eq("a bad entry", HYPERVISOR_set_trap_table(list), -XEN_EINVAL);
	ud();
	check_eq("those before it count", (long)tt_count, 1);
	check_eq("it does not", vector_of(soft, NULL), 13);
	list[1].address = (unsigned long)tt_entry;
	check_eq("a good one", HYPERVISOR_set_trap_table(list), 0);
	soft(NULL);
	check_eq("counts", (long)tt_count, 2);
	/* The table is a change, not the whole: other vectors stay. */
	check_eq("others stay", vector_of(do_read, (void *)NOWHERE), 14);
	list[0].address = 0;
	check_eq("an empty table", HYPERVISOR_set_trap_table(list), 0);
	ud();
	check_eq("changes nothing", (long)tt_count, 3);
	list[0].address = (unsigned long)tt_entry;
	list[0].cs = 0xe008; /* Xen's own code segment: the privilege bits are forced */
	list[1].address = 0;
	check_eq("a kernel selector of Xen's", HYPERVISOR_set_trap_table(list), 0);
}
