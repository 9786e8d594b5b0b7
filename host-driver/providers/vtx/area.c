/* SPDX-License-Identifier: MIT */
/*
 * The hypervisor's part of every address space: the vCPUs' areas (vtx.h) and the machine-to-
 * physical table (public arch-x86/xen-x86_64.h). Page tables as Intel SDM vol. 3, 4.5.
 */
#include <sys/mman.h>

#include "host-driver/libpavane/tables.h"
#include "host-driver/providers/vtx/vtx.h"

#define AREA_PAGES (AREA_SIZE / PAGE_SIZE)
#define NR_L1	   (PVDOM_MAX_VCPUS * AREA_PAGES / 512)
#define M2P_LARGE  512 /* of 2 MiB: for 1 TiB of guest RAM */

#define TABLE	 (PTE_P | PTE_RW | PTE_A)
#define DATA	 (PTE_P | PTE_RW | PTE_A | PTE_D | PTE_NX)
#define READONLY (PTE_P | PTE_A | PTE_NX)
#define CODE	 (PTE_P | PTE_A)

static uint64_t l3[512] __attribute__((aligned(4096)));
static uint64_t l2[512] __attribute__((aligned(4096)));
static uint64_t l1[NR_L1][512] __attribute__((aligned(4096)));
static uint64_t m2p_l3[512] __attribute__((aligned(4096)));
static uint64_t m2p_l2[512] __attribute__((aligned(4096)));
static uint64_t no_descriptors[512] __attribute__((aligned(4096)));

uint64_t area_of(const struct vcpu *v)
{
	return AREA_BASE + v->id * AREA_SIZE;
}

/* The entry for a page of v's area. */
static uint64_t *entry(const struct vcpu *v, uint64_t offset)
{
	return &l1[0][v->id * AREA_PAGES + offset / PAGE_SIZE];
}

static void map(const struct vcpu *v, uint64_t offset, const void *memory, unsigned pages,
		uint64_t flags)
{
	for (unsigned i = 0; i < pages; i++)
		entry(v, offset)[i] = pv_physical_of((const uint8_t *)memory + i * PAGE_SIZE) |
				      flags;
}

static void slot_init(struct domain *d)
{
	l3[0] = pv_physical_of(l2) | TABLE;
	for (unsigned i = 0; i < NR_L1; i++)
		l2[i] = pv_physical_of(l1[i]) | TABLE;
	d->l4_slot[SLOT_AREAS - 256] = pv_physical_of(l3) | TABLE;
	pv_root_upper()[SLOT_AREAS - 256] = d->l4_slot[SLOT_AREAS - 256];
}

static void gate(struct vtx_vcpu *p, unsigned vector, uint64_t handler)
{
	/* Interrupt gate, IST 1 (debug exceptions: 2); int3, into and int 0x80 are for ring 3. */
	const bool open = vector == 3 || vector == 4 || vector == VECTOR_INT80;
	const uint64_t type = open ? 0xee : 0x8e;

	p->idt[2 * vector] = (handler & 0xffff) | (uint64_t)SEL_MONITOR_CS << 16 |
			     (vector == VECTOR_DB ? 2UL : 1UL) << 32 | type << 40 |
			     (handler >> 16 & 0xffff) << 48;
	p->idt[2 * vector + 1] = handler >> 32;
}

static void system_descriptor(struct vtx_vcpu *p, unsigned selector, uint64_t type, uint64_t base,
			      uint64_t limit)
{
	uint64_t *e = &p->gdt[(selector & 0xfff) / 8];

	e[0] = (limit & 0xffff) | (base & 0xffffff) << 16 | (type | 0x80) << 40 |
	       (base >> 24 & 0xff) << 56;
	e[1] = base >> 32;
}

static void descriptors_init(struct vtx_vcpu *p, uint64_t area)
{
	static const struct {
		unsigned selector;
		uint64_t descriptor;
	} flat[] = {
		{SEL_MONITOR_CS, 0x00af9b000000ffff}, {SEL_MONITOR_SS, 0x00cf93000000ffff},
		{SEL_GUEST_CS32, 0x00cffb000000ffff}, {SEL_GUEST_SS, 0x00cff3000000ffff},
		{SEL_GUEST_CS, 0x00affb000000ffff},
	};
	const uint64_t code = area - (uint64_t)switcher, ist = area + AREA_STATE + S_STACK_TOP;
	const uint64_t debug_ist = area + AREA_STATE + S_DEBUG_STACK_TOP;
	const uint16_t no_ports = sizeof(p->state.tss);

	for (unsigned i = 0; i < sizeof(flat) / sizeof(flat[0]); i++)
		p->gdt[(flat[i].selector & 0xfff) / 8] = flat[i].descriptor;
	system_descriptor(p, SEL_TSS, 11, area + AREA_STATE + offsetof(struct vtx_state, tss),
			  sizeof(p->state.tss) - 1);
	memcpy(p->state.tss + 0x24, &ist, sizeof(ist));
	memcpy(p->state.tss + 0x2c, &debug_ist, sizeof(debug_ist));
	memcpy(p->state.tss + 0x66, &no_ports, sizeof(no_ports));
	for (unsigned i = 0; i < 32; i++)
		gate(p, i, code + (uint64_t)switcher_vectors + i * VECTOR_STUB_SIZE);
	gate(p, VECTOR_INT80, code + (uint64_t)switcher_vectors_high);
	gate(p, VECTOR_KICK, code + (uint64_t)switcher_vectors_high + VECTOR_STUB_SIZE);
	gate(p, VECTOR_TIMER, code + (uint64_t)switcher_vectors_high + 2 * VECTOR_STUB_SIZE);
}

int area_init(struct vcpu *v)
{
	const uint64_t area = area_of(v);
	const struct pv_tables tables = {
		.gdt = area + AREA_GDT,
		.gdt_limit = GDT_PAGES * PAGE_SIZE - 1,
		.idt = area + AREA_IDT,
		.idt_limit = PAGE_SIZE - 1,
		.tss = area + AREA_STATE + offsetof(struct vtx_state, tss),
		.tss_limit = sizeof(((struct vtx_state *)0)->tss) - 1,
		.cs = SEL_MONITOR_CS,
		.ss = SEL_MONITOR_SS,
		.tr = SEL_TSS,
		.lstar = area - (uint64_t)switcher + (uint64_t)switcher_syscall,
		.star = (uint64_t)SEL_GUEST_CS32 << 48 | (uint64_t)SEL_MONITOR_CS << 32,
		.sfmask = 0x47700, /* AC NT IOPL DF IF TF */
		.cr4 = 1 << 17,	   /* PCIDE */
		.cr4_off = 1 << 7, /* PGE: Xen's G bit must not outlive a root */
	};
	struct vtx_vcpu *p =
		mmap(NULL, sizeof(*p), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int64_t cr4;

	if (p == MAP_FAILED)
		return -ENOMEM;
	slot_init(v->d);
	descriptors_init(p, area);
	map(v, AREA_CODE, switcher, CODE_PAGES, CODE);
	map(v, AREA_STATE, p, 1, DATA);
	map(v, AREA_VCPU, (uint8_t *)v - VCPU_SHIFT, VCPU_PAGES, DATA);
	map(v, AREA_IDT, p->idt, 1, READONLY);
	map(v, AREA_GDT + GDT_OWN * PAGE_SIZE, p->gdt, 1, DATA); /* the CPU marks the TSS busy */
	p->state.vcpu = v;
	p->state.monitor_fs = (uint64_t)__builtin_thread_pointer();
	p->state.syscall = vtx_syscall;
	p->state.trap = vtx_trap;
	p->state.fault = vtx_fault;
	p->state.host_call = pv_syscall_exit;
	p->state.pv_trap = pv_trap;
	v->provider = &p->state;
	area_tables(v);
	cr4 = pv_tables_load(&tables);
	if (cr4 < 0)
		return cr4;
	p->state.keep = cr4 >> 17 & 1 ? 1UL << 63 : 0;
	p->state.monitor_cr3 = pv_root_cr3() | p->state.keep;
	return 0;
}

/* Of a table of descriptors: the guest's frame, or a page that has none. */
static uint64_t descriptor_page(uint64_t mfn, bool used)
{
	return used ? mfn << PAGE_SHIFT | READONLY | PTE_RW | PTE_D
		    : pv_physical_of(no_descriptors) | READONLY;
}

/* For fast.S, which knows nothing of an IOPL: frames with one are the monitor's. */
static void info_map(struct vcpu *v)
{
	const bool simple = !(v->d->vm_assist >> VMASST_TYPE_architectural_iopl & 1);
	struct vtx_state *s = state_of(v);
	const uint64_t at = (uint64_t)((uint8_t *)v->info - v->d->ram);

	s->no_info[0] = 1;
	s->info = area_of(v) + AREA_STATE + offsetof(struct vtx_state, no_info);
	if (!v->info || !simple)
		return;
	*entry(v, AREA_INFO) = (at & PAGE_MASK) | DATA;
	s->info = area_of(v) + AREA_INFO + at % PAGE_SIZE;
}

void area_tables(struct vcpu *v)
{
	struct vtx_state *s = state_of(v);
	struct vtx_vcpu *p = (struct vtx_vcpu *)s;

	for (unsigned i = 0; i < GDT_PAGES; i++)
		if (i != GDT_OWN)
			*entry(v, AREA_GDT + i * PAGE_SIZE) = descriptor_page(
				v->gdt_mfn[i % 14], i < 14 && i * 512 < v->gdt_entries);
	for (unsigned i = 0; i < 16; i++) /* not there until it is used: entry.c */
		*entry(v, AREA_LDT + i * PAGE_SIZE) =
			v->ldt_mfn[i] ? descriptor_page(v->ldt_mfn[i], true) : 0;
	system_descriptor(p, SEL_LDT, 2, area_of(v) + AREA_LDT, v->ldt_entries * 8UL - 1);
	info_map(v);
	s->dirty = 1;
	__atomic_store_n(&s->flush, 1, __ATOMIC_SEQ_CST);
}

int area_memory(struct domain *d)
{
	const uint64_t bytes = d->nr_frames * sizeof(uint64_t);

	if (bytes > M2P_LARGE * M2P_ALIGN || pv_physical(0, d->ram, d->nr_frames << PAGE_SHIFT))
		return -ENOMEM;
	m2p_l3[0] = pv_physical_of(m2p_l2) | TABLE | PTE_US;
	for (uint64_t i = 0; i * M2P_ALIGN < bytes; i++)
		m2p_l2[i] = pv_physical_of((uint8_t *)d->m2p + i * M2P_ALIGN) | PTE_P | PTE_US |
			    PTE_A | PTE_PS | PTE_NX;
	d->l4_slot[SLOT_M2P - 256] = pv_physical_of(m2p_l3) | PTE_P | PTE_US | PTE_A;
	return 0;
}
