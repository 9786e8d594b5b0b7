/* SPDX-License-Identifier: MIT */
/* vcpus: 2 */
#include "common.h"
#include "vcpu.h"

TEST("smp-split", "locked instructions on two pages are atomic to all others");

#define ROUNDS 5000

static char stack[4096] __attribute__((aligned(16)));
static uint8_t pages[2 * PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static volatile uint32_t ready;

/* Over the end of the first page: the second half of it is the second page's first word. */
static uint64_t *const across = (uint64_t *)(pages + PAGE_SIZE - 4);
static uint32_t *const second = (uint32_t *)(pages + PAGE_SIZE);

static void add_across(void)
{
	for (unsigned int i = 0; i < ROUNDS; i++)
		__asm__ volatile("lock incq %0" : "+m"(*across));
}

static void add_second(void)
{
	for (unsigned int i = 0; i < ROUNDS; i++)
		__asm__ volatile("lock incl %0" : "+m"(*second));
}

/* Both vCPUs come here before either goes on. */
static void meet(uint32_t n)
{
	__atomic_add_fetch(&ready, 1, __ATOMIC_SEQ_CST);
	while (ready < n)
		__asm__ volatile("pause");
}

static void main1(void)
{
	meet(2);
	add_across();
	meet(4);
	meet(6);
	add_across();
	meet(8);
	HYPERVISOR_vcpu_op(VCPUOP_down, 1, NULL);
}

void test_main(void)
{
	static struct vcpu_guest_context c;

	vcpu_context(&c, (void *)main1, stack, sizeof(stack));
	vcpu_start(1, &c);
	meet(2);
	add_across();
	meet(4);
	check_eq("two across the pages", *(uint32_t *)across, 2 * ROUNDS);
	meet(6);
	add_second();
	meet(8);
	check_eq("one across, and one in the second page: its own", *second, ROUNDS);
	check_eq("and the other's", *(uint32_t *)across, 3 * ROUNDS);
}
