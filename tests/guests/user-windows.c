/* SPDX-License-Identifier: MIT */
/* vcpus: 2 */
#include "user.h"
#include "vcpu.h"

/*
 * User code that has run long enough for the translator to map its memory (translate/windows.c).
 * What happens to it then must be what a CPU does.
 */
TEST("user-windows", "memory of user code that has run for long is still what its tables say");

#define SLOT	  2ul  /* of an L4 table, which nothing else is in */
#define ALIAS	  10ul /* as another that a window cannot tell from it */
#define AREA	  (SLOT << 39)
#define PAGES	  64 /* of data, from AREA on; then one of code */
#define CODE_VA	  (AREA + (PAGES + 8) * PAGE_SIZE)
#define L1_SPAN	  (512 * PAGE_SIZE)
#define WINDOWS	  8
#define SPACES	  12
#define FULL	  PTE_KERN
#define READ_ONLY (PTE_PRESENT | PTE_USER | PTE_ACCESS)
#define BEATS	  6
#define VECTOR_SS 12
#define VECTOR_GP 13
#define VECTOR_PF 14
#define ERR_READ  4 /* of a page fault: by a user, */
#define ERR_WRITE 6
#define ERR_HERE  1 /* and the page is there */

static uint8_t *data[PAGES], *code;
static uint64_t *l1, *l2, *l3;
static char stack1[PAGE_SIZE] __attribute__((aligned(16)));
static unsigned int go;

/* ---- user code ---- */

/* rdi: an address; the access is the first instruction, so that a fault's rip is the symbol. */
extern const char win_load[], win_store[], win_index[], win_far[], win_pushes[], win_pops[];
extern const char win_push_there[], win_pop_there[], win_poke[];
extern const char win_spin[], win_until[], win_vector[], win_misaligned[], win_constant[];
__asm__(".pushsection .text\n"
	"win_load: movq (%rdi), %rbx; ret\n"
	"win_store: movq %rdi, (%rdi); ret\n"
	"win_poke: movl $1234567, 1(%rdi); ret\n"
	"win_index: movq 0x7ffffff0(%rdi,%rdi,8), %rbx; ret\n"
	"win_far: movb $1, -0x80000000(%rdi); ret\n"
	"win_constant: movq -0x1000, %rbx; ret\n"
	"win_pushes: movq %rdi, %rsp\n"
	"win_push_there: pushq %rdi\n"
	"	ud2\n"
	"win_pops: movq %rdi, %rsp\n"
	"win_pop_there: popq %rbx\n"
	"	ud2\n"
	"win_vector: movups (%rdi), %xmm0; movq %xmm0, %rbx; ret\n"
	"win_misaligned: movaps 8(%rdi), %xmm0; ret\n"
	/* Reads and writes two pages from rdi on, so many times. */
	"win_spin: movl $40000, %ecx\n"
	"1:	movq (%rdi), %rax\n"
	"	movq %rax, 0x1008(%rdi)\n"
	"	pushq %rax\n"
	"	popq %rdx\n"
	"	decl %ecx\n"
	"	jnz 1b\n"
	"	movq (%rdi), %rbx\n"
	"	ret\n"
	/* Until what rdi points at is what is said three pages behind it. */
	"win_until: movq 0x3000(%rdi), %rbx\n"
	"2:	cmpq %rbx, (%rdi)\n"
	"	jne 2b\n"
	"	ret\n"
	".popsection\n");

static struct trap_regs regs;

static long run(const char *insn, uint64_t rdi)
{
	user_run((void (*)(void *))insn, (void *)rdi, &regs);
	return regs.vector == (uint64_t)-2 ? -1 : (long)regs.vector;
}

/* Kicks come from the timer: a millisecond each, while user code spins. */
static void heat(uint64_t va)
{
	for (int i = 0; i < BEATS; i++) {
		const uint64_t start = time_ns();

		HYPERVISOR_set_timer_op(start + MSEC);
		while (time_ns() - start < 3 * MSEC)
			check_eq("user code spins", run(win_spin, va), -1);
	}
}

static void faults(const char *what, const char *insn, uint64_t rdi, uint64_t va,
		   unsigned int error)
{
	check_eq(what, run(insn, rdi), VECTOR_PF);
	check_eq("its error code", regs.error, error);
	check_eq("its address", this_vcpu->arch.cr2, va);
	check_eq("its instruction", regs.rip, (uint64_t)insn);
}

static void traps(const char *what, const char *insn, uint64_t rdi, long vector)
{
	check_eq(what, run(insn, rdi), vector);
	check_eq("its error code", regs.error, 0);
	check_eq("its instruction", regs.rip, (uint64_t)insn);
}

static void reads(const char *what, uint64_t va, uint64_t want)
{
	check_eq(what, run(win_load, va), -1);
	check_eq("what is there", regs.rbx, want);
}

static void writes(const char *what, uint64_t va, const uint8_t *page)
{
	check_eq(what, run(win_store, va), -1);
	check_eq("where it is", *(const uint64_t *)(page + va % PAGE_SIZE), va);
}

/* ---- its page tables ---- */

static uint64_t va_of(unsigned int page)
{
	return AREA + page * PAGE_SIZE;
}

static uint64_t maddr(const uint64_t *entry)
{
	return ((uint64_t)va_to_mfn((void *)((uint64_t)entry & PAGE_MASK)) << PAGE_SHIFT) +
	       (uint64_t)entry % PAGE_SIZE;
}

static void set(uint64_t *entry, uint64_t val)
{
	if (pt_set(maddr(entry), val))
		panic("an entry");
}

static void map(unsigned int page, const uint8_t *to, uint64_t flags)
{
	set(&l1[page], to ? mfn_pte(va_to_mfn(to), flags) : 0);
	mmuext(MMUEXT_TLB_FLUSH_ALL, 0);
}

static uint64_t *table(const uint64_t *below)
{
	uint64_t *t = page_alloc();

	t[0] = mfn_pte(va_to_mfn(below), PTE_KERN);
	check_eq("a table", page_set_ro(t, true), 0);
	return t;
}

/* Nine tables down to data[]: every other page, so that neighbours are none in memory. */
static void area_make(void)
{
	for (unsigned int i = 0; i < PAGES; i++) {
		data[i] = page_alloc();
		page_alloc();
	}
	code = page_alloc();
	l1 = page_alloc();
	for (unsigned int i = 0; i < PAGES; i++)
		l1[i] = mfn_pte(va_to_mfn(data[i]), FULL);
	l1[(CODE_VA - AREA) >> PAGE_SHIFT] = mfn_pte(va_to_mfn(code), FULL);
	check_eq("an L1 table", page_set_ro(l1, true), 0);
	l2 = table(l1);
	l3 = table(l2);
	set(&user_root[SLOT], mfn_pte(va_to_mfn(l3), PTE_KERN));
}

/* ---- what is checked ---- */

static void rights(void)
{
	writes("a store", va_of(3), data[3]);
	map(3, data[3], READ_ONLY);
	faults("a store to what is to read now", win_store, va_of(3), va_of(3),
	       ERR_WRITE | ERR_HERE);
	reads("a load", va_of(3), va_of(3));
	map(3, data[3], FULL);
	writes("a store again", va_of(3) + 8, data[3]);
	map(3, data[3], PTE_PRESENT | PTE_RW | PTE_USER);
	reads("a load before the page is accessed", va_of(3), va_of(3));
	check("accessed, not dirty", (l1[3] & (PTE_ACCESS | PTE_DIRTY)) == PTE_ACCESS);
	writes("a store before it is dirty", va_of(3), data[3]);
	check("dirty", l1[3] & PTE_DIRTY);
}

/* As a kernel finds out what is in use. */
static void accessed(void)
{
	*(uint64_t *)data[10] = 10;
	for (int i = 0; i < 3; i++) {
		reads("a load", va_of(10), 10);
		map(10, data[10], FULL & ~PTE_ACCESS);
		reads("a load after the accessed bit was cleared", va_of(10), 10);
		check("it is set again", l1[10] & PTE_ACCESS);
	}
}

static void other_frames(void)
{
	*(uint64_t *)data[4] = 4;
	*(uint64_t *)data[5] = 5;
	reads("a page", va_of(4), 4);
	map(4, data[5], FULL);
	reads("another one there", va_of(4), 5);
	map(4, NULL, 0);
	faults("none there", win_load, va_of(4), va_of(4), ERR_READ);
	faults("none to write", win_store, va_of(4), va_of(4), ERR_WRITE);
	map(4, data[4], FULL);
	reads("the first", va_of(4), 4);
	set(&l3[0], l3[0] & ~PTE_RW);
	mmuext(MMUEXT_TLB_FLUSH_ALL, 0);
	faults("a store by an L3 entry to read", win_store, va_of(4), va_of(4),
	       ERR_WRITE | ERR_HERE);
	set(&l3[0], l3[0] | PTE_RW);
	mmuext(MMUEXT_TLB_FLUSH_ALL, 0);
	writes("and to write", va_of(4), data[4]);
}

static void across_pages(void)
{
	const uint64_t va = va_of(7) - 4;

	check_eq("a store to two pages", run(win_store, va), -1);
	check_eq("its first half", *(uint32_t *)(data[6] + PAGE_SIZE - 4), (uint32_t)va);
	check_eq("its second half", *(uint32_t *)data[7], va >> 32);
	reads("a load of both", va, va);
	check_eq("a vector of both", run(win_vector, va), -1);
	check_eq("what it is", regs.rbx, va);
	map(7, NULL, 0);
	faults("no second page", win_load, va, va_of(7), ERR_READ);
	faults("no second page to write", win_store, va, va_of(7), ERR_WRITE);
	map(7, data[7], FULL);
	traps("a vector that is not aligned", win_misaligned, va_of(7), VECTOR_GP);
}

/* The L1 table at two places of a root: what one of them loses the other keeps. */
static void shared_table(void)
{
	const uint64_t other = va_of(9) + L1_SPAN;

	*(uint64_t *)data[9] = 9;
	for (int i = 0; i < 2; i++) {
		set(&l2[1], mfn_pte(va_to_mfn(l1), PTE_KERN));
		reads("a page", va_of(9), 9);
		reads("the same elsewhere", other, 9);
		set(&l2[1], 0);
		mmuext(MMUEXT_TLB_FLUSH_ALL, 0);
		faults("there no longer", win_load, other, other, ERR_READ);
		reads("but here", va_of(9), 9);
		map(9, NULL, 0);
		faults("nor here", win_load, va_of(9), va_of(9), ERR_READ);
		map(9, data[9], FULL);
	}
}

/* As fork does it, and the child's page faults. */
static void whole_table(void)
{
	for (unsigned int i = 0; i < PAGES; i++)
		run(win_store, va_of(i));
	for (unsigned int i = 0; i < PAGES; i++)
		set(&l1[i], l1[i] & ~PTE_RW);
	mmuext(MMUEXT_TLB_FLUSH_ALL, 0);
	for (unsigned int i = 0; i < PAGES; i++) {
		faults("a store after that", win_store, va_of(i), va_of(i), ERR_WRITE | ERR_HERE);
		set(&l1[i], l1[i] | PTE_RW);
		mmuext(MMUEXT_INVLPG_ALL, va_of(i));
		writes("the page's own again", va_of(i) + 16, data[i]);
	}
}

/* Each round changes the constant of the instruction behind the store. */
static void own_code(void)
{
	static const uint8_t insn[] = {
		0xb9, 100,  0,	  0,	0,	 /* mov ecx, 100 */
		0x31, 0xdb,			 /* xor ebx, ebx */
		0x89, 0x0d, 2,	  0,	0,    0, /* 1: mov [rip + 2], ecx: the constant below */
		0x81, 0xc3, 0,	  0,	0,    0, /* add ebx, constant */
		0xff, 0xc9, 0x75, 0xf0, 0xc3,	 /* dec ecx; jnz 1b; ret */
	};

	memcpy(code, insn, sizeof(insn));
	for (int i = 0; i < 3; i++) {
		check_eq("code that writes to itself", run((const char *)CODE_VA, 0), -1);
		check_eq("all that it wrote", regs.rbx, 5050);
	}
	check_eq("the first of its page, to write", run(win_store, CODE_VA + 256), -1);
	check_eq("and to run", run((const char *)CODE_VA, 0), -1);
	check_eq("as before", regs.rbx, 5050);
	for (int i = 0; i < 3; i++) {
		const uint64_t va = CODE_VA + 512 + 16 * i;

		memcpy(code + va % PAGE_SIZE, (const uint8_t[]){0xbb, 0, 0, 0, 0, 0xc3}, 6);
		check_eq("code that loads a constant", run((const char *)va, 0), -1);
		check_eq("its code is read", run(win_load, va), -1);
		check_eq("and written to", run(win_poke, va), -1);
		check_eq("it loads another", run((const char *)va, 0), -1);
		check_eq("the one that was written", regs.rbx, 1234567);
	}
}

/* The fault of an access to `code`: now it lets it, and the user goes on. */
static void let_write(struct trap_regs *r)
{
	if (r->vector == VECTOR_PF && this_vcpu->arch.cr2 >> PAGE_SHIFT == CODE_VA >> PAGE_SHIFT)
		set(&l1[(CODE_VA - AREA) >> PAGE_SHIFT], mfn_pte(va_to_mfn(code), FULL));
	else
		user_back(r);
}

/* The store to the instruction behind it is the guest's page fault first. */
static void own_code_let(void)
{
	static const uint8_t insn[] = {
		0xb9, 7,    0, 0, 0,	   /* mov ecx, 7 */
		0x89, 0x0d, 1, 0, 0, 0,	   /* mov [rip + 1], ecx: the constant below */
		0xbb, 0,    0, 0, 0, 0xc3, /* mov ebx, constant; ret */
	};
	uint64_t *entry = &l1[(CODE_VA - AREA) >> PAGE_SHIFT];

	trap_from_user = let_write;
	for (int i = 0; i < 3; i++) {
		memcpy(code + 2048, insn, sizeof(insn));
		set(entry, mfn_pte(va_to_mfn(code), READ_ONLY));
		mmuext(MMUEXT_TLB_FLUSH_ALL, 0);
		check_eq("code that writes to itself", run((const char *)CODE_VA + 2048, 0), -1);
		check_eq("what it wrote", regs.rbx, 7);
	}
	trap_from_user = user_back;
}

/* mov ebx, val; rep ret: which is a segment's descriptor as well. */
static uint64_t loads(uint64_t val)
{
	return 0xbb | val << 8 | 0xc3f3ul << 40;
}

/* Hypercalls that write to ordinary memory do so to code. */
static void hypercalls_code(void)
{
	const char *at = (const char *)CODE_VA + 1024;
	uint64_t *there = (uint64_t *)(code + 1024);
	uint64_t *page = page_alloc();
	struct mmuext_op copy = {.cmd = MMUEXT_COPY_PAGE,
				 .arg1.mfn = va_to_mfn(code),
				 .arg2.src_mfn = va_to_mfn(page)};

	page[1024 / 8] = loads(3);
	*there = loads(1);
	check_eq("code", run(at, 0), -1);
	check_eq("its constant", regs.rbx, 1);
	set(there, loads(2));
	check_eq("written by mmu_update", run(at, 0), -1);
	check_eq("its constant", regs.rbx, 2);
	check_eq("copy", HYPERVISOR_mmuext_op(&copy, 1, NULL, DOMID_SELF), 0);
	check_eq("copied by mmuext_op", run(at, 0), -1);
	check_eq("its constant", regs.rbx, 3);
	check_eq("descriptor", HYPERVISOR_update_descriptor(maddr(there), loads(4)), 0);
	check_eq("written by update_descriptor", run(at, 0), -1);
	check_eq("its constant", regs.rbx, 4);
}

/* Nothing but the user's own memory is ever found, whatever the registers say. */
static void wild(void)
{
	static const uint64_t kernels[] = {XEN_RANGE, 0xffffc90000000000, 0xffffffffffffff00,
					   0xffff888000000000};
	static const uint64_t nobodys[] = {NON_CANON, 0x800000000000, 0x7fffffffffffff00,
					   0xdeadbeef00000000, NON_CANON | AREA};

	faults("NULL", win_load, 0, 0, ERR_READ);
	faults("a store to NULL", win_store, 0, 0, ERR_WRITE);
	faults("below all", win_load, -8ul, -8ul, ERR_READ);
	faults("the end of what users have", win_load, 0x7ffffffff000, 0x7ffffffff000, ERR_READ);
	faults("an address of nobody's", win_load, NOWHERE, NOWHERE, ERR_READ);
	for (unsigned int i = 0; i < 4; i++) {
		faults("a kernel's address", win_load, kernels[i], kernels[i], ERR_READ);
		faults("to write", win_store, kernels[i], kernels[i], ERR_WRITE);
	}
	for (unsigned int i = 0; i < 5; i++) {
		traps("no address", win_load, nobodys[i], VECTOR_GP);
		traps("to write", win_store, nobodys[i], VECTOR_GP);
	}
	traps("an index that is no address", win_index, 0x1000000000000, VECTOR_GP);
	faults("an index out of all", win_index, -1ul, 0x7ffffff0 - 9, ERR_READ);
	faults("a large displacement", win_index, 0x10000000000, 0x9007ffffff0, ERR_READ);
	faults("a negative one", win_far, 0x1000, -0x7ffff000ul, ERR_WRITE);
	check_eq("a push to nowhere", run(win_pushes, 0x800000001000), VECTOR_SS);
	check_eq("its instruction", regs.rip, (uint64_t)win_push_there);
	check_eq("its stack pointer", regs.rsp, 0x800000001000);
	check_eq("a pop from nowhere", run(win_pops, 0x800000001000), VECTOR_SS);
	check_eq("its instruction", regs.rip, (uint64_t)win_pop_there);
	check_eq("a push to where no page is", run(win_pushes, NOWHERE), VECTOR_PF);
	check_eq("its address", this_vcpu->arch.cr2, NOWHERE - 8);
	check_eq("a negative one that leads back", run(win_far, va_of(1) + 0x80000000), -1);
	check_eq("to its page", data[1][0], 1);
}

/* An address in the instruction is as any other: where its low bits are, there is a page. */
static void constants(void)
{
	static const uint64_t end = (8ul << 39) - PAGE_SIZE;

	check_eq("a page at the end of 4 TiB", map_mfn(end, va_to_mfn(data[12]), FULL), 0);
	set(&user_root[end >> 39], ((uint64_t *)start_info->pt_base)[end >> 39]);
	*(uint64_t *)data[12] = 12;
	reads("it", end, 12);
	faults("an address of the kernel's", win_constant, 0, -0x1000ul, ERR_READ);
	set(&user_root[end >> 39], 0);
	mmuext(MMUEXT_TLB_FLUSH_ALL, 0);
}

static void pass(uint64_t ns)
{
	const uint64_t start = time_ns();

	while (time_ns() - start < ns)
		;
}

/* More address spaces than windows: the same page is another in each. */
static void spaces(void)
{
	static uint64_t *root[SPACES], *own[SPACES];
	static uint8_t *page[SPACES];

	for (unsigned int i = 0; i < SPACES; i++) {
		page[i] = page_alloc();
		*(uint64_t *)page[i] = 1000 + i;
		own[i] = page_alloc();
		own[i][0] = mfn_pte(va_to_mfn(page[i]), FULL);
		own[i][1] = mfn_pte(va_to_mfn(data[1]), FULL);
		check_eq("an L1 table", page_set_ro(own[i], true), 0);
		root[i] = page_alloc();
		root[i][0] = user_root[0];
		root[i][SLOT] = mfn_pte(va_to_mfn(table(table(own[i]))), PTE_KERN);
		check_eq("a root", page_set_ro(root[i], true), 0);
		/* Else it is none any more as soon as another one is loaded. */
		check_eq("pinned", mmuext(MMUEXT_PIN_L4_TABLE, va_to_mfn(root[i])), 0);
	}
	for (unsigned int k = 0; k < 2 * SPACES; k++) {
		const unsigned int i = k % SPACES;

		mmuext(MMUEXT_NEW_USER_BASEPTR, va_to_mfn(root[i]));
		if (k == WINDOWS)
			pass(1100 * MSEC); /* a window that was not used may be another root's */
		if (k < SPACES)
			heat(va_of(0));
		reads("each its own", va_of(0), 1000 + i);
		set(&own[(i + 1) % SPACES][0], mfn_pte(va_to_mfn(page[(i + 1) % SPACES]), FULL));
	}
	mmuext(MMUEXT_NEW_USER_BASEPTR, va_to_mfn(user_root));
}

/* The root gets what its window cannot tell from what it has. */
static void alias(void)
{
	static uint8_t *page;
	uint64_t *other = page_alloc();

	page = page_alloc();
	*(uint64_t *)page = 77;
	*(uint64_t *)data[0] = 66;
	other[0] = mfn_pte(va_to_mfn(page), FULL);
	check_eq("an L1 table", page_set_ro(other, true), 0);
	reads("one", va_of(0), 66);
	set(&user_root[ALIAS], mfn_pte(va_to_mfn(table(table(other))), PTE_KERN));
	reads("the other", ALIAS << 39, 77);
	reads("one", va_of(0), 66);
	writes("the other, to write", (ALIAS << 39) + 8, page);
	set(&user_root[ALIAS], 0);
	mmuext(MMUEXT_TLB_FLUSH_ALL, 0);
	reads("one alone", va_of(0), 66);
}

static void main1(void)
{
	for (;;) {
		while (!READ_ONCE(go))
			HYPERVISOR_sched_op(SCHEDOP_yield, NULL);
		pass(3 * MSEC);
		map(8, data[8 + READ_ONCE(go) % 2], FULL);
		WRITE_ONCE(go, 0);
	}
}

/* vCPU 0 reads a page until vCPU 1 has put another one there. */
static void two_vcpus(void)
{
	static struct vcpu_guest_context c;

	*(uint64_t *)data[8] = 8;
	*(uint64_t *)data[9] = 9;
	vcpu_context(&c, (void *)main1, stack1, sizeof(stack1));
	vcpu_start(1, &c);
	for (unsigned int i = 1; i <= 20; i++) {
		*(uint64_t *)data[11] = 8 + i % 2;
		HYPERVISOR_set_timer_op(time_ns() + MSEC);
		WRITE_ONCE(go, i);
		check_eq("until it is the other page", run(win_until, va_of(8)), -1);
		while (READ_ONCE(go))
			HYPERVISOR_sched_op(SCHEDOP_yield, NULL);
	}
}

static void hot(void (*checks)(void))
{
	heat(va_of(0));
	checks();
}

void test_main(void)
{
	user_init();
	area_make();
	hot(rights);
	hot(other_frames);
	hot(across_pages);
	hot(accessed);
	hot(shared_table);
	hot(whole_table);
	hot(own_code);
	hot(own_code_let);
	hot(hypercalls_code);
	hot(wild);
	hot(constants);
	spaces();
	if (HYPERVISOR_vcpu_op(VCPUOP_is_up, 1, NULL) != -XEN_ENOENT)
		hot(two_vcpus);
	hot(alias);
}
