/* SPDX-License-Identifier: MIT */
#include "user.h"

TEST("pt-writable", "the writable page tables assist: stores to L1 tables, and to nothing else");

static volatile uint64_t *l1;	 /* a pinned table that we can read */
static volatile uint64_t *other; /* no table, mapped read-only as well */
static uint64_t page_pte;	 /* an entry that is allowed */
static mfn_t page_mfn;

#define RO (PTE_PRESENT | PTE_USER | PTE_ACCESS)

static long assist(unsigned int cmd)
{
	return HYPERVISOR_vm_assist(cmd, VMASST_TYPE_writable_pagetables);
}

static void store(void *at)
{
	*(volatile uint64_t *)at = page_pte;
}

static void store_bad(void *at)
{
	*(volatile uint64_t *)at = mfn_pte(va_to_mfn((const void *)start_info->pt_base), PTE_KERN);
}

static void store_high_half(void *at)
{
	((volatile uint32_t *)at)[1] = 0x80000000;
}

static void store_odd(void *at)
{
	*(volatile uint64_t *)((char *)at + 4) = 0;
}

static void frame_is(const char *what, uint64_t got, uint64_t want)
{
	check_eq(what, (long)(got & (PTE_MFN | PTE_NX)), (long)(want & (PTE_MFN | PTE_NX)));
}

static void set(unsigned int i, uint64_t pte)
{
	check_eq("set", pt_set(((uint64_t)va_to_mfn((const void *)l1) << PAGE_SHIFT) + i * 8, pte),
		 0);
}

static void instructions(void)
{
	uint64_t value, old;
	bool taken, zero;

	store((void *)&l1[0]);
	frame_is("mov", l1[0], page_pte);
	value = 0;
	__asm__ volatile("xchgq %0, %1" : "+r"(value), "+m"(l1[0]));
	frame_is("xchg: the old one", value, page_pte);
	check_eq("xchg", (long)l1[0], 0);
	old = 5;
	__asm__ volatile("lock; cmpxchgq %3, %1; setz %2"
			 : "+a"(old), "+m"(l1[0]), "=q"(taken)
			 : "r"(page_pte)
			 : "cc");
	check("cmpxchg: it was another", !taken && !old && !l1[0]);
	__asm__ volatile("lock; cmpxchgq %3, %1; setz %2"
			 : "+a"(old), "+m"(l1[0]), "=q"(taken)
			 : "r"(page_pte)
			 : "cc");
	check("cmpxchg: it was that", taken);
	frame_is("cmpxchg", l1[0], page_pte);
	__asm__ volatile("lock; btrq $1, %0; setc %1" : "+m"(l1[0]), "=q"(taken) : : "cc");
	check("btr: it was writable", taken && !(l1[0] & PTE_RW));
	__asm__ volatile("lock; btsq $1, %0; setc %1" : "+m"(l1[0]), "=q"(taken) : : "cc");
	check("bts: it was not", !taken && l1[0] & PTE_RW);
	__asm__ volatile("lock; andq %1, %0" : "+m"(l1[0]) : "r"(~PTE_RW) : "cc");
	check("and", !(l1[0] & PTE_RW));
	__asm__ volatile("lock; orl $2, %0" : "+m"(l1[0]) : : "cc");
	check("or", l1[0] & PTE_RW);
	store_high_half((void *)&l1[0]);
	check("half of it", l1[0] & PTE_NX);
	__asm__ volatile("andb $0xfe, %0; setz %1; setc %2"
			 : "+m"(l1[0]), "=q"(zero), "=q"(taken)
			 :
			 : "cc");
	check("a byte of it", !(l1[0] & PTE_PRESENT) && !zero && !taken);
	l1[0] = 0;
	check_eq("empty", (long)l1[0], 0);
}

static void refused(void)
{
	set(1, page_pte);
	check_eq("a table, writable", vector_of(store_bad, (void *)&l1[1]), 14);
	frame_is("it stays", l1[1], page_pte);
	check_eq("across two entries", vector_of(store_odd, (void *)&l1[1]), 14);
	check_eq("a page that is no table", vector_of(store, (void *)&other[0]), 14);
	check_eq("an L4", vector_of(store, (void *)(start_info->pt_base + 8)), 14);
	set(1, 0);
}

static void in_user_mode(void)
{
	struct trap_regs regs;

	if (!user_try())
		return;
	user_run(store, (void *)&l1[0], &regs);
	check_eq("not in user mode", (long)regs.vector, 14);
	check_eq("whose fault it is", (long)(regs.error & 7), 7);
}

static volatile uint64_t step_rip;
extern char behind[];

static bool step(struct trap_regs *regs)
{
	step_rip = regs->rip;
	regs->rflags &= ~0x100ul;
	return true;
}

static bool start(struct trap_regs *regs)
{
	regs->rflags |= 0x100;
	return true;
}

static void stepped(void)
{
	trap_set_handler(1, step);
	trap_set_handler(3, start);
	__asm__ volatile("int3; movq $0, %0; behind: nop" : "=m"(l1[2]));
	trap_set_handler(1, NULL);
	trap_set_handler(3, NULL);
	check_eq("stepped over", (long)step_rip, (long)behind);
}

/* On real Xen the initial domain's stores to what it may not write are emulated in any case. */
static void without(const char *what)
{
	if (!is_initial_domain())
		check_eq(what, vector_of(store, (void *)&l1[0]), 14);
}

void test_main(void)
{
	l1 = page_alloc();
	other = page_alloc();
	page_mfn = va_to_mfn(page_alloc());
	page_pte = mfn_pte(page_mfn, PTE_KERN);
	page_set_ro((void *)l1, true);
	page_set_ro((void *)other, true);
	check_eq("pin", mmuext(MMUEXT_PIN_L1_TABLE, va_to_mfn((const void *)l1)), 0);
	without("without it");
	check_eq("enable", assist(VMASST_CMD_enable), 0);
	instructions();
	refused();
	stepped();
	in_user_mode();
	check_eq("disable", assist(VMASST_CMD_disable), 0);
	without("without it again");
	check_eq("no reference is left", mmuext(MMUEXT_UNPIN_TABLE, va_to_mfn((const void *)l1)),
		 0);
	check_eq("it is a page", page_set_ro((void *)l1, false), 0);
}
