/* SPDX-License-Identifier: MIT */
/*
 * Random instructions as a user program, again and again, in an address space that has nothing but
 * a few pages for it. Each ends by an exception, a system call or the clock. What it can write to
 * includes its own code, under another address as well.
 *
 * With "kernel" behind the seed they run in kernel mode, where they may do everything to the guest:
 * no test of the guest's, but of what it runs on (tests/fuzz/wild).
 */
#include "user.h"

TEST("wild", "a user program of random instructions reaches nothing but its own pages");

#define ROUNDS	   (is_slow() ? 200u : 5000u)
#define AUDIT	   64 /* rounds between looks at what it may not reach */
#define CLOCK	   (2 * MSEC)
#define BASE	   (3ul << 39)
#define PAGES	   7 /* code, code, data, stack, the first code again, none, read-only */
#define NONE	   5
#define LAST	   6
#define AT(n)	   (BASE + (unsigned long)(n)*PAGE_SIZE)
#define PIECES	   12
#define VECTORS	   0xb78ffu /* exceptions that a user may cause */
#define STACK_SIZE 4096

static char entry_stack[STACK_SIZE] __attribute__((aligned(16)));
static uint64_t canary[2 * PAGE_SIZE / 8] __attribute__((aligned(PAGE_SIZE)));
static uint8_t *page[PAGES];
static bool in_kernel;
static unsigned int ends[3]; /* exceptions, calls, by the clock */

/* ---- its address space ---- */

static uint64_t *table(mfn_t entry0)
{
	uint64_t *t = page_alloc();

	t[0] = mfn_pte(entry0, PTE_KERN);
	page_set_ro(t, true);
	return t;
}

static void map_pages(void)
{
	uint64_t *l1 = page_alloc(), *l2, *l3, *l4;

	for (unsigned int i = 0; i < PAGES; i++) {
		page[i] = i == 4 ? page[0] : page_alloc();
		if (i != NONE)
			l1[i] = mfn_pte(va_to_mfn(page[i]),
					i == LAST ? PTE_KERN & ~PTE_RW : PTE_KERN);
	}
	page_set_ro(l1, true);
	l2 = table(va_to_mfn(l1));
	l3 = table(va_to_mfn(l2));
	l4 = page_alloc();
	l4[BASE >> 39] = mfn_pte(va_to_mfn(l3), PTE_KERN);
	page_set_ro(l4, true);
	check_eq("its root", mmuext(MMUEXT_NEW_USER_BASEPTR, va_to_mfn(l4)), 0);
	if (in_kernel)
		pt_set((va_to_mfn((void *)start_info->pt_base) << PAGE_SHIFT) | (BASE >> 39) * 8,
		       l4[BASE >> 39]);
}

/* ---- programs ---- */

/* Prefixes, an opcode, ModRM and what may follow it; some of it is what it looks like. */
static unsigned int piece(uint8_t *to)
{
	static const uint8_t prefix[] = {0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x64, 0x65, 0x2e};
	static const uint8_t common[] = {0x01, 0x03, 0x29, 0x31, 0x39, 0x50, 0x58, 0x63, 0x69, 0x74,
					 0x75, 0x80, 0x81, 0x83, 0x85, 0x87, 0x88, 0x89, 0x8a, 0x8b,
					 0x8d, 0x8f, 0x9c, 0x9d, 0xa4, 0xa5, 0xa6, 0xaa, 0xab, 0xac,
					 0xae, 0xc0, 0xc1, 0xc3, 0xc6, 0xc7, 0xc8, 0xc9, 0xd3, 0xd9,
					 0xe3, 0xe8, 0xeb, 0xf7, 0xfe, 0xff};
	unsigned int n = 0;

	if (!rnd(4))
		to[n++] = prefix[rnd(sizeof(prefix))];
	if (rnd(2))
		to[n++] = (uint8_t)(0x40 + rnd(16));
	if (rnd(3)) {
		to[n++] = common[rnd(sizeof(common))];
	} else {
		to[n++] = 0x0f;
		to[n++] = rnd(8) ? (uint8_t)rnd64() : 0x05; /* syscall */
	}
	to[n++] = (uint8_t)rnd64();
	for (unsigned int more = rnd(5); more; more--)
		to[n++] = rnd(2) ? (uint8_t)rnd64() : 0;
	return n;
}

/* In the code pages, often across their border; the rest of them is noise. Where it starts. */
static uint64_t program(void)
{
	const unsigned int start = rnd(2) ? rnd(2 * PAGE_SIZE - 256) : PAGE_SIZE - rnd(64);
	static unsigned int made;
	unsigned int at = start;
	uint8_t bytes[16];

	for (unsigned int i = 0; i < 2; i++)
		for (unsigned int k = 0; k < PAGE_SIZE; k += 8)
			*(uint64_t *)(page[i] + k) = rnd64();
	for (unsigned int i = rnd(PIECES); i; i--) {
		const unsigned int n = piece(bytes);

		for (unsigned int k = 0; k < n; k++, at++)
			page[at / PAGE_SIZE][at % PAGE_SIZE] = bytes[k];
	}
	if (++made % 64)
		return AT(0) + start;
	memcpy(page[0], (const uint8_t[]){0xeb, 0xfe}, 2); /* which only the clock ends */
	return AT(0);
}

static uint64_t value(void)
{
	switch (rnd(8)) {
	case 0: return rnd64();
	case 1: return rnd(4096);
	case 2: return (uint64_t)_text + rnd(PAGE_SIZE); /* the kernel's */
	case 3: return NON_CANON + rnd(64);
	default: return AT(rnd(PAGES)) + rnd(PAGE_SIZE);
	}
}

/* ---- a round ---- */

static void stop(struct trap_regs *regs)
{
	if (from_user(regs) || (in_kernel && regs->rip >= BASE && regs->rip < AT(PAGES)))
		user_back(regs);
}

static void no_handler(unsigned int port, void *data)
{
}

static void enter(void *frame)
{
	trap_return(frame);
}

static void one(struct trap_regs *regs)
{
	struct trap_regs *frame = (void *)(entry_stack + STACK_SIZE - sizeof(*frame));
	uint64_t *gpr = (uint64_t *)frame;

	for (unsigned int i = 0; i < offsetof(struct trap_regs, vector) / 8; i++)
		gpr[i] = value();
	frame->vector = frame->error = 0;
	frame->rip = program();
	frame->rsp = AT(3) + 8 * rnd(512);
	frame->cs = in_kernel ? FLAT_KERNEL_CS & ~3ul : FLAT_USER_CS;
	frame->ss = in_kernel ? FLAT_KERNEL_SS : FLAT_USER_SS;
	if (in_kernel && rnd(2))
		frame->rax = rnd(64); /* perhaps a hypercall's number */
	frame->rflags = 0x200 | (rnd64() & 0xcd5);
	HYPERVISOR_set_timer_op(time_ns() + CLOCK);
	trap_catch(enter, frame, regs);
}

static void judge(const struct trap_regs *regs)
{
	if (in_kernel)
		return;
	if (regs->vector == (uint64_t)-1)
		ends[2]++;
	else if (regs->vector == (uint64_t)-2)
		ends[1]++;
	else if (regs->vector == 0x81 || (regs->vector < 32 && VECTORS >> regs->vector & 1))
		ends[0]++;
	else
		check_eq("an end as no user's", (long)regs->vector, 0);
	check_eq("in user mode", (long)(regs->cs & 3), 3);
}

static void audit(void)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(canary); i++)
		if (canary[i] != i * 0x9e3779b97f4a7c15ul)
			check("the kernel's own memory", false);
	for (unsigned int k = 0; k < PAGE_SIZE; k++)
		if (page[LAST][k] || page[NONE][k])
			check("a page that it may not write to", false);
}

void test_main(void)
{
	struct trap_regs regs;
	char *words;
	long port;

	user_init();
	printf("seed %lu\n", rnd_seed(&words));
	in_kernel = !strcmp(words, " kernel");
	HYPERVISOR_stack_switch(FLAT_KERNEL_SS, (unsigned long)entry_stack + STACK_SIZE);
	for (unsigned int i = 0; i < ARRAY_SIZE(canary); i++)
		canary[i] = i * 0x9e3779b97f4a7c15ul;
	map_pages();
	port = event_bind_virq(VIRQ_TIMER);
	check("a clock", port > 0);
	event_bind((unsigned int)port, no_handler, NULL);
	event_upcall_exit = stop;
	for (unsigned int i = 0; i < ROUNDS; i++) {
		one(&regs);
		judge(&regs);
		if (i % AUDIT == AUDIT - 1 && !in_kernel)
			audit();
	}
	printf("%u exceptions, %u calls, %u by the clock\n", ends[0], ends[1], ends[2]);
	check("they ended by exceptions", ends[0] > ROUNDS / 4);
	check("and by the clock", ends[2] > 0);
}
