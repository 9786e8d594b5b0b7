/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("seg-base", "a segment base that is set leaves alone what the guest itself made of another");

#define CR4_FSGSBASE 0x10000ul

static uint64_t areas[3] = {100, 101, 102};

static void __attribute__((noinline)) forbidden_fsgsbase_on(void *arg)
{
	uint64_t cr4;

	__asm__ volatile("movq %%cr4, %0" : "=r"(cr4));
	__asm__ volatile("movq %0, %%cr4" : : "r"(cr4 | CR4_FSGSBASE));
}

static void gs_set(void *base)
{
	__asm__ volatile("wrgsbase %0" : : "r"(base) : "memory");
}

static void check_gs(const char *what, long want)
{
	long value;

	__asm__ volatile("movq %%gs:0, %0" : "=r"(value));
	check_eq(what, value, want);
}

static void set(unsigned int which, const void *base)
{
	check_eq("set_segment_base", HYPERVISOR_set_segment_base(which, (unsigned long)base), 0);
}

void test_main(void)
{
	if (vector_of(forbidden_fsgsbase_on, NULL) >= 0)
		skip("no CR4.FSGSBASE");
	set(SEGBASE_GS_KERNEL, &areas[0]);
	check_gs("by hypercall", 100);
	if (vector_of(gs_set, &areas[1]) >= 0)
		skip("no WRGSBASE");
	check_gs("by the instruction", 101);
	set(SEGBASE_GS_USER, &areas[2]);
	check_gs("after the user's", 101);
	set(SEGBASE_GS_USER_SEL, NULL);
	check_gs("after the user's selector", 101);
	set(SEGBASE_FS, &areas[2]);
	check_gs("after FS", 101);
	set(SEGBASE_FS, NULL);
	set(SEGBASE_GS_KERNEL, &areas[2]);
	check_gs("by hypercall again", 102);
}
