/* SPDX-License-Identifier: MIT */
#include "user.h"

/*
 * A window is filled in a kick's time: to no use if it is another's at the next turn. How often
 * that happens tests/guests/user-bounds counts.
 */
TEST("user-crowd", "more hot address spaces than there are windows, one after the other");

#define SLOT   2ul
#define AREA   (SLOT << 39)
#define FEW    4
#define MANY   10 /* more than there are windows; each has had a kick when its turn is over */
#define PAGES  512
#define FRAMES 64
#define ROUNDS (is_slow() ? 4u : 16u)

static uint64_t *root[MANY];
static uint8_t *data[FRAMES];

/* Reads the first word of each page from rdi on, 80 times. */
extern const char crowd_sum[];
__asm__(".pushsection .text\n"
	"crowd_sum: movl $80, %edx\n"
	"2:	movq %rdi, %rax\n"
	"	movl $400, %ecx\n"
	"1:	addq (%rax), %rbx\n"
	"	addq $4096, %rax\n"
	"	decl %ecx\n"
	"	jnz 1b\n"
	"	decl %edx\n"
	"	jnz 2b\n"
	"	ret\n"
	".popsection\n");

static uint64_t *table(const uint64_t *below)
{
	uint64_t *t = page_alloc();

	t[0] = mfn_pte(va_to_mfn(below), PTE_KERN);
	check_eq("a table", page_set_ro(t, true), 0);
	return t;
}

static void space(unsigned int s)
{
	uint64_t *l1 = page_alloc();

	for (unsigned int i = 0; i < PAGES; i++)
		l1[i] = mfn_pte(va_to_mfn(data[(s + i * 7) % FRAMES]), PTE_KERN);
	check_eq("an L1 table", page_set_ro(l1, true), 0);
	root[s] = page_alloc();
	root[s][0] = user_root[0];
	root[s][SLOT] = mfn_pte(va_to_mfn(table(table(l1))), PTE_KERN);
	check_eq("a root", page_set_ro(root[s], true), 0);
	check_eq("pinned", mmuext(MMUEXT_PIN_L4_TABLE, va_to_mfn(root[s])), 0);
}

static uint64_t sum_of(unsigned int s)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < 400; i++)
		sum += (s + i * 7) % FRAMES;
	return 80 * sum;
}

/* `spaces` that have their turns of two milliseconds one after the other, in each a kick. */
static void turns(unsigned int spaces)
{
	struct trap_regs regs;
	uint64_t start;

	for (unsigned int i = 0; i < ROUNDS * spaces; i++) {
		start = time_ns();
		mmuext(MMUEXT_NEW_USER_BASEPTR, va_to_mfn(root[i % spaces]));
		HYPERVISOR_set_timer_op(start + MSEC);
		while (time_ns() - start < 2 * MSEC) {
			user_run((void (*)(void *))crowd_sum, (void *)AREA, &regs);
			check_eq("the sum of its pages", regs.rbx, sum_of(i % spaces));
		}
	}
}

void test_main(void)
{
	user_init();
	for (unsigned int i = 0; i < FRAMES; i++) {
		data[i] = page_alloc();
		*(uint64_t *)data[i] = i;
		page_alloc();
	}
	for (unsigned int s = 0; s < MANY; s++)
		space(s);
	turns(FEW);
	turns(MANY);
	mmuext(MMUEXT_NEW_USER_BASEPTR, va_to_mfn(user_root));
}
