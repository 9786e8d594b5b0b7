/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("emulate-msr", "kernels read model-specific registers to find out what the CPU can do");

static uint64_t value;

static void __attribute__((noinline)) forbidden_rdmsr(void *arg)
{
	uint32_t lo, hi;

	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"((uint32_t)(unsigned long)arg));
	value = (uint64_t)hi << 32 | lo;
}

static void __attribute__((noinline)) forbidden_wrmsr(void *arg)
{
	__asm__ volatile("wrmsr" ::"a"((uint32_t)value), "d"((uint32_t)(value >> 32)),
			 "c"((uint32_t)(unsigned long)arg)
			 : "memory");
}

static int rdmsr(uint32_t msr)
{
	value = ~0ul;
	return vector_of(forbidden_rdmsr, (void *)(unsigned long)msr);
}

static int wrmsr(uint32_t msr, uint64_t v)
{
	value = v;
	return vector_of(forbidden_wrmsr, (void *)(unsigned long)msr);
}

#define GP	    13
#define NO_FAULT    (-1)
#define APIC_BASE   0x01b
#define FEATURES    0x03a
#define MICROCODE   0x08b
#define PLATFORM    0x0ce
#define SWITCHES    0x140
#define MISC_ENABLE 0x1a0
#define PAT	    0x277

static const struct {
	uint32_t msr;
	const char *read, *write;
	int may_read, may_write; /* what was read */
} table[] = {
	{0x010, "TSC: read", "TSC: write", NO_FAULT, GP},
	{APIC_BASE, "APIC base: read", "APIC base: write", NO_FAULT, GP},
	{FEATURES, "feature control: read", "feature control: write", NO_FAULT, GP},
	{MICROCODE, "microcode: read", NULL, NO_FAULT, NO_FAULT},
	{PLATFORM, "platform information: read", "platform information: write", NO_FAULT, GP},
	{SWITCHES, "feature switches: read", "feature switches: write", NO_FAULT, NO_FAULT},
	{0x179, "machine check: read", "machine check: write", NO_FAULT, NO_FAULT},
	{0x17a, "machine check status: read", "its write", NO_FAULT, NO_FAULT},
	{MISC_ENABLE, "miscellaneous: read", "miscellaneous: write", NO_FAULT, NO_FAULT},
	{PAT, "PAT: read", "PAT: write", NO_FAULT, GP},
	{0x034, "SMI count", NULL, GP, GP},
	{0x04e, "serial number", NULL, GP, GP},
	{0x0fe, "MTRRs", NULL, GP, GP},
	{0x174, "sysenter", NULL, GP, GP},
	{0x606, "power", NULL, GP, GP},
	{0xc0000081, "STAR", NULL, GP, GP},
	{0xc0000082, "LSTAR", NULL, GP, GP},
};

void test_main(void)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(table); i++) {
		check_eq(table[i].read, rdmsr(table[i].msr), table[i].may_read);
		if (table[i].write)
			check_eq(table[i].write, wrmsr(table[i].msr, value), table[i].may_write);
	}
	rdmsr(APIC_BASE);
	check_eq("APIC base: the boot CPU's", (long)value, 0xfee00900);
	rdmsr(FEATURES);
	check_eq("feature control: locked, no VMX", (long)value, 1);
	check_eq("microcode: ask for it", wrmsr(MICROCODE, 0), NO_FAULT);
	check_eq("microcode: load one", wrmsr(MICROCODE, 1), GP);
	check_eq("feature switches: bit 1 is none", wrmsr(SWITCHES, 2), GP);
	rdmsr(MISC_ENABLE);
	check_eq("miscellaneous: no branch trace, no precise events", (long)(value & 0x801880),
		 0x801800);
}
