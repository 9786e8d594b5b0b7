/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes direct paging: a hostile guest with a small address space stores into whatever it has
 * mapped writable and calls mmu_update, mmuext_op, update_va_mapping, memory_op and the
 * descriptor calls. After every step all references are counted again from the page tables, and
 * a model of the process provider's mirror must show nothing that the tables no longer grant.
 */
#include <string.h>
#include <sys/mman.h>

#include "hypercalls/monitor/mm.h"

#define NR_RAM	  96
#define NR_FRAMES (PVDOM_MFN_RAM + NR_RAM)
#define MAX_PAGES 88
#define VA	  0x400000UL
#define ARGS	  VA
#define LIST	  (VA + 0x800)
#define MIRRORED  32
#define NR_TABLES 6

#define CHECK(x)                          \
	do {                              \
		if (!(x))                 \
			__builtin_trap(); \
	} while (0)

struct domain *the_domain;
__thread struct vcpu *current;

static struct domain dom, dom0;
static struct vcpu vcpu, vcpu0;
static struct frame frames0[NR_FRAMES];
static uint8_t ram0[NR_RAM * 4096];
static const uint8_t *input;
static size_t left;

static uint8_t byte(void)
{
	return left ? left--, *input++ : 0;
}

/* ---- the mirror: what a provider has mapped ---- */
static struct {
	uint64_t va, pte; /* va 0: none */
} mirror[MIRRORED];

static void invalidate(struct domain *d, uint64_t va)
{
	for (int i = 0; i < MIRRORED; i++)
		if (va == FLUSH_ALL || mirror[i].va == (va & PAGE_MASK))
			mirror[i].va = 0;
}

/* ---- the TLB: what a CPU that reads the tables itself may still use ---- */
static uint64_t tlb[MIRRORED]; /* entries of writable pages; 0: none */

static void flush(struct domain *d, uint32_t vcpus, uint64_t va)
{
	if (va == FLUSH_ALL)
		memset(tlb, 0, sizeof(tlb));
}

/* No page that a stale entry could write to is a table. */
static void check_tlb(void)
{
	for (int i = 0; i < MIRRORED; i++) {
		const struct frame *f = &dom.frame[pte_mfn(tlb[i])];

		CHECK(!tlb[i] || !f->type_count || f->type == FT_WRITABLE);
	}
}

static void root_changed(struct vcpu *v)
{
	invalidate(v->d, FLUSH_ALL);
	memset(tlb, 0, sizeof(tlb));
}

static const struct provider provider = {
	.name = "fuzz",
	.invalidate = invalidate,
	.root_changed = root_changed,
	.flush = flush,
};

static bool mfn_is_ram(uint64_t mfn)
{
	return mfn >= PVDOM_MFN_RAM;
}

/* As host-driver/providers/process/mirror.c does on a fault. */
static void mirror_fault(uint64_t va, unsigned slot)
{
	uint64_t e = walk(&vcpu, va), mfn = vcpu.cr3_mfn, base = va & ~((1UL << 21) - 1);
	struct frame *f;

	if (!(e & PTE_P))
		return;
	for (int shift = 39; shift > 12; shift -= 9)
		mfn = pte_mfn(((uint64_t *)frame_ptr(&dom, mfn))[va >> shift & 511]);
	f = &dom.frame[mfn];
	if (f->va_hint == VA_HINT_NONE)
		f->va_hint = base;
	else if (f->va_hint != base)
		f->va_hint = VA_HINT_MANY;
	mirror[slot % MIRRORED].va = va & PAGE_MASK;
	mirror[slot % MIRRORED].pte = e;
	if (e & PTE_RW && mfn_is_ram(pte_mfn(e)))
		tlb[slot % MIRRORED] = e;
}

static void check_mirror(void)
{
	for (int i = 0; i < MIRRORED; i++) {
		uint64_t now, then = mirror[i].pte;

		if (!mirror[i].va)
			continue;
		now = walk(&vcpu, mirror[i].va);
		CHECK(now & PTE_P && pte_mfn(now) == pte_mfn(then));
		CHECK(now & PTE_RW || !(then & PTE_RW));
		CHECK(then & PTE_NX || !(now & PTE_NX));
	}
}

/* ---- the references, counted again ---- */
static uint32_t types[NR_FRAMES], refs[NR_FRAMES];
static uint8_t type_of[NR_FRAMES];
static unsigned entries[NR_FRAMES], uses[NR_FRAMES]; /* linear ones */

static void count_type(uint64_t mfn, uint8_t type)
{
	CHECK(mfn >= PVDOM_MFN_RAM && mfn < NR_FRAMES);
	CHECK(!types[mfn] || type_of[mfn] == type); /* the promise of it all */
	type_of[mfn] = type;
	types[mfn]++;
	refs[mfn]++;
}

/* An entry for a table of its own table's level, which may also be that one. */
static void count_linear(uint64_t from, uint64_t to, uint8_t type, uint64_t e)
{
	CHECK(!(e & PTE_RW));
	if (from == to)
		return;
	count_type(to, type);
	entries[from]++;
	uses[to]++;
}

static void count_table(uint64_t mfn, uint8_t type)
{
	const uint64_t *table = frame_ptr(&dom, mfn);

	for (unsigned i = 0; i < 512; i++) {
		uint64_t e = table[i], to = pte_mfn(e);

		if (type == FT_L4 && l4_slot_is_xens(i)) {
			CHECK(!e);
			continue;
		}
		if (!(e & PTE_P))
			continue;
		CHECK(to < NR_FRAMES && e & PTE_US);
		if (type != FT_L1 && dom.frame[to].type_count && dom.frame[to].type == type)
			count_linear(mfn, to, type, e);
		else if (type != FT_L1)
			count_type(to, type - 1);
		else if (to < PVDOM_MFN_RAM)
			CHECK(to == PVDOM_MFN_SHARED_INFO || to == PVDOM_MFN_GRANT);
		else if (e & PTE_RW)
			count_type(to, FT_WRITABLE);
		else
			refs[to]++;
	}
}

static void check_counts(void)
{
	uint64_t pages = 0;

	memset(types, 0, sizeof(types));
	memset(refs, 0, sizeof(refs));
	memset(entries, 0, sizeof(entries));
	memset(uses, 0, sizeof(uses));
	count_type(vcpu.cr3_mfn, FT_L4);
	if (vcpu.user_cr3_mfn)
		count_type(vcpu.user_cr3_mfn, FT_L4);
	for (unsigned i = 0; i < (vcpu.gdt_entries + 511) / 512; i++)
		count_type(vcpu.gdt_mfn[i], FT_SEGDESC);
	for (uint64_t mfn = PVDOM_MFN_RAM; mfn < NR_FRAMES; mfn++) {
		const struct frame *f = &dom.frame[mfn];

		if (f->pinned)
			count_type(mfn, f->type);
		if (f->type_count && f->type >= FT_L1 && f->type <= FT_L4)
			count_table(mfn, f->type);
	}
	for (uint64_t mfn = PVDOM_MFN_RAM; mfn < NR_FRAMES; mfn++) {
		const struct frame *f = &dom.frame[mfn];

		CHECK(f->type_count == types[mfn] && f->ref_count == refs[mfn]);
		CHECK(!types[mfn] || f->type == type_of[mfn]);
		CHECK(f->linear == (int)entries[mfn] - (int)uses[mfn]);
		CHECK(!entries[mfn] || !uses[mfn]); /* so no cycles */
		CHECK(f->kind != FRAME_HEAP && (f->kind != FRAME_FREE || !f->ref_count));
		CHECK(f->kind != FRAME_DYING || f->ref_count);
		pages += f->kind != FRAME_FREE;
	}
	CHECK(pages == dom.tot_pages && pages <= dom.max_pages);
}

/* ---- what the guest says ---- */
static uint64_t any(void)
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | byte();
	return v;
}

static uint64_t a_frame(void)
{
	uint8_t b = byte();

	switch (b >> 4) {
	case 15: return b & 7; /* the heap */
	case 14: return NR_FRAMES + (b & 15);
	case 13: return b & 1 ? any() : PTE_MFN_MASK >> PAGE_SHIFT;
	default: return PVDOM_MFN_RAM + b % NR_RAM;
	}
}

static uint64_t a_pte(void)
{
	static const uint64_t flags[] = {0, 1, 3, 5, 7, 7, 7 | PTE_NX, 0x67, 0x87, 0x107, 0x3e7};
	uint8_t b = byte();

	return b == 255 ? any() : (a_frame() & 0xffffffffff) << PAGE_SHIFT | flags[b % 11];
}

static uint64_t a_va(void)
{
	uint8_t b = byte();
	uint64_t v;

	switch (b >> 5) {
	case 7: return any();
	case 6: return HYPERVISOR_START + (b & 31) * PAGE_SIZE;
	case 4: /* where a linear table may show one of the tables */
		for (v = 0; b & 7; b--)
			v += 1UL << 39 | 1UL << 30 | 1UL << 21 | 1UL << 12;
		return b & 16 ? v & ((1UL << 39) - 1) : b & 8 ? v & ((1UL << 30) - 1) : v;
	case 5: /* by a second entry of the L2 */ return 2 * VA + (b & 31) * PAGE_SIZE;
	default: return VA + b * PAGE_SIZE;
	}
}

static uint64_t a_domid(void)
{
	uint8_t b = byte();

	return b < 240 ? DOMID_SELF : b < 248 ? any() : b - 248;
}

static void store(uint64_t va, uint64_t val)
{
	copy_to_guest(&vcpu, va, &val, sizeof(val));
}

static void mmu_update(void)
{
	unsigned n = 1 + byte() % 3;
	uint64_t done = byte() & 1 ? a_va() : 0;

	for (unsigned i = 0; i < n; i++) {
		store(ARGS + i * 16, a_frame() << PAGE_SHIFT | (byte() & 3) | (byte() & 3) << 11 |
					     (uint64_t)byte() << 3);
		store(ARGS + i * 16 + 8, a_pte());
	}
	do_mmu_update(&vcpu, ARGS, byte() & 1 ? n : n | MMU_UPDATE_PREEMPTED, done, a_domid(), 0);
}

/* A table, mostly one of the first ones, names a table, where a_va() will look for it. */
static void linear(void)
{
	static const uint64_t flags[] = {5, 5, 5, 7};
	const uint64_t from = byte() & 1 ? a_frame() : PVDOM_MFN_RAM + byte() % NR_TABLES;
	const uint64_t to = byte() & 1 ? a_frame() : PVDOM_MFN_RAM + byte() % NR_TABLES;

	store(ARGS, from << PAGE_SHIFT | (byte() & 7) << 3);
	store(ARGS + 8, to << PAGE_SHIFT | flags[byte() & 3]);
	do_mmu_update(&vcpu, ARGS, 1, 0, DOMID_SELF, 0);
}

static void mmuext_op(void)
{
	struct mmuext_op op = {.cmd = byte() % 24};

	if (op.cmd == MMUEXT_SET_LDT || op.cmd == MMUEXT_INVLPG_LOCAL)
		op.arg1.linear_addr = a_va();
	else
		op.arg1.mfn = a_frame();
	op.arg2.src_mfn = byte() & 1 ? a_frame() : any();
	copy_to_guest(&vcpu, ARGS, &op, sizeof(op));
	do_mmuext_op(&vcpu, ARGS, byte() ? 1 : any(), byte() & 1 ? a_va() : 0, a_domid(), 0);
}

static void reservation(xen_memory_reservation_t *r, uint64_t list)
{
	r->nr_extents = byte() == 255 ? any() : byte() % 12;
	r->extent_order = byte() % 5;
	r->domid = a_domid();
	set_xen_guest_handle(r->extent_start, (xen_pfn_t *)(byte() == 255 ? a_va() : list));
}

static void memory_op(void)
{
	struct xen_memory_exchange x = {0};
	uint8_t cmd = byte() % 16;

	reservation(&x.in, LIST);
	if (cmd == XENMEM_exchange) {
		reservation(&x.out, LIST + 0x100);
		x.nr_exchanged = byte() & 1 ? byte() % 16 : 0;
		if (byte() & 7) /* mostly of equal size */
			x.out.nr_extents = x.in.nr_extents << x.in.extent_order >>
					   x.out.extent_order;
	}
	for (unsigned i = 0; i < 12; i++)
		store(LIST + i * 8, byte() & 1 ? a_frame() : byte());
	copy_to_guest(&vcpu, ARGS, &x, sizeof(x));
	do_memory_op(&vcpu, cmd | (uint64_t)(byte() == 255 ? byte() : 0) << 6, ARGS, 0, 0, 0);
}

static void descriptors(void)
{
	if (byte() & 1) {
		do_update_descriptor(&vcpu, a_frame() << PAGE_SHIFT | byte() << 3, any(), 0, 0, 0);
		return;
	}
	for (unsigned i = 0; i < 3; i++)
		store(LIST + i * 8, a_frame());
	do_set_gdt(&vcpu, LIST, byte() * 8, 0, 0, 0);
}

/* The broker believes its client no more than we do. */
static void toolstack(void)
{
	uint64_t mfn[4], pfn[4] = {1, ~0UL, 3, 4};
	unsigned order = byte() % 20, n = byte() % 5;

	for (unsigned i = 0; i < n; i++)
		mfn[i] = a_frame();
	switch (byte() % 3) {
	case 0: toolstack_populate(&dom, order, pfn, mfn, n); break;
	case 1: toolstack_decrease(&dom, order, mfn, n); break;
	default: toolstack_mmuext(&dom, byte() % 6, a_frame());
	}
}

static void step(void)
{
	uint64_t n;

	switch (byte() % 12) {
	case 0: /* the guest's own store */
		n = a_va() + byte() * 8;
		store(n, a_pte());
		break;
	case 1:
	case 2: mmu_update(); break;
	case 3:
	case 4: mmuext_op(); break;
	case 5:
	case 6:
		n = a_va();
		if (byte() & 15)
			do_update_va_mapping(&vcpu, n, a_pte(), byte(), 0, 0);
		else
			do_update_va_mapping_otherdomain(&vcpu, n, a_pte(), byte() ? 0 : any(),
							 a_domid(), 0);
		break;
	case 7: memory_op(); break;
	case 8: descriptors(); break;
	case 9: toolstack(); break;
	case 10: linear(); break;
	default: n = a_va(); mirror_fault(n, byte());
	}
}

/* ---- the domain: data frames, then the tables, then the spare ones; all mapped from VA ---- */
static void setup(void)
{
	uint64_t base, *t[4];

	dom = (struct domain){.id = 7,
			      .nr_vcpus = 1,
			      .vcpu = {&vcpu},
			      .provider = &provider,
			      .shutdown = -1,
			      .nr_frames = NR_FRAMES,
			      .max_pages = MAX_PAGES,
			      .nr_e820 = 2,
			      .grant_frames = 1};
	vcpu = (struct vcpu){.d = &dom, .kernel_mode = true};
	dom.ram = mmap(NULL, NR_FRAMES * PAGE_SIZE, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(dom.ram != MAP_FAILED && !frame_init(&dom));
	base = frame_alloc(&dom, 6, 0);
	for (unsigned i = 0; i < 4; i++)
		t[i] = frame_ptr(&dom, base + i);
	for (unsigned i = 0; i < 64; i++) /* page i of VA is frame i; the last ones nowhere */
		t[0][i] = i < 56 ? (base + i) << PAGE_SHIFT | (i < NR_TABLES ? 5 : 7) : 0;
	t[0][0] = (base + 40) << PAGE_SHIFT | 7; /* the arguments' */
	t[1][VA >> 21] = base << PAGE_SHIFT | 7;
	t[1][2 * VA >> 21] = base << PAGE_SHIFT | 7;
	t[2][0] = (base + 1) << PAGE_SHIFT | 7;
	t[3][0] = (base + 2) << PAGE_SHIFT | 7;
	CHECK(!toolstack_mmuext(&dom, MMUEXT_PIN_L4_TABLE, base + 3));
	CHECK(!root_load(&vcpu, base + 3));
	for (unsigned i = 4; i < NR_TABLES; i++) /* empty ones beside it */
		CHECK(!toolstack_mmuext(&dom, MMUEXT_PIN_L4_TABLE, base + i));
	dom.alloc_hint = base + 64 + 20; /* of the two free runs of 16, leave one */
	frame_alloc(&dom, 2, 0);
	check_counts();
	dom0 = dom;
	vcpu0 = vcpu;
	memcpy(frames0, dom.frame, sizeof(frames0));
	memcpy(ram0, frame_ptr(&dom, PVDOM_MFN_RAM), sizeof(ram0));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	if (!dom.ram)
		setup();
	dom = dom0;
	vcpu = vcpu0;
	memcpy(dom.frame, frames0, sizeof(frames0));
	memcpy(frame_ptr(&dom, PVDOM_MFN_RAM), ram0, sizeof(ram0));
	memset(mirror, 0, sizeof(mirror));
	memset(tlb, 0, sizeof(tlb));
	input = bytes;
	left = size;
	dom.alloc_hint = PVDOM_MFN_RAM + byte();
	for (int n = 0; left && n < 100; n++) {
		step();
		check_counts();
		check_mirror();
		check_tlb();
	}
	return 0;
}
