/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("scan-fates", "sensitive instructions meet the fate that `pvctl scan` tells, at I/O level 1");

#define INSN(name, text, ...)                                             \
	static void __attribute__((noinline)) forbidden_##name(void *arg) \
	{                                                                 \
		__asm__ volatile(text __VA_ARGS__);                       \
	}

#define NONE  (-1)
#define FAULT (-2) /* #GP or #UD: which depends on the CPU */

static uint8_t area[4096] __attribute__((aligned(64)));
static uint64_t value;

INSN(cli, "cli")
INSN(sti, "sti")
INSN(popf, "pushf; andl $~0x200, (%%rsp); popf", ::: "memory", "cc")
INSN(pushf, "pushf; pop %0", : "=r"(value)::"memory")
INSN(iret,
     "mov %%ss, %%eax; push %%rax; lea 8(%%rsp), %%rcx; push %%rcx; pushf; andl $~0x200, (%%rsp);"
     "mov %%cs, %%eax; push %%rax; lea 1f(%%rip), %%rcx; push %%rcx; iretq; 1:",
     ::
	     : "rax", "rcx", "memory", "cc")
INSN(iret_ring0,
     "mov %%ss, %%eax; push %%rax; lea 8(%%rsp), %%rcx; push %%rcx; pushf;"
     "mov %%cs, %%eax; and $~3, %%eax; push %%rax; lea 1f(%%rip), %%rcx; push %%rcx; iretq; 1:",
     ::
	     : "rax", "rcx", "memory", "cc")
INSN(lret_ring0,
     "mov %%cs, %%eax; and $~3, %%eax; push %%rax; lea 1f(%%rip), %%rax; push %%rax; lretq; 1:", ::
	     : "rax", "memory", "cc")
INSN(sgdt, "sgdt %0", : "=m"(area))
INSN(sidt, "sidt %0", : "=m"(area))
INSN(sldt, "sldt %%eax", ::: "rax")
INSN(str, "str %%eax", ::: "rax")
INSN(smsw, "smsw %%eax", ::: "rax")
INSN(lar, "lar %%ecx, %%eax", ::"c"(0x33) : "rax", "cc")
INSN(lsl, "lsl %%ecx, %%eax", ::"c"(0x33) : "rax", "cc")
INSN(verr, "verr %%cx", ::"c"(0x33) : "cc")
INSN(verw, "verw %%cx", ::"c"(0x33) : "cc")
INSN(cpuid, "cpuid", ::"a"(0), "c"(0) : "rbx", "rdx")
INSN(rdtsc, "rdtsc", ::: "rax", "rdx")
INSN(mov_cs, "mov %%cs, %0", : "=r"(value))
INSN(hlt, "hlt")
INSN(sysret, "sysretq")
INSN(sysexit, "sysexitl")
INSN(swapgs, "swapgs")
INSN(lgdt, "lgdt %0", ::"m"(area))
INSN(lidt, "lidt %0", ::"m"(area))
INSN(lldt, "lldt %w0", ::"r"(0))
INSN(ltr, "ltr %w0", ::"r"(0xe008))
INSN(lmsw, "lmsw %w0", ::"r"(1))
INSN(rdpmc, "rdpmc", ::"c"(0) : "rax", "rdx")
INSN(invlpg, "invlpg %0", ::"m"(area))
INSN(invpcid, "invpcid %0, %1", ::"m"(area), "r"(2UL))
INSN(invd, "invd")
INSN(mov_cr8, "mov %%cr8, %%rax", ::: "rax")
INSN(stac, "stac")
INSN(clac, "clac")
INSN(monitor, "monitor", ::"a"(area), "c"(0), "d"(0))
INSN(mwait, "mwait", ::"a"(0), "c"(0))
INSN(xsaves, "xsaves %0", : "=m"(area) : "a"(0), "d"(0))
INSN(vmxoff, "vmxoff")
INSN(vmread, "vmread %%rax, %%rcx", ::"a"(0) : "rcx", "cc")
INSN(getsec, "getsec", ::"a"(1))
INSN(rsm, "rsm")
INSN(clts, "clts")
INSN(read_cr0, "mov %%cr0, %%rax", ::: "rax")
INSN(read_cr2, "mov %%cr2, %%rax", ::: "rax")
INSN(read_cr3, "mov %%cr3, %%rax", ::: "rax")
INSN(read_cr4, "mov %%cr4, %%rax", ::: "rax")
INSN(read_dr7, "mov %%dr7, %%rax", ::: "rax")
INSN(rdmsr, "rdmsr", ::"c"(0xc0000080) : "rax", "rdx")
INSN(rdmsr_none, "rdmsr", ::"c"(0x12345678) : "rax", "rdx")
INSN(wrmsr_none, "wrmsr", ::"c"(0x12345678), "a"(0), "d"(0))
INSN(wbinvd, "wbinvd")
INSN(in, "inb $0xed, %%al", ::: "rax")
INSN(ins, "insb", ::"d"(0xed), "D"(area) : "memory")
INSN(out, "outb %%al, $0xed", ::"a"(0))

static const struct {
	const char *name;
	void (*fn)(void *);
	int vector;
} fates[] = {
	/* silent: never the guest's own */
	{"cli", forbidden_cli, NONE},
	{"sti", forbidden_sti, NONE},
	{"pushf", forbidden_pushf, NONE},
	{"popf", forbidden_popf, NONE},
	{"iret", forbidden_iret, NONE},
	{"sgdt", forbidden_sgdt, NONE},
	{"sidt", forbidden_sidt, NONE},
	{"sldt", forbidden_sldt, NONE},
	{"str", forbidden_str, NONE},
	{"smsw", forbidden_smsw, NONE},
	{"lar", forbidden_lar, NONE},
	{"lsl", forbidden_lsl, NONE},
	{"verr", forbidden_verr, NONE},
	{"cpuid", forbidden_cpuid, NONE},
	/* note */
	{"verw", forbidden_verw, NONE},
	{"rdtsc", forbidden_rdtsc, NONE},
	{"mov from cs", forbidden_mov_cs, NONE},
	/* faults */
	{"iret to ring 0", forbidden_iret_ring0, 13},
	{"far return to ring 0", forbidden_lret_ring0, 13},
	{"hlt", forbidden_hlt, 13},
	{"sysret", forbidden_sysret, 13},
	{"sysexit", forbidden_sysexit, FAULT},
	{"swapgs", forbidden_swapgs, 13},
	{"lgdt", forbidden_lgdt, 13},
	{"lidt", forbidden_lidt, 13},
	{"lldt", forbidden_lldt, 13},
	{"ltr", forbidden_ltr, 13},
	{"lmsw", forbidden_lmsw, 13},
	{"rdpmc", forbidden_rdpmc, 13},
	{"invlpg", forbidden_invlpg, 13},
	{"invpcid", forbidden_invpcid, FAULT},
	{"invd", forbidden_invd, 13},
	{"mov from cr8", forbidden_mov_cr8, 13},
	{"stac", forbidden_stac, 6},
	{"clac", forbidden_clac, 6},
	{"monitor", forbidden_monitor, 6},
	{"mwait", forbidden_mwait, 6},
	{"xsaves", forbidden_xsaves, FAULT},
	{"vmxoff", forbidden_vmxoff, FAULT},
	{"vmread", forbidden_vmread, FAULT},
	{"getsec", forbidden_getsec, FAULT},
	{"rsm", forbidden_rsm, FAULT},
	/* emulated */
	{"clts", forbidden_clts, NONE},
	{"mov from cr0", forbidden_read_cr0, NONE},
	{"mov from cr2", forbidden_read_cr2, NONE},
	{"mov from cr3", forbidden_read_cr3, NONE},
	{"mov from cr4", forbidden_read_cr4, NONE},
	{"mov from dr7", forbidden_read_dr7, NONE},
	{"rdmsr", forbidden_rdmsr, NONE},
	{"rdmsr of what is not there", forbidden_rdmsr_none, 13},
	{"wrmsr of what is not there", forbidden_wrmsr_none, 13},
	{"wbinvd", forbidden_wbinvd, NONE},
	{"in", forbidden_in, NONE},
	{"out", forbidden_out, NONE},
};

/* IF is the CPU's own whatever the guest does. */
static void interrupt_flag(const char *name, void (*fn)(void *))
{
	fn(NULL);
	forbidden_pushf(NULL);
	check_eq(name, value & FLAG_IF, FLAG_IF);
	check_eq("the mask is the guest's", this_vcpu->evtchn_upcall_mask, 1);
}

void test_main(void)
{
	struct physdev_set_iopl one = {.iopl = 1};

	check_eq("set_iopl", HYPERVISOR_physdev_op(PHYSDEVOP_set_iopl, &one), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(fates); i++) {
		const int vector = vector_of(fates[i].fn, NULL);

		if (fates[i].vector == FAULT)
			check(fates[i].name, vector == 6 || vector == 13);
		else
			check_eq(fates[i].name, vector, fates[i].vector);
	}
	/* Xen carries it out port by port; Pavane does not. */
	check_eq("ins", vector_of(forbidden_ins, NULL), is_initial_domain() ? NONE : 13);
	interrupt_flag("pushf with all masked", forbidden_cli);
	interrupt_flag("after popf", forbidden_popf);
	interrupt_flag("after iret", forbidden_iret);
	forbidden_mov_cs(NULL);
	check_eq("cs has RPL 3", value & 3, 3);
}
