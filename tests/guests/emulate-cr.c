/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("emulate-cr", "kernels read and write control registers and MSRs as if they owned them");

#define TS 8ul

#define READ_CR(n)                                                                    \
	static uint64_t __attribute__((noinline)) forbidden_read_cr##n(void)          \
	{                                                                             \
		uint64_t v;                                                           \
		__asm__ volatile("movq %%cr" #n ", %0" : "=r"(v));                    \
		return v;                                                             \
	}                                                                             \
	static void __attribute__((noinline)) forbidden_write_cr##n(void *arg)        \
	{                                                                             \
		__asm__ volatile("movq %0, %%cr" #n ::"r"((uint64_t)arg) : "memory"); \
	}

READ_CR(0)
READ_CR(2)
READ_CR(3)
READ_CR(4)

static void __attribute__((noinline)) forbidden_read_dr4(void *arg)
{
	uint64_t v;

	__asm__ volatile(".byte 0x0f, 0x21, 0xe0" : "=a"(v)); /* mov %dr4, %rax */
}

static void __attribute__((noinline)) forbidden_clts(void *arg)
{
	__asm__ volatile("clts");
}

static uint64_t msr_value;

static void __attribute__((noinline)) forbidden_rdmsr(void *arg)
{
	uint32_t lo, hi;

	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"((uint32_t)(unsigned long)arg));
	msr_value = (uint64_t)hi << 32 | lo;
}

static void __attribute__((noinline)) forbidden_wrmsr(void *arg)
{
	__asm__ volatile("wrmsr" ::"a"((uint32_t)msr_value), "d"((uint32_t)(msr_value >> 32)),
			 "c"((uint32_t)(unsigned long)arg)
			 : "memory");
}

static uint64_t rdmsr(uint32_t msr)
{
	msr_value = 0;
	check_eq("rdmsr", vector_of(forbidden_rdmsr, (void *)(unsigned long)msr), -1);
	return msr_value;
}

static int wrmsr(uint32_t msr, uint64_t value)
{
	msr_value = value;
	return vector_of(forbidden_wrmsr, (void *)(unsigned long)msr);
}

#define OWN_CR4 0x5000cul /* TSD DE FSGSBASE OSXSAVE, as far as the CPU has them */

/* A guest may choose four bits; what it wants of others is ignored, and no fault. */
static void cr4_bits(uint64_t cr4)
{
	for (unsigned int i = 0; i < 32; i++) {
		const uint64_t bit = 1ul << i;

		check_eq("cr4: write a bit", vector_of(forbidden_write_cr4, (void *)(cr4 ^ bit)),
			 -1);
		if (bit & OWN_CR4)
			continue;
		check_eq("cr4: one that is not the guest's", (long)forbidden_read_cr4(), (long)cr4);
	}
	check_eq("cr4: DE", vector_of(forbidden_write_cr4, (void *)(cr4 | 8)), -1);
	check_eq("cr4: DE is set", (long)forbidden_read_cr4(), (long)(cr4 | 8));
	check_eq("dr4: there is none", vector_of(forbidden_read_dr4, NULL), 6);
	check_eq("cr4: write back", vector_of(forbidden_write_cr4, (void *)cr4), -1);
	check_eq("cr4: as before", (long)forbidden_read_cr4(), (long)cr4);
	check_eq("dr4: another name of dr6", vector_of(forbidden_read_dr4, NULL), -1);
}

static void control(void)
{
	uint64_t cr0 = forbidden_read_cr0(), cr4 = forbidden_read_cr4();

	check_eq("cr0: PE and PG", (long)(cr0 & 0x80000001), 0x80000001);
	check_eq("cr4: PAE", (long)(cr4 & 0x20), 0x20);
	check_eq("cr3 names the root", (long)(forbidden_read_cr3() & PTE_MFN),
		 (long)(va_to_mfn((void *)start_info->pt_base) << PAGE_SHIFT));
	check_eq("cr0: write back", vector_of(forbidden_write_cr0, (void *)cr0), -1);
	check_eq("cr0: set TS", vector_of(forbidden_write_cr0, (void *)(cr0 | TS)), -1);
	check_eq("cr0: TS is set", (long)(forbidden_read_cr0() & TS), TS);
	check_eq("clts", vector_of(forbidden_clts, NULL), -1);
	check_eq("cr0: TS is clear", (long)(forbidden_read_cr0() & TS), 0);
	check_eq("fpu_taskswitch", HYPERVISOR_fpu_taskswitch(1), 0);
	check_eq("cr0: TS is set by it", (long)(forbidden_read_cr0() & TS), TS);
	check_eq("fpu_taskswitch", HYPERVISOR_fpu_taskswitch(0), 0);
	check_eq("cr0: PG stays", vector_of(forbidden_write_cr0, (void *)(cr0 & ~(1ul << 31))), 13);
	check_eq("cr4: write back", vector_of(forbidden_write_cr4, (void *)cr4), -1);
	cr4_bits(cr4);
	check_eq("cr2: write", vector_of(forbidden_write_cr2, (void *)0x123456), -1);
	check_eq("cr2: reads back", (long)forbidden_read_cr2(), 0x123456);
	check_eq("cr2: is the one in memory", (long)this_vcpu->arch.cr2, 0x123456);
	check_eq("cr3: write back", vector_of(forbidden_write_cr3, (void *)forbidden_read_cr3()),
		 -1);
	check_eq("cr3: a frame that is none",
		 vector_of(forbidden_write_cr3, (void *)(BAD_MFN << PAGE_SHIFT)), 13);
}

static uint64_t target = 0x1234abcd5678ef00;

static uint64_t __attribute__((noinline)) read_gs(void)
{
	uint64_t v;

	__asm__ volatile("movq %%gs:0, %0" : "=r"(v));
	return v;
}

static uint64_t read_fs(void)
{
	uint64_t v;

	__asm__ volatile("movq %%fs:0, %0" : "=r"(v));
	return v;
}

static void fs_base(void)
{
	check_eq("FS base by hypercall", HYPERVISOR_set_segment_base(SEGBASE_FS, (uint64_t)&target),
		 0);
	check_eq("FS base: in effect", (long)read_fs(), (long)target);
	check_eq("FS base", wrmsr(0xc0000100, 0x8765000), -1);
	check_eq("FS base: reads back", (long)rdmsr(0xc0000100), 0x8765000);
	check_eq("FS base: not canonical", wrmsr(0xc0000100, NON_CANON), 13);
	check_eq("FS base: unchanged", (long)rdmsr(0xc0000100), 0x8765000);
	check_eq("FS base: back", wrmsr(0xc0000100, (uint64_t)&target), -1);
	check_eq("FS base: in effect after a fault", (long)read_fs(), (long)target);
	check_eq("a hypercall", HYPERVISOR_xen_version(XENVER_version, NULL), 4 << 16 | 17);
	check_eq("FS base: in effect after a hypercall", (long)read_fs(), (long)target);
	check_eq("FS base: none", HYPERVISOR_set_segment_base(SEGBASE_FS, 0), 0);
	check_eq("FS base: reads back", (long)rdmsr(0xc0000100), 0);
}

void test_main(void)
{
	control();
	check_eq("EFER: long mode, SCE", (long)(rdmsr(0xc0000080) & 0x501), 0x501);
	check_eq("GS base", wrmsr(0xc0000101, (uint64_t)&target), -1);
	check_eq("GS base: in effect", (long)read_gs(), (long)target);
	check_eq("GS base: reads back", (long)rdmsr(0xc0000101), (long)&target);
	check_eq("kernel GS base", wrmsr(0xc0000102, 0x4321000), -1);
	check_eq("kernel GS base: reads back", (long)rdmsr(0xc0000102), 0x4321000);
	fs_base();
	check_eq("rdmsr of none", vector_of(forbidden_rdmsr, (void *)0x40001234), 13);
	check_eq("wrmsr of none", wrmsr(0x40001234, 0), 13);
	check_eq("PAT: Xen's layout", (long)rdmsr(0x277), 0x050100070406);
}
