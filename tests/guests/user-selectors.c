/* SPDX-License-Identifier: MIT */
#include "user.h"

TEST("user-selectors", "which selectors and flags a user has, and its kernel finds, by which way");

#define IN_SYSCALL 0x100ul
#define OWN_CS	   0x33ul
#define OWN_SS	   0x2bul
#define CODE64	   0x00affb000000fffful
#define DATA	   0x00cff3000000fffful
#define ONE	   0x2ul
#define IF	   0x200ul
#define ID	   0x200000ul
#define RF	   0x10000ul
#define TIMES	   3

/* Pops the frame that *arg is: an iret. */
void forbidden_iret_by(void *arg);
void look(void *arg);
void look_and_fault(void *arg);

uint64_t seen_cs, seen_ss;

__asm__("forbidden_iret_by:\n"
	"	movq %rdi, %rsp\n"
	"	jmp hypercall_page + 23 * 32\n"
	"look:	movl %cs, %eax\n"
	"	movq %rax, seen_cs(%rip)\n"
	"	movl %ss, %eax\n"
	"	movq %rax, seen_ss(%rip)\n"
	"	syscall\n"
	"look_and_fault:\n"
	"	movl %cs, %eax\n"
	"	movq %rax, seen_cs(%rip)\n"
	"	movl %ss, %eax\n"
	"	movq %rax, seen_ss(%rip)\n"
	"	ud2");

static const struct {
	const char *what;
	uint64_t bits, cs, ss, rflags; /* the iret's */
	uint64_t then_cs, then_ss, then_flags;
} ways[] = {
	{"Xen's", 0, FLAT_USER_CS, FLAT_USER_SS, IF | ONE, FLAT_USER_CS, FLAT_USER_SS, IF | ONE},
	{"its own", 0, OWN_CS, OWN_SS, IF | ONE, OWN_CS, OWN_SS, IF | ONE},
	{"a call's", IN_SYSCALL, OWN_CS, OWN_SS, IF | ONE, FLAT_USER_CS, FLAT_USER_SS, IF | ONE},
	{"a call's, no stack", IN_SYSCALL, OWN_CS, 0, IF | ONE, FLAT_USER_CS, FLAT_USER_SS,
	 IF | ONE},
	{"a call's, Xen's code", IN_SYSCALL, FLAT_USER_CS, OWN_SS, IF | ONE, FLAT_USER_CS,
	 FLAT_USER_SS, IF | ONE},
	{"ID", 0, FLAT_USER_CS, FLAT_USER_SS, ID | IF | ONE, FLAT_USER_CS, FLAT_USER_SS,
	 ID | IF | ONE},
	{"no bit 1", 0, FLAT_USER_CS, FLAT_USER_SS, IF, FLAT_USER_CS, FLAT_USER_SS, IF | ONE},
	{"bits that are none", 0, FLAT_USER_CS, FLAT_USER_SS, 0xffffffff80008228, FLAT_USER_CS,
	 FLAT_USER_SS, IF | ONE},
	{"those by a call", IN_SYSCALL, FLAT_USER_CS, FLAT_USER_SS, 0xffffffff80008228,
	 FLAT_USER_CS, FLAT_USER_SS, IF | ONE},
};

static char stack[4096] __attribute__((aligned(16)));

static void run(unsigned int i, bool fault)
{
	/* An interrupt may come before it is read. */
	static uint64_t kernel_stack[512] __attribute__((aligned(16)));
	uint64_t *frame = kernel_stack + 500;
	struct trap_regs regs;
	char text[80];

#define EQ(name, got, want)                                                                     \
	(snprintf(text, sizeof(text), "%s, %s: " name, ways[i].what, fault ? "fault" : "call"), \
	 check_eq(text, (long)(got), (long)(want)))

	memcpy(frame,
	       (uint64_t[]){ways[i].bits, (uint64_t)(fault ? look_and_fault : look), ways[i].cs,
			    ways[i].rflags, (uint64_t)(stack + sizeof(stack)), ways[i].ss},
	       48);
	seen_cs = seen_ss = 0;
	trap_catch(forbidden_iret_by, frame, &regs);
	EQ("vector", regs.vector, fault ? 6 : -2);
	EQ("cs", seen_cs, ways[i].then_cs);
	EQ("ss", seen_ss, ways[i].then_ss);
	/* A system call tells nobody what they were. */
	EQ("cs in the frame", regs.cs & 0xffff, fault ? ways[i].then_cs : FLAT_USER_CS);
	EQ("ss in the frame", regs.ss, fault ? ways[i].then_ss : FLAT_USER_SS);
	EQ("flags", regs.rflags & ~RF, ways[i].then_flags);
}

void test_main(void)
{
	static uint64_t gdt[512] __attribute__((aligned(PAGE_SIZE)));
	unsigned long frame = va_to_mfn(gdt);

	user_init();
	gdt[OWN_CS >> 3] = CODE64;
	gdt[OWN_SS >> 3] = DATA;
	check_eq("read-only", page_set_ro(gdt, true), 0);
	check_eq("set_gdt", HYPERVISOR_set_gdt(&frame, 512), 0);
	for (unsigned int k = 0; k < TIMES; k++)
		for (unsigned int i = 0; i < ARRAY_SIZE(ways); i++) {
			run(i, false);
			run(i, true);
		}
}
