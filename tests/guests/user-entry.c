/* SPDX-License-Identifier: MIT */
#include "user.h"

TEST("user-entry",
     "what a kernel finds when its user calls it or faults, and what iret left the user");

#define NOTHING	  0x2000000000ul
#define USER_RSP  0x7654321ul
#define RAX	  0x1010101010101010ul
#define RCX	  0x1111222233334444ul
#define R11	  0x5555666677778888ul
#define RDX	  0x2020202020202020ul
#define RSI	  0x3030303030303030ul
#define GS_KERNEL 0x6b6b6b6bul
#define GS_USER	  0x75757575ul

/* What entry_any found; entry_run() returns once it is there. */
uint64_t entry_frame[8], entry_rsp, entry_flags, entry_gs, entry_user_gs, entry_regs[4];
uint64_t entry_sp_saved, entry_rflags;
uint8_t entry_mask;
void entry_run(void *user_rip);
extern char forbidden_entry_any[], entry_call[], entry_called[], entry_fault[];

__asm__("entry_run:\n"
	"	pushq %rbx\n"
	"	pushq %rbp\n"
	"	pushq %r12\n"
	"	movq %rsp, entry_sp_saved(%rip)\n"
	"	pushq $0xe02b\n"
	"	pushq $0x7654321\n"
	"	pushq entry_rflags(%rip)\n"
	"	pushq $0xe033\n"
	"	pushq %rdi\n"
	"	pushq $0\n"
	"	movabsq $0x1010101010101010, %rax\n"
	"	movabsq $0x1111222233334444, %rcx\n"
	"	movabsq $0x5555666677778888, %r11\n"
	"	movabsq $0x2020202020202020, %rdx\n"
	"	movabsq $0x3030303030303030, %rsi\n"
	"	movabsq $0x2000000000, %rdi\n"
	"	jmp hypercall_page + 23 * 32\n"
	"forbidden_entry_any:\n"
	"	movq %rsp, entry_rsp(%rip)\n"
	"	pushfq\n"
	"	popq entry_flags(%rip)\n"
	"	movq %rax, entry_regs(%rip)\n"
	"	movq %rdx, entry_regs+8(%rip)\n"
	"	movq %rsi, entry_regs+16(%rip)\n"
	"	movq %rdi, entry_regs+24(%rip)\n"
	"	movq %r12, entry_user_gs(%rip)\n"
	"	movq %gs:0, %rax\n"
	"	movq %rax, entry_gs(%rip)\n"
	"	movb pv_shared_info+1(%rip), %al\n"
	"	movb %al, entry_mask(%rip)\n"
	"	movb $1, pv_shared_info+1(%rip)\n"
	"	cld\n"
	"	movq %rsp, %rsi\n"
	"	leaq entry_frame(%rip), %rdi\n"
	"	movl $8, %ecx\n"
	"	rep movsq\n"
	"	movq entry_sp_saved(%rip), %rsp\n"
	"	popq %r12\n"
	"	popq %rbp\n"
	"	popq %rbx\n"
	"	ret\n"
	"entry_call: movq %gs:0, %r12\n"
	"	syscall\n"
	"entry_called: ud2\n"
	"entry_fault: movq %gs:0, %r12\n"
	"	movb $0, (%rdi)\n"
	"	jc entry_fault\n"); /* flags that nothing reads any more a translator may lose */

#define FAULT_AT (entry_fault + 9)

static char stack[4096] __attribute__((aligned(16)));
static uint64_t gs_kernel = GS_KERNEL, gs_user = GS_USER;

static void one(bool fault, uint64_t flags, bool mask)
{
	const uint64_t sp = (uint64_t)stack + sizeof(stack) - 8;
	const unsigned int n = fault ? 8 : 7;
	const uint64_t *f = entry_frame + n - 7; /* f[2] is rip either way */
	struct callback_register reg = {
		.type = CALLBACKTYPE_syscall,
		.flags = mask ? CALLBACKF_mask_events : 0,
		.address = (unsigned long)forbidden_entry_any,
	};
	char text[80];

#define EQ(what, got, want)                                                                      \
	(snprintf(text, sizeof(text), "%s, flags %lx, mask %u: " what, fault ? "fault" : "call", \
		  flags, mask),                                                                  \
	 check_eq(text, (long)(got), (long)(want)))

	HYPERVISOR_callback_op(CALLBACKOP_register, &reg);
	trap_set_entry(14, mask ? 4 : 0, (unsigned long)forbidden_entry_any);
	HYPERVISOR_stack_switch(FLAT_KERNEL_SS, sp);
	memset(entry_frame, 0x77, sizeof(entry_frame));
	entry_rflags = flags;
	entry_run(fault ? entry_fault : entry_call);
	if (fault)
		trap_set_entry(14, 0, 0);

	EQ("kernel stack, aligned down to 16", entry_rsp, (sp & ~15ul) - n * 8);
	EQ("rcx", entry_frame[0], fault ? RCX : (uint64_t)entry_called);
	EQ("r11", entry_frame[1], fault ? R11 : flags);
	if (fault) {
		EQ("error: a user's write", entry_frame[2], 6);
		EQ("cr2", this_vcpu->arch.cr2, NOTHING);
	}
	EQ("rip", f[2], fault ? FAULT_AT : entry_called);
	EQ("cs: rpl 3, no mask", f[3], FLAT_USER_CS);
	EQ("rflags", f[4] & ~0x10000ul, flags);
	EQ("rsp", f[5], USER_RSP);
	EQ("ss", f[6], FLAT_USER_SS);
	EQ("rax", entry_regs[0], RAX);
	EQ("rdx", entry_regs[1], RDX);
	EQ("rsi", entry_regs[2], RSI);
	EQ("rdi", entry_regs[3], NOTHING);
	EQ("the kernel's flags", entry_flags & NO_FLAGS, 0);
	EQ("the kernel's IF", entry_flags & FLAG_IF, FLAG_IF);
	EQ("the kernel's DF", entry_flags & FLAG_DF, fault ? flags & FLAG_DF : 0);
	EQ("the kernel's GS", entry_gs, GS_KERNEL);
	EQ("the user's GS", entry_user_gs, GS_USER);
	EQ("events masked", entry_mask, mask);
}

void test_main(void)
{
	static const uint64_t more[] = {
		0,	 FLAG_CF, FLAG_DF | FLAG_CF,
		FLAG_NT, FLAG_AC, FLAG_AC | FLAG_NT | FLAG_DF | FLAG_CF | 0x8d4};

	user_init();
	HYPERVISOR_set_segment_base(SEGBASE_GS_KERNEL, (unsigned long)&gs_kernel);
	HYPERVISOR_set_segment_base(SEGBASE_GS_USER, (unsigned long)&gs_user);
	for (unsigned int i = 0; i < ARRAY_SIZE(more); i++)
		for (unsigned int kind = 0; kind < 4; kind++)
			one(kind & 1, FLAG_IF | FLAG_ONE | more[i], kind & 2);
}
