/* SPDX-License-Identifier: MIT */
/*
 * Every few steps the guest walks all tables that are in use, by read-only mappings that it has of
 * all its frames, and stores wherever it can reach. Where the store went it finds by its value: so
 * a stale TLB is found as well as a wrong entry. At the end it takes everything back, and no frame
 * may have a reference left.
 */
#include "user.h"

#include <pv/grant.h>

TEST("hostile", "no sequence of calls gives a writable table, descriptor page or foreign frame");

#define STEPS	  (is_slow() ? 1000u : 10000u)
#define AUDIT	  16 /* steps between audits */
#define POOL	  40
#define STORES	  24  /* in one audit */
#define SLOT	  3ul /* of the root, and the next */
#define LOW	  5   /* entries 0 to 4 of a table are what the windows go through */
#define MAX_BOOT  64
#define LDT_SEL	  7    /* first entry of the LDT, RPL 3 */
#define UNUSED	  3840 /* of a grant table that is hardly used */
#define FRAMES(n) ((uint64_t)(n) << PAGE_SHIFT)

enum use { NONE, L1, L2, L3, L4, DESCRIPTORS };

static unsigned int step_nr, stores_done, accepted;
static bool ended;

static uint64_t *page[POOL];
static mfn_t mfn[POOL];
static unsigned long alias; /* read-only: the pool, and the grant table */
static uint8_t pinned[POOL];
static uint8_t use[POOL], boot_use[MAX_BOOT], boot_level[MAX_BOOT];
static mfn_t boot_table[MAX_BOOT];
static unsigned int nr_boot;
static mfn_t user_mfn, gdt_mfn, ldt_mfn, grant_mfn;
static uint64_t *root;
static bool hardware; /* the CPU itself reads our tables: there is user mode */

/* xorshift64* */
static void violation(const char *what, uint64_t value)
{
	if (!ended)
		printf("step %u: %s: %lx\n", step_nr, what, value);
	check(what, false);
	ended = true;
}

static mfn_t pool_low = ~0ul, pool_high;

static int pool_index(mfn_t m)
{
	for (int i = 0; i < POOL && m >= pool_low && m <= pool_high; i++)
		if (mfn[i] == m)
			return i;
	return -1;
}

static int boot_index(mfn_t m)
{
	for (unsigned int i = 0; i < nr_boot; i++)
		if (boot_table[i] == m)
			return (int)i;
	return -1;
}

/* A frame's contents, wherever its ordinary mapping points now. */
static volatile uint64_t *contents(mfn_t m)
{
	int i = pool_index(m);

	return i >= 0 ? (uint64_t *)(alias + FRAMES(i)) : pfn_to_va(mfn_to_pfn(m));
}

/* ---- what is in use as what ---- */

static bool xens_slot(unsigned int level, unsigned int i)
{
	return level == L4 && i >= 256 && i < 272;
}

static bool heap(mfn_t m)
{
	return m == start_info->shared_info >> PAGE_SHIFT || m == grant_mfn;
}

static void walk_table(mfn_t m, unsigned int level);

/* Of a frame that some table in use names, so that it is a table: one of this level? */
static bool is_level(int i, int b, unsigned int level)
{
	if (i < 0)
		return boot_level[b] == level;
	if (pinned[i])
		return pinned[i] == level;
	return !mmuext(MMUEXT_PIN_L1_TABLE + level - L1, mfn[i]) &&
	       !mmuext(MMUEXT_UNPIN_TABLE, mfn[i]);
}

static void walk_entry(mfn_t from, uint64_t e, unsigned int level)
{
	const mfn_t to = (e & PTE_MFN) >> PAGE_SHIFT;
	const int i = pool_index(to), b = i < 0 ? boot_index(to) : -1;

	if (i < 0 && b < 0 && !heap(to) && mfn_to_pfn(to) == ~0ul)
		violation("an entry for a frame that is not ours", e);
	else if (level == L1)
		return;
	else if (i < 0 && b < 0)
		violation("a table that never was one", e);
	else if (to != from && !is_level(i, b, level))
		walk_table(to, level - 1);
	else if (e & PTE_RW)
		violation("a writable linear entry", e);
	else
		walk_table(to, level);
}

static void walk_table(mfn_t m, unsigned int level)
{
	const int i = pool_index(m);
	uint8_t *u = i >= 0 ? &use[i] : &boot_use[boot_index(m)];
	const volatile uint64_t *t;

	if (*u == level || ended)
		return;
	if (*u != NONE) {
		violation("one frame, two types", FRAMES(m) | level << 4 | *u);
		return;
	}
	*u = level;
	t = contents(m);
	for (unsigned int k = 0; k < 512; k++)
		if (t[k] & PTE_PRESENT && !xens_slot(level, k))
			walk_entry(m, t[k], level);
}

/* The writable entries of the L1 tables in use. */
static void check_leaves(mfn_t m, uint8_t u)
{
	const volatile uint64_t *t = contents(m);

	for (unsigned int k = 0; u == L1 && k < 512; k++) {
		const mfn_t to = (t[k] & PTE_MFN) >> PAGE_SHIFT;
		const int i = pool_index(to), b = boot_index(to);

		if ((t[k] & (PTE_PRESENT | PTE_RW)) == (PTE_PRESENT | PTE_RW) &&
		    ((i >= 0 && use[i] != NONE) || (b >= 0 && boot_use[b] != NONE)))
			violation("a writable entry for a table", t[k]);
	}
}

static void note_descriptors(const char *what, mfn_t m)
{
	const int i = m ? pool_index(m) : -1;

	if (i >= 0 && use[i] != NONE && use[i] != DESCRIPTORS)
		violation(what, FRAMES(m) | use[i]);
	else if (i >= 0)
		use[i] = DESCRIPTORS;
}

static void walk_all(mfn_t kernel_mfn)
{
	memset(use, 0, sizeof(use));
	memset(boot_use, 0, sizeof(boot_use));
	walk_table(va_to_mfn(root), L4);
	walk_table(kernel_mfn, L4);
	if (user_mfn)
		walk_table(user_mfn, L4);
	for (int i = 0; i < POOL; i++)
		if (pinned[i])
			walk_table(mfn[i], pinned[i]);
	note_descriptors("a table is the GDT", gdt_mfn);
	note_descriptors("a table is the LDT", ldt_mfn);
	for (int i = 0; i < POOL; i++)
		check_leaves(mfn[i], use[i]);
	for (unsigned int i = 0; i < nr_boot; i++)
		check_leaves(boot_table[i], boot_use[i]);
}

/* ---- stores ---- */

static uint64_t canary, canary_step = 16;

static unsigned long a_window(void)
{
	if (!rnd(3))
		return (unsigned long)page[rnd(POOL)];
	return (SLOT + rnd(2)) << 39 | (unsigned long)rnd(LOW) << 30 |
	       (unsigned long)rnd(LOW) << 21 | (unsigned long)rnd(LOW) << 12;
}

static void put_canary(void *at)
{
	*(volatile uint64_t *)at = canary;
}

static void store(void)
{
	const unsigned long off = UNUSED + rnd(32) * 8, va = a_window() + off;
	bool found = false;

	canary += canary_step;
	if (vector_of(put_canary, (void *)va) >= 0)
		return;
	stores_done++;
	for (int i = 0; i < POOL; i++)
		if (contents(mfn[i])[off / 8] == canary) {
			found = true;
			if (use[i] != NONE)
				violation("a store to a table", va);
		}
	for (unsigned int i = 0; !found && i < nr_boot; i++)
		if (contents(boot_table[i])[off / 8] == canary)
			violation("a store to a boot table", va);
	if (!found && ((volatile uint64_t *)(alias + FRAMES(POOL)))[off / 8] != canary)
		violation("a store to nowhere of ours", va);
}

static void audit(mfn_t kernel_mfn)
{
	/* Stores to tables are to fault again. */
	HYPERVISOR_vm_assist(VMASST_CMD_disable, VMASST_TYPE_writable_pagetables);
	walk_all(kernel_mfn);
	for (unsigned int i = 0; i < STORES && !ended; i++)
		store();
}

/* ---- steps ---- */

/* For a table of any level: not the boot tables, whose image would come to be mapped there. */
static mfn_t a_target(void)
{
	mfn_t m;

	switch (rnd(20)) {
	case 0: return BAD_MFN;
	case 1: return grant_mfn; /* its contents matter less than shared_info's */
	case 2:			  /* an initial domain may have devices there */
		m = rnd(1u << (4 + rnd(12)));
		return is_initial_domain() || mfn_to_pfn(m) != ~0ul || heap(m) ? BAD_MFN : m;
	default: return mfn[rnd(POOL)];
	}
}

static mfn_t a_frame(void)
{
	return rnd(16) ? a_target() : boot_table[rnd(nr_boot)];
}

static uint64_t a_pte_for(mfn_t (*frame)(void))
{
	static const uint64_t flags[] = {
		7, 7, 7, 7, 5, 5, 5, 3, 1, 0, 0x67, 0x63, 0x87, 0x107, 0x1f, 7 | PTE_NX,
	};

	if (!rnd(4))
		return 0;
	return mfn_pte(frame(), flags[rnd(ARRAY_SIZE(flags))]);
}

static uint64_t a_pte(void)
{
	return a_pte_for(a_target);
}

static unsigned int an_index(void)
{
	return rnd(8) ? rnd(LOW) : rnd(512);
}

static void note(long rc)
{
	accepted += rc == 0;
}

static void map_page(void)
{
	static const unsigned long flush[] = {UVMF_NONE, UVMF_NONE, UVMF_INVLPG, UVMF_TLB_FLUSH,
					      UVMF_INVLPG | UVMF_ALL};
	const int i = (int)rnd(POOL);
	uint64_t pte = mfn_pte(mfn[i], rnd(2) ? PTE_KERN : PTE_KERN & ~PTE_RW);

	if (!rnd(4))
		pte = a_pte_for(a_frame);
	note(HYPERVISOR_update_va_mapping(rnd(4) ? (unsigned long)page[i] : a_window(), pte,
					  flush[rnd(ARRAY_SIZE(flush))]));
}

static void update(void)
{
	struct mmu_update u = {.val = a_pte()};

	u.ptr = FRAMES(rnd(16) ? mfn[rnd(POOL)] : a_frame()) | an_index() * 8 |
		(rnd(4) ? 0 : rnd(4));
	if (boot_index(u.ptr >> PAGE_SHIFT) >= 0 || (u.ptr & 3) == MMU_MACHPHYS_UPDATE)
		return; /* what the guest itself stands on */
	note(HYPERVISOR_mmu_update(&u, 1, NULL, DOMID_SELF));
}

/* The root's slots that are no one's, and Xen's. */
static void update_root(void)
{
	const unsigned int i = rnd(4) ? SLOT + rnd(2) : 256 + rnd(16);
	const long rc = pt_set(FRAMES(va_to_mfn(root)) + i * 8, a_pte());

	if (rc == 0 && xens_slot(L4, i))
		violation("a slot of Xen's", i);
	note(rc);
}

static void pin(void)
{
	const int i = (int)rnd(POOL);
	const unsigned int level = L1 + rnd(4);

	if (rnd(3)) {
		if (mmuext(MMUEXT_PIN_L1_TABLE + level - 1, mfn[i]) == 0) {
			if (pinned[i])
				violation("pinned twice", FRAMES(mfn[i]));
			pinned[i] = (uint8_t)level;
			accepted++;
		}
	} else if (mmuext(MMUEXT_UNPIN_TABLE, mfn[i]) == 0) {
		if (!pinned[i])
			violation("unpinned, and never was", FRAMES(mfn[i]));
		pinned[i] = 0;
	}
}

static void load_user_root(void)
{
	const mfn_t m = rnd(3) ? a_frame() : 0;

	if (mmuext(MMUEXT_NEW_USER_BASEPTR, m) == 0)
		user_mfn = m;
}

/* On a root that has the image: there and back. */
static void load_root(void)
{
	const int i = (int)rnd(POOL);
	const volatile uint64_t *t = contents(mfn[i]);

	if ((t[0] & PTE_MFN) != (root[0] & PTE_MFN) || !(t[0] & PTE_PRESENT)) {
		note(pt_set(FRAMES(mfn[i]), root[0]));
		return;
	}
	if (mmuext(MMUEXT_NEW_BASEPTR, mfn[i]))
		return;
	accepted++;
	ldt_mfn = 0;
	audit(mfn[i]);
	check_eq("back", mmuext(MMUEXT_NEW_BASEPTR, va_to_mfn(root)), 0);
}

static void set_gdt(void)
{
	unsigned long frame = a_frame();
	const unsigned int entries = rnd(2) ? 512 : 0;

	if (HYPERVISOR_set_gdt(&frame, entries) == 0)
		gdt_mfn = entries ? frame : 0;
}

void forbidden_lar(void *selector);
__asm__("forbidden_lar: lar %edi, %eax; ret");

/* The frame at va by the tables, or 0. */
static mfn_t frame_at(unsigned long va)
{
	mfn_t m = va_to_mfn(root);

	for (int shift = 39; shift >= PAGE_SHIFT; shift -= 9) {
		const uint64_t e = contents(m)[va >> shift & 511];

		if (!(e & PTE_PRESENT))
			return 0;
		m = (e & PTE_MFN) >> PAGE_SHIFT;
		if (shift > PAGE_SHIFT && pool_index(m) < 0 && boot_index(m) < 0)
			return 0;
	}
	return m;
}

static void set_ldt(void)
{
	struct mmuext_op op = {.cmd = MMUEXT_SET_LDT};

	op.arg1.linear_addr = a_window();
	op.arg2.nr_ents = rnd(3) ? 512 : 0;
	if (HYPERVISOR_mmuext_op(&op, 1, NULL, DOMID_SELF))
		return;
	ldt_mfn = 0;
	/* Used, its page becomes one of descriptors. */
	if (hardware && op.arg2.nr_ents && vector_of(forbidden_lar, (void *)LDT_SEL) < 0) {
		ldt_mfn = frame_at(op.arg1.linear_addr);
		accepted++;
	}
}

static void descriptor(void)
{
	note(HYPERVISOR_update_descriptor(FRAMES(a_frame()) | an_index() * 8,
					  rnd(2) ? 0x00cff3000000ffff : a_pte()));
}

static void page_op(void)
{
	struct mmuext_op op = {.cmd = rnd(4) ? MMUEXT_CLEAR_PAGE : MMUEXT_COPY_PAGE,
			       .arg1.mfn = mfn[rnd(POOL)]};

	op.arg2.src_mfn = mfn[rnd(POOL)]; /* a boot table's copy would show the image, writable */
	note(HYPERVISOR_mmuext_op(&op, 1, NULL, DOMID_SELF));
}

/* A page that the CPU has just written to becomes a table at once, without a flush of ours. */
static void stale(void)
{
	const int i = (int)rnd(POOL);
	const unsigned int level = L1 + rnd(4);
	uint64_t *last = page[i] + 511;

	if (HYPERVISOR_update_va_mapping((unsigned long)page[i], mfn_pte(mfn[i], PTE_KERN),
					 UVMF_INVLPG))
		return;
	page_clear(page[i]);
	HYPERVISOR_update_va_mapping((unsigned long)page[i], mfn_pte(mfn[i], PTE_KERN & ~PTE_RW),
				     UVMF_NONE);
	if (mmuext(MMUEXT_PIN_L1_TABLE + level - L1, mfn[i]))
		return;
	pinned[i] = (uint8_t)level;
	accepted++;
	HYPERVISOR_vm_assist(VMASST_CMD_disable, VMASST_TYPE_writable_pagetables);
	if (vector_of(put_canary, last) < 0)
		violation("a store by a stale translation", (unsigned long)last);
}

static uint64_t wanted;

static void put_wanted(void *at)
{
	*(volatile uint64_t *)at = wanted;
}

/* The guest's own store, also to where it may only read, with the assist now and then. */
static void prepare(void)
{
	unsigned long va = rnd(2) ? a_window() : alias + FRAMES(rnd(POOL));

	if (boot_index(frame_at(va)) >= 0) /* the assist would let us, and we would die of it */
		return;
	HYPERVISOR_vm_assist(rnd(2),
			     rnd(4) ? VMASST_TYPE_writable_pagetables : VMASST_TYPE_m2p_strict);
	wanted = a_pte();
	note(vector_of(put_wanted, (void *)(va + an_index() * 8)) >= 0);
}

/* Calls that write to the guest's memory, by address and by frame. */
static void outputs(void)
{
	struct gnttab_copy c = {
		.source = {.u.gmfn = mfn[rnd(POOL)], .domid = DOMID_SELF},
		.dest = {.u.gmfn = a_frame(), .domid = DOMID_SELF},
		.len = 256,
	};
	struct vcpu_register_runstate_memory_area area = {.addr.p = a_window() + UNUSED};

	if (rnd(2))
		HYPERVISOR_xen_version(XENVER_extraversion, (void *)(a_window() + rnd(4064)));
	else if (rnd(2))
		HYPERVISOR_vcpu_op(VCPUOP_register_runstate_memory_area, 0, &area);
	else
		grant_copy(&c);
}

static void step(void)
{
	static void (*const steps[])(void) = {
		map_page,	map_page, map_page, update,  update,	 update,    update,
		update_root,	pin,	  pin,	    pin,     page_op,	 page_op,   page_op,
		prepare,	prepare,  set_gdt,  set_ldt, descriptor, load_root, outputs,
		load_user_root, stale,
	};

	if (!rnd(50))
		mmuext(rnd(2) ? MMUEXT_TLB_FLUSH_LOCAL : MMUEXT_TLB_FLUSH_ALL, 0);
	steps[rnd(ARRAY_SIZE(steps))]();
}

/* ---- the beginning and the end ---- */

static void find_boot_tables(mfn_t m, unsigned int level)
{
	const volatile uint64_t *t = pfn_to_va(mfn_to_pfn(m));

	if (nr_boot == MAX_BOOT)
		panic("too many boot tables");
	boot_level[nr_boot] = (uint8_t)level;
	boot_table[nr_boot++] = m;
	for (unsigned int i = 0; i < 512 && level > L1; i++)
		if (t[i] & PTE_PRESENT && !xens_slot(level, i))
			find_boot_tables((t[i] & PTE_MFN) >> PAGE_SHIFT, level - 1);
}

/* Twice: what a page maps writably may be what another needs to be a page again. */
static void take_back(void)
{
	static const unsigned long none;

	HYPERVISOR_vm_assist(VMASST_CMD_disable, VMASST_TYPE_writable_pagetables);
	HYPERVISOR_set_gdt((unsigned long *)&none, 0);
	HYPERVISOR_mmuext_op(&(struct mmuext_op){.cmd = MMUEXT_SET_LDT}, 1, NULL, DOMID_SELF);
	mmuext(MMUEXT_NEW_USER_BASEPTR, 0);
	for (unsigned int i = 0; i < 2; i++)
		check_eq("slot", pt_set(FRAMES(va_to_mfn(root)) + (SLOT + i) * 8, 0), 0);
	for (int i = 0; i < POOL; i++)
		if (pinned[i])
			check_eq("unpin", mmuext(MMUEXT_UNPIN_TABLE, mfn[i]), 0);
	for (int i = 0; i < POOL; i++)
		check_eq("read-only", page_set_ro(page[i], true), 0);
	for (int i = 0; i < POOL; i++)
		check_eq("a page again", page_set_ro(page[i], false), 0);
}

void test_main(void)
{
	static xen_pfn_t grant_frame;
	struct gnttab_setup_table setup = {
		.dom = DOMID_SELF, .nr_frames = 1, .frame_list.p = &grant_frame};

	printf("seed %lu, %u steps\n", rnd_seed(NULL), STEPS);
	root = (uint64_t *)start_info->pt_base;
	/*
	 * Not present, should it land in a table. On real Xen the initial domain's stores to tables
	 * are carried out in any case, if they are allowed: so one that is not.
	 */
	canary = is_initial_domain() ? 0x000fff0000000001 : 0x5ca1ab1e00000000;
	canary_step = is_initial_domain() ? PAGE_SIZE : 16;
	check_eq("grant table", HYPERVISOR_grant_table_op(GNTTABOP_setup_table, &setup, 1), 0);
	grant_mfn = grant_frame;
	hardware = user_try();
	mmuext(MMUEXT_NEW_USER_BASEPTR, 0);
	alias = va_alloc(POOL + 1);
	for (int i = 0; i < POOL; i++) {
		page[i] = page_alloc();
		mfn[i] = va_to_mfn(page[i]);
		map_mfn(alias + FRAMES(i), mfn[i], PTE_KERN & ~PTE_RW);
		pool_low = mfn[i] < pool_low ? mfn[i] : pool_low;
		pool_high = mfn[i] > pool_high ? mfn[i] : pool_high;
	}
	map_mfn(alias + FRAMES(POOL), grant_mfn, PTE_KERN & ~PTE_RW);
	find_boot_tables(va_to_mfn(root), L4);
	for (step_nr = 0; step_nr < STEPS && !ended; step_nr++) {
		step();
		if (step_nr % AUDIT == AUDIT - 1)
			audit(va_to_mfn(root));
	}
	if (!ended)
		take_back();
	printf("%u calls accepted, %u stores\n", accepted, stores_done);
	check("it did something", accepted > STEPS / 20 && stores_done > STEPS / 20);
}
