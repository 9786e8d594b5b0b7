/* SPDX-License-Identifier: MIT */
/* vcpus: 2 */
#include "user.h"
#include "vcpu.h"

TEST("user-pages", "code that goes from page to page goes where its address space says now");

#define SLOT	  2ul /* of an L4 table, which the kernel's root has nothing in */
#define HERE	  (SLOT << 39)
#define THERE	  (HERE + PAGE_SIZE)
#define CODE	  (PTE_PRESENT | PTE_USER | PTE_ACCESS)
#define TABLE	  (PTE_KERN)
#define ROUNDS	  4
#define VECTOR_PF 14

/* In HERE: ROUNDS calls with the carry flag set, then a branch; and until a call gives another. */
extern const char pages_rounds[], pages_until[], pages_asks[], pages_here_end[];
__asm__(".pushsection .rodata\n"
	"pages_rounds:\n"
	"	xorl %ebx, %ebx\n"
	"	movl $4, %ecx\n"
	"1:	stc\n"
	"	.byte 0xe8\n"
	"	.long 0x1000 - (2f - pages_rounds)\n"
	"2:	decl %ecx\n"
	"	jnz 1b\n"
	"	.byte 0x0f, 0x84\n" /* je */
	"	.long 0x1100 - (3f - pages_rounds)\n"
	"3:	ud2\n"
	"pages_until:\n"
	"	xorl %ebx, %ebx\n"
	"	stc\n"
	"	.byte 0xe8\n"
	"	.long 0x1000 - (4f - pages_rounds)\n"
	"4:	cmpl %edi, %ebx\n"
	"	je pages_until\n"
	"	ret\n"
	"pages_asks:\n"
	"	.byte 0xe8\n"
	"	.long 0x1200 - (5f - pages_rounds)\n"
	"5:	movl $1, %ebx\n"
	"	ret\n"
	"pages_here_end:\n"
	"	.popsection\n");

/* Of the instruction behind pages_asks' call, the constant. */
#define ANSWER (pages_here_end - pages_rounds - 5)

struct space {
	uint64_t *root, *l1;
};
static uint8_t *here[2], *there[2];
static uint64_t *changed; /* the L1 table that another vCPU or a system call is to change */
static char stack1[PAGE_SIZE] __attribute__((aligned(16)));
static unsigned int go;

static uint64_t *table(uint64_t first, uint64_t second)
{
	uint64_t *t = page_alloc();

	t[0] = first;
	t[1] = second;
	check_eq("a table", page_set_ro(t, true), 0);
	return t;
}

static void space_make(struct space *s, const uint8_t *a, const uint8_t *b)
{
	uint64_t *l2, *l3;

	s->l1 = table(mfn_pte(va_to_mfn(a), CODE), mfn_pte(va_to_mfn(b), CODE));
	l2 = table(mfn_pte(va_to_mfn(s->l1), TABLE), 0);
	l3 = table(mfn_pte(va_to_mfn(l2), TABLE), 0);
	s->root = page_alloc();
	s->root[0] = *(uint64_t *)start_info->pt_base;
	s->root[SLOT] = mfn_pte(va_to_mfn(l3), TABLE);
	check_eq("a root", page_set_ro(s->root, true), 0);
}

/* add n to ebx with the carry flag, and return; further on another number without. */
static uint8_t *there_make(uint8_t n)
{
	uint8_t *p = page_alloc();

	memcpy(p, (uint8_t[]){0x83, 0xd3, n, 0xc3}, 4);			 /* adc ebx, n; ret */
	memcpy(p + 0x100, (uint8_t[]){0x83, 0xc3, 16 * n, 0xc3}, 4);	 /* add */
	memcpy(p + 0x200, (uint8_t[]){0x31, 0xc0, 0x0f, 0x05, 0xc3}, 5); /* xor eax; syscall */
	return p;
}

static uint8_t *here_make(uint8_t n)
{
	uint8_t *p = page_alloc();

	memcpy(p, pages_rounds, pages_here_end - pages_rounds);
	p[ANSWER] = n;
	return p;
}

static void map(const uint64_t *l1, unsigned int slot, const uint8_t *page)
{
	const uint64_t maddr = ((uint64_t)va_to_mfn(l1) << PAGE_SHIFT) + slot * 8;

	if (pt_set(maddr, page ? mfn_pte(va_to_mfn(page), CODE) : 0))
		panic("an entry");
	mmuext(MMUEXT_TLB_FLUSH_ALL, 0);
}

static long user_rbx(const char *code, long arg)
{
	struct trap_regs regs;

	user_run((void (*)(void *))(HERE + (code - pages_rounds)), (void *)arg, &regs);
	return regs.vector == (uint64_t)-2 && regs.rax == USER_RETURNED ? (long)regs.rbx
									: -(long)regs.vector;
}

static void check_rounds(const char *what, long n)
{
	for (int i = 0; i < 3; i++)
		check_eq(what, user_rbx(pages_rounds, 0), ROUNDS * (n + 1) + 16 * n);
}

static void one_space(const struct space *s)
{
	check_rounds("the first", 1);
	map(s->l1, 1, there[1]);
	check_rounds("another one there", 2);
	map(s->l1, 1, there[0]);
	check_rounds("the first again", 1);
	map(s->l1, 1, NULL);
	check_eq("nothing there", user_rbx(pages_rounds, 0), -VECTOR_PF);
	map(s->l1, 1, there[1]);
	check_rounds("another one after nothing", 2);
	there[1][2]++; /* its code */
	check_eq("what was written there", user_rbx(pages_rounds, 0), ROUNDS * 4 + 32);
	there[1][2]--;
	there[1][0x102] += 16;
	check_eq("further on", user_rbx(pages_rounds, 0), ROUNDS * 3 + 48);
	there[1][0x102] -= 16;
	map(s->l1, 1, there[0]);
}

/* The same page here, and not the same there. */
static void two_spaces(const struct space s[2])
{
	for (int i = 0; i < 6; i++) {
		check_eq("a user root", mmuext(MMUEXT_NEW_USER_BASEPTR, va_to_mfn(s[i % 2].root)),
			 0);
		check_rounds("each its own", i % 2 + 1);
	}
	mmuext(MMUEXT_NEW_USER_BASEPTR, va_to_mfn(s[0].root));
}

static void change_here(struct trap_regs *regs)
{
	if (regs->rax == USER_RETURNED)
		user_back(regs);
	else if (changed)
		map(changed, 0, here[1]);
}

/* A page that a call is to return to becomes another one. */
static void returns(const struct space *s)
{
	syscall_from_user = change_here;
	for (int i = 0; i < 3; i++) {
		changed = NULL;
		check_eq("a return", user_rbx(pages_asks, 0), 1);
		changed = s->l1;
		check_eq("a return to another page", user_rbx(pages_asks, 0), 2);
		map(s->l1, 0, here[0]);
	}
	syscall_from_user = user_back;
}

static void main1(void)
{
	for (;;) {
		while (!READ_ONCE(go))
			HYPERVISOR_sched_op(SCHEDOP_yield, NULL);
		for (volatile int i = 0; i < 300000; i++)
			;
		map(changed, 1, there[READ_ONCE(go) % 2]);
		WRITE_ONCE(go, 0);
	}
}

/* vCPU 0 runs in a loop from page to page until vCPU 1 has changed one of them. */
static void two_vcpus(const struct space *s)
{
	static struct vcpu_guest_context c;

	vcpu_context(&c, (void *)main1, stack1, sizeof(stack1));
	vcpu_start(1, &c);
	changed = s->l1;
	for (unsigned int i = 1; i <= 20; i++) {
		WRITE_ONCE(go, i);
		check_eq("until it changes", user_rbx(pages_until, i % 2 ? 2 : 3), i % 2 ? 3 : 2);
		while (READ_ONCE(go))
			HYPERVISOR_sched_op(SCHEDOP_yield, NULL);
	}
}

void test_main(void)
{
	struct space s[2];

	user_init();
	for (unsigned int i = 0; i < 2; i++) {
		here[i] = here_make(i + 1);
		there[i] = there_make(i + 1);
	}
	for (unsigned int i = 0; i < 2; i++)
		space_make(&s[i], here[0], there[i]);
	mmuext(MMUEXT_NEW_USER_BASEPTR, va_to_mfn(s[0].root));
	one_space(&s[0]);
	two_spaces(s);
	returns(&s[0]);
	if (HYPERVISOR_vcpu_op(VCPUOP_is_up, 1, NULL) != -XEN_ENOENT)
		two_vcpus(&s[0]);
}
