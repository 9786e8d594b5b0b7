/* SPDX-License-Identifier: MIT */
/* Self-test: exceptions and the frames they arrive in. */
#include <pv/mm.h>
#include "kernel.h"

#define FREE_VA 0x2000000000ul /* nothing is ever mapped here */

static char *ro_page;

static void do_ud(void *arg)
{
	__asm__ volatile(".globl probe_ud\nprobe_ud: ud2");
}

static void do_bp(void *arg)
{
	__asm__ volatile("int3; .globl probe_bp\nprobe_bp:");
}

static void do_de(void *arg)
{
	__asm__ volatile("xorl %%ecx, %%ecx; .globl probe_de\nprobe_de: divl %%ecx" ::
				 : "eax", "ecx", "edx", "cc");
}

static void do_int(void *arg)
{
	__asm__ volatile(".globl probe_int\nprobe_int: int $0x21");
}

static void do_soft(void *arg)
{
	__asm__ volatile("int $0x81; .globl probe_soft\nprobe_soft:");
}

static void do_non_canonical(void *arg)
{
	*(volatile char *)0x8000000000000000ul;
}

static void do_read(void *arg)
{
	*(volatile char *)arg;
}

static void do_write(void *arg)
{
	*(volatile char *)arg = 1;
}

static void do_call(void *arg)
{
	((void (*)(void))arg)();
}

static void do_nothing(void *arg)
{
}

extern char probe_ud[], probe_bp[], probe_de[], probe_int[], probe_soft[];

static void simple(const char *name, void (*fn)(void *), unsigned int vector, const char *rip,
		   uint64_t error)
{
	struct trap_regs regs;
	char text[64];
	bool got = trap_catch(fn, NULL, &regs);

	snprintf(text, sizeof(text), "trap: %s", name);
	check(text, got && regs.vector == vector && regs.error == error &&
			    (!rip || regs.rip == (unsigned long)rip));
}

static void page_fault(const char *name, void (*fn)(void *), unsigned long va, long error)
{
	struct trap_regs regs;
	char text[64];
	bool got = trap_catch(fn, (void *)va, &regs);

	snprintf(text, sizeof(text), "page fault: %s", name);
	check(text, got && regs.vector == 14);
	snprintf(text, sizeof(text), "page fault: %s: address", name);
	check_eq(text, (long)this_vcpu->arch.cr2, (long)va);
	snprintf(text, sizeof(text), "page fault: %s: error code", name);
	check_eq(text, (long)regs.error, error);
}

/*
 * The frame itself: an entry that copies what it finds at its stack pointer and returns. rcx and
 * r11 get known values; the stack pointer is odd on purpose, to see the alignment.
 */
uint64_t bounce_rsp, bounce_frame[8], bounce_before;
uint8_t bounce_mask;
extern char bounce_entry[], bounce_rip[];
void bounce_run(uint64_t rsp_offset);

__asm__(".globl bounce_entry\n"
	"bounce_entry:\n"
	"	movq %rsp, bounce_rsp(%rip)\n"
	"	movq %rax, %r11\n"
	"	xorl %ecx, %ecx\n"
	"1:	movq (%rsp,%rcx,8), %rax\n"
	"	movq %rax, bounce_frame(,%rcx,8)\n"
	"	incl %ecx\n"
	"	cmpl $7, %ecx\n"
	"	jne 1b\n"
	"	movb pv_shared_info+1(%rip), %al\n"
	"	movb %al, bounce_mask(%rip)\n"
	"	movq %r11, %rax\n"
	"	popq %rcx\n"
	"	popq %r11\n"
	"	pushq $0\n"
	"	jmp hypercall_page + 23 * 32\n"
	".globl bounce_run\n"
	"bounce_run:\n"
	"	pushq %rbp\n"
	"	movq %rsp, %rbp\n"
	"	andq $-16, %rsp\n"
	"	subq %rdi, %rsp\n"
	"	movq %rsp, bounce_before(%rip)\n"
	"	movabsq $0x1111222233334444, %rcx\n"
	"	movabsq $0x5555666677778888, %r11\n"
	"	std\n"
	"	int3\n"
	".globl bounce_rip\n"
	"bounce_rip:\n"
	"	cld\n"
	"	movq %rbp, %rsp\n"
	"	popq %rbp\n"
	"	ret\n");

static void bounce(uint8_t flags, bool masked)
{
	check_eq("bounce: set_trap_table", trap_set_entry(3, flags, (unsigned long)bounce_entry),
		 0);
	bounce_run(masked ? 24 : 16);
	check_eq("bounce: the stack is aligned to 16 first", (long)bounce_rsp,
		 (long)((bounce_before & ~15ul) - 56));
	check_eq("bounce: rcx", (long)bounce_frame[0], 0x1111222233334444);
	check_eq("bounce: r11", (long)bounce_frame[1], 0x5555666677778888);
	check_eq("bounce: rip", (long)bounce_frame[2], (long)bounce_rip);
	check_eq("bounce: cs holds the old upcall mask in its upper half", (long)bounce_frame[3],
		 (masked ? 1l << 32 : 0) | 0xe030);
	check_eq("bounce: rflags.IF is the old upcall mask inverted", bounce_frame[4] >> 9 & 1,
		 !masked);
	check_eq("bounce: rflags.DF as it was", bounce_frame[4] >> 10 & 1, 1);
	check_eq("bounce: rflags.IOPL is 0", bounce_frame[4] >> 12 & 3, 0);
	check_eq("bounce: rsp", (long)bounce_frame[5], (long)bounce_before);
	check_eq("bounce: ss", (long)bounce_frame[6], 0xe02b);
	check_eq("bounce: upcalls masked if the gate says so", bounce_mask, masked || (flags & 4));
	check_eq("bounce: iret restores the mask", this_vcpu->evtchn_upcall_mask, masked);
}

struct cpuid {
	uint32_t eax, ebx, ecx, edx;
};

/* The paravirtual cpuid: an invalid opcode that spells xen, then the instruction. */
static struct cpuid __attribute__((noinline)) forbidden_xen_cpuid(uint32_t leaf)
{
	struct cpuid r;

	__asm__ volatile("ud2; .byte 'x', 'e', 'n'; cpuid"
			 : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
			 : "a"(leaf), "c"(0));
	return r;
}

static void forced_cpuid(void)
{
	struct cpuid r = forbidden_xen_cpuid(0x40000000);

	check("cpuid: the hypervisor's signature", !memcmp(&r.ebx, "XenV", 4) &&
							   !memcmp(&r.ecx, "MMXe", 4) &&
							   !memcmp(&r.edx, "nVMM", 4));
	r = forbidden_xen_cpuid(0x40000001);
	check_eq("cpuid: the hypervisor's version", r.eax, 4 << 16 | 17);
}

void selftest_traps(void)
{
	struct trap_regs regs;

	check_eq("trap: none", trap_catch(do_nothing, NULL, &regs), 0);
	simple("invalid opcode", do_ud, 6, probe_ud, 0);
	simple("breakpoint, rip behind it", do_bp, 3, probe_bp, 0);
	simple("divide error", do_de, 0, probe_de, 0);
	simple("int without a gate is a protection fault", do_int, 13, probe_int, 0x21 << 3 | 2);
	simple("int through a gate", do_soft, 0x81, probe_soft, 0);
	simple("non-canonical address", do_non_canonical, 13, NULL, 0);
	page_fault("read", do_read, FREE_VA, 0);
	page_fault("write", do_write, FREE_VA + 123, 2);
	page_fault("execute", do_call, FREE_VA, 0x10);
	ro_page = page_alloc();
	check_eq("page made read-only", page_set_ro(ro_page, true), 0);
	page_fault("write to a read-only page", do_write, (unsigned long)ro_page + 8, 3);
	check_eq("reading it works", trap_catch(do_read, ro_page, &regs), 0);
	page_set_ro(ro_page, false);
	check_eq("page made writable again", trap_catch(do_write, ro_page, &regs), 0);
	HYPERVISOR_update_va_mapping((unsigned long)ro_page,
				     mfn_pte(va_to_mfn(ro_page), PTE_KERN | PTE_NX), UVMF_INVLPG);
	*ro_page = (char)0xc3;
	page_fault("execute from a no-execute page", do_call, (unsigned long)ro_page, 0x11);
	page_set_ro(ro_page, false);
	check_eq("execute when allowed", trap_catch(do_call, ro_page, &regs), 0);
	page_free(ro_page);
	bounce(3, false);
	upcalls_disable();
	bounce(3, true);
	upcalls_enable();
	bounce(3 | 4, false);
	trap_set_entry(3, 0, 0);
	simple("the usual entry is back", do_bp, 3, probe_bp, 0);
	forced_cpuid();
}
