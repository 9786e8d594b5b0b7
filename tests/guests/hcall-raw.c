/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("hcall-raw", "Linux since 6.1.192 has no hypercall page: syscall itself is a hypercall");

/* The registers after the call; every one but rax, rcx and r11 must be what it was. */
uint64_t raw_regs[16], raw_rsp[2];
void raw_run(void);
extern char raw_after[];

__asm__("raw_run:\n"
	"	pushq %rbx; pushq %rbp; pushq %r12; pushq %r13; pushq %r14; pushq %r15\n"
	"	movq %rsp, raw_rsp(%rip)\n"
	"	movl $17, %eax\n"
	"	xorl %edi, %edi\n"
	"	xorl %esi, %esi\n"
	"	movq $0xb0, %rbx; movq $0xb1, %rbp; movq $0xb2, %rdx; movq $0xb3, %r8\n"
	"	movq $0xb4, %r9; movq $0xb5, %r10; movq $0xb6, %r12; movq $0xb7, %r13\n"
	"	movq $0xb8, %r14; movq $0xb9, %r15\n"
	"	stc\n"
	"	syscall\n"
	"raw_after:\n"
	"	movq %rbx, raw_regs(%rip)\n"
	"	movq %rbp, raw_regs+8(%rip)\n"
	"	movq %r9, raw_regs+16(%rip)\n"
	"	movq %r12, raw_regs+24(%rip)\n"
	"	movq %r13, raw_regs+32(%rip)\n"
	"	movq %r14, raw_regs+40(%rip)\n"
	"	movq %r15, raw_regs+48(%rip)\n"
	"	movq %rax, raw_regs+56(%rip)\n"
	"	movq %rcx, raw_regs+64(%rip)\n"
	"	setc raw_regs+72(%rip)\n"
	"	movq %rsp, raw_rsp+8(%rip)\n"
	"	popq %r15; popq %r14; popq %r13; popq %r12; popq %rbp; popq %rbx\n"
	"	ret\n");

/* A call that there is not: its answer, and the carry. */
uint64_t raw_none[2];
void raw_run_none(void);

__asm__("raw_run_none:\n"
	"	movq $-1, %rax\n"
	"	clc\n"
	"	syscall\n"
	"	setc raw_none+8(%rip)\n"
	"	movq %rax, raw_none(%rip)\n"
	"	ret\n");

static unsigned int events;

static void note(unsigned int port, void *data)
{
	events++;
}

void test_main(void)
{
	static const uint64_t want[] = {0xb0, 0xb1, 0xb4, 0xb6, 0xb7, 0xb8, 0xb9, 4 << 16 | 17};
	struct evtchn_send send = {.port = (evtchn_port_t)event_bind_ipi()};
	char text[1024] = "";
	unsigned long sum = 0;

	raw_run();
	for (unsigned int i = 0; i < ARRAY_SIZE(want); i++)
		check_eq("register", (long)raw_regs[i], (long)want[i]);
	check_eq("rcx is the next instruction", (long)raw_regs[8], (long)raw_after);
	check_eq("carry stays", (long)raw_regs[9], 1);
	check_eq("rsp", (long)raw_rsp[1], (long)raw_rsp[0]);
	raw_run_none();
	check_eq("none of that number", (long)raw_none[0], -XEN_ENOSYS);
	check_eq("no carry", (long)raw_none[1], 0);
	check_eq("an argument by pointer",
		 raw_hypercall(__HYPERVISOR_xen_version, XENVER_capabilities, (unsigned long)text,
			       0),
		 0);
	check("is filled", strstr(text, "xen-3.0-x86_64"));
	check_eq("and checked",
		 raw_hypercall(__HYPERVISOR_xen_version, XENVER_capabilities, XEN_RANGE, 0),
		 -XEN_EFAULT);
	event_bind(send.port, note, NULL);
	upcalls_enable();
	check_eq("send",
		 raw_hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_send, (unsigned long)&send,
			       0),
		 0);
	check_eq("events arrive behind it", events, 1);
	for (int i = 0; i < 1000; i++)
		sum += (unsigned long)raw_hypercall(__HYPERVISOR_xen_version, XENVER_pagesize, 0,
						    0);
	check_eq("a thousand of them", (long)sum, 1000 * PAGE_SIZE);
}
