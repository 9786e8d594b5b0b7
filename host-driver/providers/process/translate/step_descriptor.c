/* SPDX-License-Identifier: MIT */
/* Descriptors: the guest's, from its GDT and LDT (Intel SDM vol. 3, 3.4 and 5), and Xen's own. */
#include "host-driver/providers/process/translate/step.h"
#include "hypercalls/monitor/mm.h"

#define FLAT_CODE32 0x00cffb000000ffffUL
#define FLAT_DATA   0x00cff3000000ffffUL
#define FLAT_CODE64 0x00affb000000ffffUL

static enum lookup of_ldt(struct vcpu *v, unsigned n, uint64_t *e)
{
	const unsigned page = n / 512;
	const uint64_t *table;

	if (n >= v->ldt_entries)
		return LOOKUP_NONE;
	if (!v->ldt_mfn[page]) {
		pthread_mutex_lock(&v->d->lock);
		ldt_map(v, page);
		pthread_mutex_unlock(&v->d->lock);
	}
	table = v->ldt_mfn[page] ? frame_ptr(v->d, v->ldt_mfn[page]) : NULL;
	if (!table)
		return LOOKUP_FAULT;
	*e = table[n % 512];
	return LOOKUP_ONE;
}

static enum lookup of_gdt(struct vcpu *v, unsigned n, uint64_t *e)
{
	const uint64_t *table = NULL;

	switch (n) {
	case SEL_USER_CS32 >> 3: *e = FLAT_CODE32; return LOOKUP_ONE;
	case SEL_KERNEL_SS >> 3: *e = FLAT_DATA; return LOOKUP_ONE;
	case SEL_KERNEL_CS >> 3: *e = FLAT_CODE64; return LOOKUP_ONE;
	}
	if (n < v->gdt_entries)
		table = frame_ptr(v->d, v->gdt_mfn[n / 512]);
	if (!table)
		return LOOKUP_NONE;
	*e = table[n % 512];
	return LOOKUP_ONE;
}

enum lookup descriptor_get(struct vcpu *v, uint64_t selector, uint64_t *e)
{
	const unsigned n = (selector & 0xffff) >> 3;

	return selector & 4 ? of_ldt(v, n, e) : of_gdt(v, n, e);
}

uint32_t descriptor_start(uint64_t e)
{
	return (e >> 16 & 0xffffff) | (e >> 56) << 24;
}

uint64_t descriptor_limit(uint64_t e)
{
	const uint64_t limit = (e & 0xffff) | (e >> 32 & 0xf0000);

	return e & DESC_G ? limit << 12 | 0xfff : limit;
}

/* 0: there is one. */
static unsigned get_fault(struct vcpu *v, uint64_t selector, uint64_t *e)
{
	switch (selector_null(selector) ? LOOKUP_NONE : descriptor_get(v, selector, e)) {
	case LOOKUP_ONE: return 0;
	case LOOKUP_FAULT: return VECTOR_PF;
	default: return VECTOR_GP;
	}
}

/* 64 bits (L) or 32 (D), not both, and not 16. */
unsigned descriptor_code_fault(struct vcpu *v, uint64_t selector, uint64_t *e)
{
	const unsigned vector = get_fault(v, selector, e);

	if (vector)
		return vector;
	if (!(*e & DESC_S) || !(*e & DESC_CODE) || !(*e & DESC_L) == !(*e & DESC_D) ||
	    (desc_dpl(*e) != 3 && !(*e & DESC_CONFORMING)))
		return VECTOR_GP;
	return *e & DESC_P ? 0 : VECTOR_NP;
}

unsigned descriptor_stack_fault(struct vcpu *v, uint64_t selector)
{
	uint64_t e;
	const unsigned vector = get_fault(v, selector, &e);

	if (vector)
		return vector;
	if ((selector & 3) != 3 || !(e & DESC_S) || e & DESC_CODE || !(e & DESC_RW) ||
	    desc_dpl(e) != 3)
		return VECTOR_GP;
	return e & DESC_P ? 0 : VECTOR_SS;
}
