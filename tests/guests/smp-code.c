/* SPDX-License-Identifier: MIT */
/* vcpus: 2 */
#include "common.h"
#include "vcpu.h"

/*
 * One vCPU runs a piece of code without end while another one writes to it, twice each time: the
 * first store makes a translation of it out of date, and the second may come while the next one is
 * being made.
 */
TEST("smp-code", "code that another vCPU writes to is what it wrote in the end");

#define ROUNDS	 (is_slow() ? 200u : 1000u)
#define PATIENCE 20000
#define MAX_WAIT 64 /* times around a loop, between the two stores */

static char stack[4096] __attribute__((aligned(16)));
static uint8_t pages[2 * PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static volatile uint8_t *constant;
static volatile uint32_t written, seen, old, until;

/* `mov eax, constant; ret`, so that byte 1 of the constant is the one at `at`. */
static uint32_t (*code_make(unsigned int at))(void)
{
	static const uint8_t insn[] = {0xb8, 0, 0, 0, 0, 0xc3};

	constant = pages + at;
	return memcpy(pages + at - 2, insn, sizeof(insn));
}

static void main1(void)
{
	for (uint32_t k = 1; k <= 2 * ROUNDS; k++) {
		while (k > until)
			__asm__ volatile("pause");
		*constant = k ^ 0x80;
		for (volatile uint32_t i = 0; i < k % MAX_WAIT; i++)
			;
		*constant = k;
		__atomic_store_n(&written, k, __ATOMIC_SEQ_CST);
		while (seen != k)
			HYPERVISOR_sched_op(SCHEDOP_yield, NULL);
	}
	HYPERVISOR_vcpu_op(VCPUOP_down, 1, NULL);
}

static void serialize(void)
{
	uint32_t a = 0, b, c = 0, d;

	__asm__ volatile("ud2; .ascii \"xen\"; cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
}

static void watch(uint32_t (*code)(void))
{
	const uint32_t from = until;

	old = 0;
	until = from + ROUNDS;
	for (uint32_t k = from + 1; k <= from + ROUNDS; k++) {
		/* It may be that both have one processor. */
		for (unsigned int i = 1; written != k; i++) {
			code();
			if (i % PATIENCE == 0)
				HYPERVISOR_sched_op(SCHEDOP_yield, NULL);
		}
		serialize();
		old += (code() >> 8 & 0xff) != (k & 0xff);
		seen = k;
	}
}

void test_main(void)
{
	static struct vcpu_guest_context c;
	uint32_t (*code)(void);

	code = code_make(PAGE_SIZE);
	vcpu_context(&c, (void *)main1, stack, sizeof(stack));
	vcpu_start(1, &c);
	watch(code);
	check_eq("in a second page: how often it was another", old, 0);
	code = code_make(PAGE_SIZE / 2);
	watch(code);
	check_eq("in the first: how often it was another", old, 0);
}
