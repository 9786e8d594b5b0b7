/* SPDX-License-Identifier: MIT */
#include "user.h"

/*
 * The host lets an ordinary process have nothing at its first addresses (vm.mmap_min_addr), where
 * the translator's first window would show a user's.
 */
TEST("user-low", "user memory at the first addresses is what its tables say");

#define PAGES	  16
#define BEATS	  6
#define MSEC	  1000000ul
#define VECTOR_PF 14

/* rdi: an address. Several kicks long; the shorter one where an emulator's clock counts
 * instructions. */
extern const char low_load[], low_spin[], low_spin_slow[];
__asm__(".pushsection .text\n"
	"low_load: movq (%rdi), %rbx; ret\n"
	"low_spin_slow: movl $200000, %ecx\n"
	"	jmp 1f\n"
	"low_spin: movl $4000000, %ecx\n"
	"1:	movq (%rdi), %rbx\n"
	"	decl %ecx\n"
	"	jnz 1b\n"
	"	ret\n"
	".popsection\n");

static uint8_t *page[2 * PAGES]; /* neighbours in memory, ascending */
static struct trap_regs regs;

static long run(const char *insn, uint64_t rdi)
{
	user_run((void (*)(void *))insn, (void *)rdi, &regs);
	return regs.vector == (uint64_t)-2 ? -1 : (long)regs.vector;
}

static void reads(const char *what, unsigned int at, uint64_t want)
{
	check_eq(what, run(low_load, at * PAGE_SIZE), -1);
	check_eq("what is there", regs.rbx, want);
}

static void map(unsigned int at, unsigned int from)
{
	check_eq("a page", map_mfn(at * PAGE_SIZE, va_to_mfn(page[from]), PTE_KERN), 0);
}

static void unmap(unsigned int at)
{
	check_eq("none", unmap_va(at * PAGE_SIZE), 0);
}

/* Kicks come from the timer: a millisecond each, while user code spins. */
static void heat(unsigned int at)
{
	for (int i = 0; i < BEATS; i++) {
		HYPERVISOR_set_timer_op(time_ns() + MSEC);
		check_eq("user code spins",
			 run(is_slow() ? low_spin_slow : low_spin, at * PAGE_SIZE), -1);
	}
}

static void pages_make(void)
{
	const bool down = va_to_mfn(page_alloc()) > va_to_mfn(page_alloc());

	for (unsigned int i = 0; i < 2 * PAGES; i++)
		page[down ? 2 * PAGES - 1 - i : i] = page_alloc();
	for (unsigned int i = 0; i < 2 * PAGES; i++)
		*(uint64_t *)page[i] = 1000 + i;
}

static void neighbours(void)
{
	for (unsigned int i = 0; i < PAGES; i++)
		map(i, i);
	for (unsigned int i = 0; i < PAGES; i++)
		reads("before it is hot", i, 1000 + i);
	heat(PAGES - 1);
	for (unsigned int i = 0; i < PAGES; i++)
		reads("neighbours", i, 1000 + i);
	for (unsigned int i = 0; i < PAGES; i++)
		unmap(i);
}

/* All but the first, and none the neighbour of another. */
static void scattered(void)
{
	for (unsigned int i = 1; i < PAGES; i++)
		map(i, 2 * i);
	heat(1);
	for (unsigned int i = 1; i < PAGES; i++)
		reads("one by one", i, 1000 + 2 * i);
	for (unsigned int i = 1; i < PAGES; i++)
		unmap(i);
	for (unsigned int i = 1; i < PAGES; i++)
		check_eq("nothing there", run(low_load, i * PAGE_SIZE), VECTOR_PF);
}

/* A user root that nothing is known of yet, with the same. */
static void another_root(void)
{
	uint64_t *root = page_alloc();

	root[0] = user_root[0];
	check_eq("a root", page_set_ro(root, true), 0);
	check_eq("it is loaded", mmuext(MMUEXT_NEW_USER_BASEPTR, va_to_mfn(root)), 0);
}

void test_main(void)
{
	user_init();
	pages_make();
	scattered();
	another_root();
	neighbours();
}
