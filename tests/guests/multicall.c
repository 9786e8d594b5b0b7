/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("multicall", "a batch is its calls one by one, with each one's own result");

static struct multicall_entry calls[64];

/* Ends a batch by an iret in the middle of it. */
uint64_t mc_sp_saved;
long mc_iret_run(struct multicall_entry *list, unsigned long n);

__asm__("mc_iret_run:\n"
	"	pushq %rbp\n"
	"	pushq %rbx\n"
	"	movq %rsp, mc_sp_saved(%rip)\n"
	"	movq %rsp, %rax\n"
	"	pushq $0xe02b\n"
	"	pushq %rax\n"
	"	pushq $0x2\n" /* IF clear: upcalls stay masked */
	"	pushq $0xe030\n"
	"	pushq $mc_iret_target\n"
	"	pushq $0\n"
	"	pushq $1\n"
	"	pushq $2\n"
	"	pushq $0x1234\n"
	"	movl $13, %eax\n"
	"	syscall\n"
	"	ud2\n"
	"mc_iret_target:\n"
	"	movq mc_sp_saved(%rip), %rsp\n"
	"	popq %rbx\n"
	"	popq %rbp\n"
	"	ret\n");

static void set(unsigned int i, unsigned long op, unsigned long a0, unsigned long a1)
{
	calls[i] = (struct multicall_entry){.op = op, .args = {a0, a1}, .result = 0x77};
}

static void results(void)
{
	set(0, __HYPERVISOR_xen_version, XENVER_version, 0);
	set(1, 62, 0, 0);
	set(2, __HYPERVISOR_event_channel_op, EVTCHNOP_send, NOWHERE);
	set(3, __HYPERVISOR_multicall, (unsigned long)&calls[0], 1);
	set(4, ~0ul, 0, 0);
	set(5, __HYPERVISOR_sched_op, SCHEDOP_yield, 0);
	set(6, __HYPERVISOR_xen_version, XENVER_pagesize, 0);
	check_eq("batch", HYPERVISOR_multicall(calls, 7), 0);
	check_eq("first", (long)calls[0].result, 4 << 16 | 17);
	check_eq("unknown", (long)calls[1].result, -XEN_ENOSYS);
	check_eq("hostile pointer", (long)calls[2].result, -XEN_EFAULT);
	check_eq("nested", (long)calls[3].result, -XEN_EINVAL);
	check_eq("number too large", (long)calls[4].result, -XEN_ENOSYS);
	check_eq("yield", (long)calls[5].result, 0);
	check_eq("goes on behind failures", (long)calls[6].result, PAGE_SIZE);
	check_eq("empty", HYPERVISOR_multicall(NULL, 0), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(calls); i++)
		set(i, __HYPERVISOR_xen_version, XENVER_pagesize, 0);
	check_eq("long", HYPERVISOR_multicall(calls, ARRAY_SIZE(calls)), 0);
	check_eq("long: last", (long)calls[ARRAY_SIZE(calls) - 1].result, PAGE_SIZE);
}

/* The list runs from a mapped page into a hole: what was there is done, then the fault. */
static void half_mapped(void)
{
	unsigned long va = va_alloc(2);
	char *page = page_alloc();
	struct multicall_entry *list;

	map_mfn(va, va_to_mfn(page), PTE_KERN);
	list = (struct multicall_entry *)(va + PAGE_SIZE) - 1;
	*list = (struct multicall_entry){.op = __HYPERVISOR_xen_version, .args = {XENVER_pagesize}};
	check_eq("into a hole", HYPERVISOR_multicall(list, 2), -XEN_EFAULT);
	check_eq("the part before it is done", (long)list->result, PAGE_SIZE);
	map_mfn(va, va_to_mfn(page), PTE_KERN & ~PTE_RW);
	check_eq("nowhere for the result", HYPERVISOR_multicall(list, 1), -XEN_EFAULT);
	/* How a guest changes two mappings in one go. */
	set(0, __HYPERVISOR_update_va_mapping, va, 0);
	calls[0].args[2] = UVMF_INVLPG;
	set(1, __HYPERVISOR_update_va_mapping, va + PAGE_SIZE, mfn_pte(va_to_mfn(page), PTE_KERN));
	calls[1].args[2] = UVMF_INVLPG;
	check_eq("mappings", HYPERVISOR_multicall(calls, 2), 0);
	check_eq("one gone", vector_of(do_read, (void *)va), 14);
	check_eq("one come", vector_of(do_write, (void *)(va + PAGE_SIZE)), -1);
}

static void ends_by_iret(void)
{
	set(0, __HYPERVISOR_xen_version, XENVER_pagesize, 0);
	set(1, __HYPERVISOR_iret, 0, 0);
	set(2, __HYPERVISOR_xen_version, XENVER_pagesize, 0);
	check_eq("iret: its rax", mc_iret_run(calls, 3), 0x1234);
	check_eq("iret: done before", (long)calls[0].result, PAGE_SIZE);
	check_eq("iret: not done behind", (long)calls[2].result, 0x77);
	set(0, __HYPERVISOR_xen_version, XENVER_pagesize, 0);
	check_eq("a batch after that", HYPERVISOR_multicall(calls, 1), 0);
	check_eq("works", (long)calls[0].result, PAGE_SIZE);
}

void test_main(void)
{
	results();
	half_mapped();
	ends_by_iret();
}
