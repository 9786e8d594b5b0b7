/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("trap-frame", "guest entry code is written against the exact layout of the bounce frame");

/*
 * frame_run() puts the stack pointer where it was told and jumps to a faulting instruction.
 * frame_entry, the handler, copies what it finds, and returns to frame_run()'s caller without an
 * iret: a PV kernel never left its privilege level, so it may just go on.
 */
uint64_t frame_rsp, frame[8], frame_sp_before, frame_sp_saved;
uint8_t frame_mask;
void frame_run(uint64_t sp, void *insn);
extern char frame_entry[], frame_ud[], frame_gp[], frame_pf[], frame_bp[], frame_bp_end[],
	frame_de[], frame_int[], frame_int_end[];

__asm__("frame_entry:\n"
	"	movq %rsp, frame_rsp(%rip)\n"
	"	xorl %ecx, %ecx\n"
	"1:	movq (%rsp,%rcx,8), %rax\n"
	"	movq %rax, frame(,%rcx,8)\n"
	"	incl %ecx\n"
	"	cmpl $8, %ecx\n"
	"	jne 1b\n"
	"	movb pv_shared_info+1(%rip), %al\n"
	"	movb %al, frame_mask(%rip)\n"
	"	cld\n"
	"	movq frame_sp_saved(%rip), %rsp\n"
	"	popq %rbp\n"
	"	popq %rbx\n"
	"	ret\n"
	"frame_run:\n"
	"	pushq %rbx\n"
	"	pushq %rbp\n"
	"	movq %rsp, frame_sp_saved(%rip)\n"
	"	movq %rdi, frame_sp_before(%rip)\n"
	"	movq %rdi, %rsp\n"
	"	movabsq $0x1111222233334444, %rcx\n"
	"	movabsq $0x5555666677778888, %r11\n"
	"	std\n"
	"	stc\n"
	"	jmp *%rsi\n"
	"frame_ud: ud2\n"
	"frame_gp: movabsq $0x8000000000000000, %rax; movb (%rax), %al\n"
	"frame_pf: movabsq $0x2000000000, %rax; movb (%rax), %al\n"
	"frame_bp: int3\n"
	"frame_bp_end:\n"
	"frame_de: xorl %ebx, %ebx; movl $1, %eax; xorl %edx, %edx; stc; divl %ebx\n"
	"frame_int: int $0x81\n"
	"frame_int_end:\n");

static char stack[4096] __attribute__((aligned(4096)));

static const struct {
	const char *name;
	uint8_t vector;
	char *insn, *rip; /* rip NULL: somewhere behind insn */
	bool has_error;
	uint64_t error;
} kinds[] = {
	{"#UD", 6, frame_ud, frame_ud, false, 0}, {"#BP", 3, frame_bp, frame_bp_end, false, 0},
	{"#DE", 0, frame_de, NULL, false, 0},	  {"int", 0x81, frame_int, frame_int_end, false, 0},
	{"#GP", 13, frame_gp, NULL, true, 0},	  {"#PF", 14, frame_pf, NULL, true, 0},
};

static void one(unsigned int k, uint8_t flags, bool masked, unsigned int offset)
{
	unsigned long sp = (unsigned long)stack + 2048 - offset;
	unsigned int n = kinds[k].has_error ? 8 : 7;
	const uint64_t *f = frame + n - 7; /* f[2] is rip either way */
	char text[64];

#define EQ(what, got, want)                                                                  \
	(snprintf(text, sizeof(text), "%s, gate %u, mask %u, rsp -%u: " what, kinds[k].name, \
		  flags, masked, offset),                                                    \
	 check_eq(text, (long)(got), (long)(want)))

	trap_set_entry(kinds[k].vector, flags, (unsigned long)frame_entry);
	this_vcpu->evtchn_upcall_mask = masked;
	memset(frame, 0x77, sizeof(frame));
	frame_run(sp, kinds[k].insn);
	upcalls_disable();
	EQ("aligned down to 16, then the frame", frame_rsp, (sp & ~15ul) - n * 8);
	EQ("rcx", frame[0], 0x1111222233334444);
	EQ("r11", frame[1], 0x5555666677778888);
	if (kinds[k].has_error)
		EQ("error code", frame[2], kinds[k].error);
	if (kinds[k].rip)
		EQ("rip", f[2], kinds[k].rip);
	else
		EQ("rip is behind the label", f[2] - (unsigned long)kinds[k].insn < 20, true);
	EQ("cs: rpl 0, mask above", f[3], (masked ? 1ul << 32 : 0) | (FLAT_KERNEL_CS & ~3));
	EQ("rflags: IF is the mask inverted", f[4] >> 9 & 1, !masked);
	EQ("rflags: CF and DF", f[4] & 0x401, 0x401);
	EQ("rflags: no IOPL, VM, NT, TF", f[4] & 0x27100, 0);
	EQ("rsp", f[5], sp);
	EQ("ss", f[6], FLAT_KERNEL_SS);
	EQ("an interrupt gate masks", frame_mask, masked || (flags & 4));
}

void test_main(void)
{
	for (unsigned int k = 0; k < ARRAY_SIZE(kinds); k++) {
		for (unsigned int offset = 0; offset < 16; offset += 5)
			one(k, 3, false, offset);
		one(k, 3, true, 8);
		one(k, 3 | 4, false, 8);
		one(k, 3 | 4, true, 0);
		trap_set_entry(kinds[k].vector, 0,
			       kinds[k].vector == 0x81 ? (unsigned long)frame_entry : 0);
	}
}
