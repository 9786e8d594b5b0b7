/* SPDX-License-Identifier: MIT */
#include "user.h"

TEST("debug-regs", "breakpoints on instructions and data, in the kernel and in a user program");

#define WRITE_8 9ul  /* a DR7 field: kind 01, length 10 */
#define RW_4	15ul /* kind 11, length 11 */
#define RW_8	11ul /* kind 11, length 10 */

#define FIELD(nr, field) ((field) << (16 + 4 * (nr)) | 1ul << (2 * (nr)))
#define DR6_EVENTS	 0xe00ful

static volatile unsigned int hits;
static uint64_t hit_rip, hit_dr6;
volatile uint64_t watched[2];
extern char spot[], after_store[], after_load[];
void code(void *arg);

__asm__("code:	xorl %eax, %eax\n"
	"spot:	incl %eax\n"
	"	movq $5, watched(%rip)\n"
	"after_store:\n"
	"	movl watched+8(%rip), %ecx\n"
	"after_load:\n"
	"	ret");

static bool hit(struct trap_regs *regs)
{
	hits++;
	hit_rip = regs->rip;
	hit_dr6 = HYPERVISOR_get_debugreg(6) & DR6_EVENTS;
	HYPERVISOR_set_debugreg(6, 0);
	regs->rflags |= FLAG_RF;
	return true;
}

static void set(int nr, const volatile void *at, uint64_t dr7)
{
	check_eq("address", HYPERVISOR_set_debugreg(nr, (unsigned long)at), 0);
	check_eq("dr7", HYPERVISOR_set_debugreg(7, dr7), 0);
}

static void check_hit(const char *what, const char *rip, uint64_t dr6)
{
	check_eq(what, hits, 1);
	check_eq(what, (long)hit_rip, (long)rip);
	check_eq(what, (long)hit_dr6, (long)dr6);
	hits = 0;
}

static void kernel(void)
{
	set(0, spot, FIELD(0, 0ul));
	code(NULL);
	check_hit("an instruction", spot, 1);
	set(1, &watched[0], FIELD(1, WRITE_8));
	code(NULL);
	check_hit("a write", after_store, 2);
	set(3, &watched[1], FIELD(3, RW_4));
	code(NULL);
	check_hit("a read", after_load, 8);
	set(0, spot, FIELD(0, 0ul) | FIELD(1, WRITE_8) | FIELD(3, RW_4));
	code(NULL);
	check_eq("all of them", hits, 3);
	check_eq("not yet told", (long)HYPERVISOR_get_debugreg(6) & (long)DR6_EVENTS, 0);
	hits = 0;
	set(2, NULL, 0);
	code(NULL);
	check_eq("none", hits, 0);
}

/* What the hypervisor itself touches for the guest is no event of the guest's. */
static void hypercall(void)
{
	static xen_extraversion_t buffer __attribute__((aligned(8)));

	set(0, &buffer, FIELD(0, WRITE_8));
	check_eq("hypercall", HYPERVISOR_xen_version(XENVER_extraversion, &buffer), 0);
	check_eq("into a watched buffer", hits, 0);
	*(volatile char *)buffer = 0;
	check_eq("but a store of ours", hits, 1);
	hits = 0;
	set(0, NULL, 0);
}

/* Of which the return from the kernel's own handlers is one, whatever of its frame is watched. */
static void iret(void)
{
	static struct iret_context frame __attribute__((aligned(16)));
	static uint64_t *const slots[] = {&frame.rax, &frame.r11,    &frame.rcx,
					  &frame.rip, &frame.rflags, &frame.rsp};
	uint64_t rax, rcx, rsp, own;

	for (unsigned int i = 0; i < ARRAY_SIZE(slots); i++) {
		frame = (struct iret_context){.rax = 0x1234,
					      .rcx = 0x5678,
					      .cs = FLAT_KERNEL_CS & ~3,
					      .ss = FLAT_KERNEL_SS};
		set(0, slots[i], FIELD(0, RW_8));
		__asm__ volatile("movq %%rsp, %3\n"
				 "	leaq 1f(%%rip), %%rcx\n"
				 "	movq %%rcx, %c6(%5)\n"
				 "	movq %%rsp, %c7(%5)\n"
				 "	movq %5, %%rsp\n"
				 "	movl %4, %%eax\n"
				 "	syscall\n"
				 "1:	movq %%rsp, %2\n"
				 "	movq %3, %%rsp\n"
				 : "=&a"(rax), "=&c"(rcx), "=&r"(rsp), "=&r"(own)
				 : "i"(__HYPERVISOR_iret), "r"(&frame),
				   "i"(offsetof(struct iret_context, rip)),
				   "i"(offsetof(struct iret_context, rsp))
				 : "r11", "memory", "cc");
		set(0, NULL, 0);
		hits = 0; /* the stores to the frame */
		check_eq("iret: rax", (long)rax, 0x1234);
		check_eq("iret: rcx", (long)rcx, 0x5678);
		check_eq("iret: rsp", (long)rsp, (long)own);
	}
}

/* The command line may say where the hypervisor has code and data: TEXT,DATA in hexadecimal. */
static void monitor(void)
{
	unsigned long at[2] = {0, 0};
	unsigned int n = 0;

	for (const char *c = (const char *)start_info->cmd_line; *c && n < 2; c++) {
		if (*c == ',')
			n++;
		else
			at[n] = at[n] * 16 + (*c <= '9' ? *c - '0' : *c - 'a' + 10);
	}
	if (n != 1)
		return;
	set(0, (void *)at[0], FIELD(0, 0ul));
	set(1, (void *)at[1], FIELD(0, 0ul) | FIELD(1, RW_4));
	for (int i = 0; i < 100; i++)
		HYPERVISOR_xen_version(XENVER_version, NULL);
	check_eq("at the hypervisor's own", hits, 0);
	set(0, spot, FIELD(0, 0ul));
	code(NULL);
	check_hit("after that", spot, 1);
	set(0, NULL, 0);
	printf("breakpoints at %lx and %lx\n", at[0], at[1]);
}

static void user(void)
{
	struct trap_regs regs;

	user_init();
	set(0, spot, FIELD(0, 0ul));
	user_run(code, NULL, &regs);
	check_eq("user: a trap", (long)regs.vector, 1);
	check_eq("user: there", (long)regs.rip, (long)spot);
	check_eq("user: for that reason", (long)(HYPERVISOR_get_debugreg(6) & DR6_EVENTS), 1);
	HYPERVISOR_set_debugreg(6, 0);
	set(1, &watched[0], FIELD(1, WRITE_8));
	user_run(code, NULL, &regs);
	check_eq("user: a write", (long)regs.rip, (long)after_store);
	check_eq("user: as dr6 says", (long)(HYPERVISOR_get_debugreg(6) & DR6_EVENTS), 2);
	HYPERVISOR_set_debugreg(6, 0);
	set(1, NULL, 0);
	user_run(code, NULL, &regs);
	check_eq("user: none", (long)regs.rax, USER_RETURNED);
}

void test_main(void)
{
	user(); /* skips where the hypervisor is no more than a process */
	trap_set_handler(1, hit);
	kernel();
	hypercall();
	iret();
	monitor();
}
