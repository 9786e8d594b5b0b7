/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("ts-root",
     "CR0.TS that is set while another address space is loaded, or in front of two pages");

static void use_vectors(void *unused)
{
	__asm__ volatile("movq %%xmm0, %%rax" : : : "rax");
}

/* Set while another root was loaded, CR0.TS counts in the code that has run without it as well. */
static void task_switched(void)
{
	uint64_t *copy = page_alloc();
	const mfn_t old = va_to_mfn((void *)start_info->pt_base), new = va_to_mfn(copy);

	memcpy(copy, (void *)start_info->pt_base, PAGE_SIZE / 2);
	if (page_set_ro(copy, true) || mmuext(MMUEXT_PIN_L4_TABLE, new))
		panic("a second root");
	for (int i = 0; i < 3; i++) {
		check_eq("TS clear", vector_of(use_vectors, NULL), -1);
		check_eq("TS clear, again", vector_of(use_vectors, NULL), -1);
		mmuext(MMUEXT_NEW_BASEPTR, new);
		HYPERVISOR_fpu_taskswitch(1);
		mmuext(MMUEXT_NEW_BASEPTR, old);
		check_eq("TS set by another task", vector_of(use_vectors, NULL), 7);
	}
	if (mmuext(MMUEXT_UNPIN_TABLE, new) || page_set_ro(copy, false))
		panic("no root any more");
	page_free(copy);
}

/* An instruction that goes on in the next page is a block of its own. */
void across(void *unused);

__asm__(".pushsection .text.across, \"ax\"\n"
	"	.balign 4096\n"
	"	.fill 4093, 1, 0x90\n"
	"across: movq %xmm0, %rax\n"
	"	ret\n"
	".popsection");

static void two_pages(void)
{
	for (int i = 0; i < 3; i++) {
		check_eq("on two pages: TS clear", vector_of(across, NULL), -1);
		HYPERVISOR_fpu_taskswitch(1);
		check_eq("on two pages: TS set", vector_of(across, NULL), 7);
	}
}

void test_main(void)
{
	const mfn_t root = va_to_mfn((void *)start_info->pt_base);

	if (mmuext(MMUEXT_NEW_USER_BASEPTR, root) == -XEN_EOPNOTSUPP)
		skip("the guest's vector registers are the host's own here");
	mmuext(MMUEXT_NEW_USER_BASEPTR, 0);
	task_switched();
	two_pages();
}
