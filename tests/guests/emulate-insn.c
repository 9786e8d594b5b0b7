/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("emulate-insn", "privileged instructions fault or are emulated, but never just happen");

#define INSN(name, text, ...)                                             \
	static void __attribute__((noinline)) forbidden_##name(void *arg) \
	{                                                                 \
		__asm__ volatile(text __VA_ARGS__);                       \
	}

static uint8_t table[16] __attribute__((aligned(16)));

INSN(cli, "cli")
INSN(sti, "sti")
INSN(hlt, "hlt")
INSN(inb, "inb %%dx, %%al", ::"d"(0x60) : "rax")
INSN(inb_imm, "inb $0x61, %%al", ::: "rax")
INSN(outb, "outb %%al, %%dx", ::"d"(0x80), "a"(0))
INSN(outl, "outl %%eax, %%dx", ::"d"(0xcf8), "a"(0))
INSN(insb, "insb", ::"d"(0x60), "D"(table) : "memory")
INSN(lgdt, "lgdt %0", ::"m"(table))
INSN(lidt, "lidt %0", ::"m"(table))
INSN(ltr, "ltr %w0", ::"r"(0xe008))
INSN(lmsw, "lmsw %w0", ::"r"(1))
INSN(invd, "invd")
INSN(swapgs, "swapgs")
INSN(sysretq, "sysretq")
INSN(fep_ud, "ud2; .byte 'x', 'e', 'n'; ud2")
INSN(fep_half, "ud2; .byte 'x', 'e'")

static void forced_cpuid(void)
{
	struct cpuid r = forbidden_xen_cpuid(0x40000000, 0);

	check("cpuid: XenVMMXenVMM",
	      r.ebx == 0x566e6558 && r.ecx == 0x65584d4d && r.edx == 0x4d4d566e);
	check("cpuid: it names a last leaf", r.eax >= 0x40000002 && r.eax < 0x40000100);
	check_eq("cpuid: 4.17", forbidden_xen_cpuid(0x40000001, 0).eax, 4 << 16 | 17);
	check_eq("cpuid: one hypercall page", forbidden_xen_cpuid(0x40000002, 0).eax, 1);
	r = forbidden_xen_cpuid(1, 0);
	check_eq("cpuid 1: hypervisor present", r.ecx >> 31, 1);
	check_eq("cpuid 1: no VMX", r.ecx >> 5 & 1, 0);
	check_eq("cpuid 1: no PSE, PGE, MTRR for a domU", is_initial_domain() ? 0 : r.edx & 0x3008,
		 0);
	check_eq("cpuid 0x80000001: long mode, system call, no-execute",
		 forbidden_xen_cpuid(0x80000001, 0).edx >> 11 & 0x40201, 0x40201);
	check("cpuid 0: at least leaf 1", forbidden_xen_cpuid(0, 0).eax >= 1);
}

static const struct {
	const char *name;
	void (*fn)(void *);
	int vector;
} table_of[] = {
	{"cli", forbidden_cli, 13},
	{"sti", forbidden_sti, 13},
	{"hlt", forbidden_hlt, 13},
	{"in al, dx", forbidden_inb, 13},
	{"in al, imm", forbidden_inb_imm, 13},
	{"out dx, al", forbidden_outb, 13},
	{"out dx, eax", forbidden_outl, 13},
	{"ins", forbidden_insb, 13},
	{"lgdt", forbidden_lgdt, 13},
	{"lidt", forbidden_lidt, 13},
	{"ltr", forbidden_ltr, 13},
	{"lmsw", forbidden_lmsw, 13},
	{"invd", forbidden_invd, 13},
	{"swapgs", forbidden_swapgs, 13},
	{"sysret", forbidden_sysretq, 13},
	{"prefix before ud2", forbidden_fep_ud, 6},
	{"half a prefix", forbidden_fep_half, 6},
};

void test_main(void)
{
	forced_cpuid();
	for (unsigned int i = 0; i < ARRAY_SIZE(table_of); i++)
		check_eq(table_of[i].name, vector_of(table_of[i].fn, NULL), table_of[i].vector);
	check_eq("the mask is untouched", this_vcpu->evtchn_upcall_mask, 1);
}
