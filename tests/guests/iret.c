/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("iret", "leaving a handler restores registers, flags and the event mask in one step");

#define IN_SYSCALL (1ul << 8) /* VGCF_in_syscall */

/* What iret_run() found behind the hypercall. */
uint64_t out_rax, out_rcx, out_r11, out_flags, out_rsp, out_sp_saved;
uint8_t out_mask;
void forbidden_iret_run(uint64_t flags, uint64_t rflags, uint64_t cs, uint64_t rsp);
extern char forbidden_iret_target[];

__asm__("forbidden_iret_run:\n"
	"	pushq %rbp\n"
	"	pushq %rbx\n"
	"	movq %rsp, out_sp_saved(%rip)\n"
	"	pushq $0xe02b\n"
	"	pushq %rcx\n"
	"	pushq %rsi\n"
	"	pushq %rdx\n"
	"	pushq $forbidden_iret_target\n"
	"	pushq %rdi\n"
	"	movabsq $0x1234567812345678, %rcx\n"
	"	movabsq $0x8765432187654321, %r11\n"
	"	movabsq $0xabcdabcdabcdabcd, %rax\n"
	"	jmp hypercall_page + 23 * 32\n"
	"forbidden_iret_target:\n"
	"	movq %rax, out_rax(%rip)\n"
	"	movq %rcx, out_rcx(%rip)\n"
	"	movq %r11, out_r11(%rip)\n"
	"	movq %rsp, out_rsp(%rip)\n"
	"	movb pv_shared_info+1(%rip), %al\n"
	"	movb %al, out_mask(%rip)\n"
	"	movq out_sp_saved(%rip), %rsp\n"
	"	pushfq\n"
	"	popq out_flags(%rip)\n"
	"	cld\n"
	"	popq %rbx\n"
	"	popq %rbp\n"
	"	ret\n");

static void one(const char *what, uint64_t flags, uint64_t rflags, uint64_t cs)
{
	/* An upcall may come in at the target, and needs room below its stack pointer. */
	static char stack[8192] __attribute__((aligned(16)));
	uint64_t sp = (uint64_t)stack + sizeof(stack) - 24;
	char text[80];

#define EQ(name, got, want) \
	(snprintf(text, sizeof(text), "%s: " name, what), check_eq(text, (long)(got), (long)(want)))

	forbidden_iret_run(flags, rflags, cs, sp);
	EQ("rax", out_rax, 0xabcdabcdabcdabcd);
	EQ("rsp", out_rsp, sp);
	EQ("mask is IF inverted", out_mask, !(rflags & FLAG_IF));
	EQ("the arithmetic flags and DF", out_flags & 0xcd5, rflags & 0xcd5);
	EQ("IF stays set", out_flags & FLAG_IF, FLAG_IF);
	EQ("IOPL and VM stay clear", out_flags & 0x23000, 0);
	if (flags & IN_SYSCALL)
		return; /* rcx and r11 are whatever sysret leaves in them */
	EQ("rcx", out_rcx, 0x1234567812345678);
	EQ("r11", out_r11, 0x8765432187654321);
}

static unsigned int events;

static void note(unsigned int port, void *data)
{
	events++;
}

void test_main(void)
{
	long port = event_bind_ipi();

	for (int masked = 0; masked < 2; masked++) {
		uint64_t f = masked ? 2 : 2 | FLAG_IF;

		one("plain", 0, f, FLAT_KERNEL_CS & ~3);
		one("all arithmetic flags", 0, f | 0x8d5, FLAT_KERNEL_CS & ~3);
		one("DF", 0, f | 0x400, FLAT_KERNEL_CS & ~3);
		one("IOPL 3", 0, f | 0x3000, FLAT_KERNEL_CS & ~3);
		one("as from a system call", IN_SYSCALL, f | 0x8d5, FLAT_KERNEL_CS & ~3);
		one("mask bits left in cs", 0, f, (1ul << 32) | (FLAT_KERNEL_CS & ~3));
	}

	/* What waits is delivered on the way, before the first instruction of the target. */
	upcalls_disable();
	event_bind((unsigned int)port, note, NULL);
	event_send((unsigned int)port);
	check_eq("waits", events, 0);
	one("masked, with an event", 0, 2, FLAT_KERNEL_CS & ~3);
	check_eq("still waits", events, 0);
	one("unmasked, with an event", 0, 2 | FLAG_IF, FLAT_KERNEL_CS & ~3);
	check_eq("delivered", events, 1);
}
