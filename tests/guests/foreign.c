/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("foreign", "what a program of the toolstack maps to write to is no page table meanwhile");

#define LIMIT (60 * SEC)

/* A page that both see: tests/cli/foreign.c counts the steps up, and so do we. */
static volatile uint64_t *mail;
static uint64_t *page;

static void step_await(uint64_t step)
{
	uint64_t start = time_ns();

	while (mail[0] != step && time_ns() - start < LIMIT)
		HYPERVISOR_sched_op(SCHEDOP_yield, NULL);
	check_eq("the program's step", (long)mail[0], (long)step);
}

/* As long as the other side needs to let go of it. */
static long pin_soon(const void *table)
{
	uint64_t start = time_ns();
	long rc;

	do
		rc = mmuext(MMUEXT_PIN_L1_TABLE, va_to_mfn(table));
	while (rc && time_ns() - start < LIMIT);
	return rc;
}

void test_main(void)
{
	if (!strstr((const char *)start_info->cmd_line, "mapped"))
		skip("it takes a program that maps its pages: tests/guests/run-pair");
	mail = page_alloc();
	page = page_alloc();
	memset((void *)mail, 0, PAGE_SIZE);
	memset(page, 0, PAGE_SIZE);
	printf("mapped: %lu %lu\n", va_to_mfn((void *)mail), va_to_mfn(page));

	step_await(1);
	check_eq("it writes to the page", (long)page[0], 0x1000);
	check_eq("not writable here any more", page_set_ro(page, true), 0);
	check_eq("but there", mmuext(MMUEXT_PIN_L1_TABLE, va_to_mfn(page)), -XEN_EINVAL);
	mail[0] = 2;
	check_eq("a table, once it is unmapped", pin_soon(page), 0);
	mail[0] = 3;
	step_await(4);
	check_eq("a table is not mapped to write to", (long)mail[1], XEN_EINVAL);
	check_eq("its neighbour is", (long)mail[2], 1);
	check_eq("a table is mapped to read", (long)mail[3], 1);
	check_eq("nobody wrote to it", (long)page[0], 0x1000);
	/* The program has ended, or is about to, with this one mapped. */
	memset((void *)mail, 0, PAGE_SIZE);
	check_eq("nor this one", page_set_ro((void *)mail, true), 0);
	check_eq("a table, once the program has ended", pin_soon((void *)mail), 0);
}
