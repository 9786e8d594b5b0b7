/* SPDX-License-Identifier: MIT */
/* What kind of code v's selectors lead to, looked up when they or a descriptor change. */
#include "host-driver/providers/process/translate/step.h"

#define FLAT_LIMIT 0xffffffffUL

static uint64_t selectors(const regs_t *r)
{
	return (uint64_t)(uint16_t)r->cs | (uint64_t)(uint16_t)r->ss << 16 |
	       (uint64_t)(uint16_t)r->ds << 32 | (uint64_t)(uint16_t)r->es << 48;
}

/* Writable data, or code that can be read, from 0 to 4 GiB. */
static bool flat(struct vcpu *v, uint64_t selector, bool code)
{
	uint64_t e;

	if (selector_null(selector) || descriptor_get(v, selector, &e) != LOOKUP_ONE ||
	    descriptor_start(e) || descriptor_limit(e) != FLAT_LIMIT || !(e & DESC_RW))
		return false;
	return code || (!(e & DESC_CODE) && !(e & DESC_DOWN) && e & DESC_D);
}

static enum code judge(struct vcpu *v)
{
	const regs_t *r = &v->regs;
	uint64_t e;

	if (r->cs == SEL_KERNEL_CS && r->ss == SEL_KERNEL_SS)
		return CODE_64;
	if (descriptor_code_fault(v, r->cs, &e) || descriptor_stack_fault(v, r->ss))
		return CODE_BAD;
	if (e & DESC_L)
		return CODE_64;
	return flat(v, r->cs, true) && flat(v, r->ss, false) && flat(v, r->ds, false) &&
			       flat(v, r->es, false)
		       ? CODE_32_FLAT
		       : CODE_32;
}

enum code tr_code_judge(struct vcpu *v)
{
	const uint64_t now = selectors(&v->regs);

	if (now == tr.selectors) {
		tr.code = tr.other;
		return tr.code;
	}
	tr.code = judge(v);
	if (tr.code == CODE_64) {
		tr.code64[v->kernel_mode].cs = v->regs.cs;
		tr.code64[v->kernel_mode].ss = v->regs.ss;
	} else if (tr.code != CODE_BAD) { /* for a page of the LDT, which may come at any time */
		tr.selectors = now;
		tr.other = tr.code;
	}
	return tr.code;
}

uint64_t descriptor_changes;

void tr_descriptors_changed(struct domain *d)
{
	__atomic_add_fetch(&descriptor_changes, 1, __ATOMIC_RELEASE);
}

void tr_code_mode(void)
{
	const uint64_t changes = __atomic_load_n(&descriptor_changes, __ATOMIC_ACQUIRE);

	if (tr.descriptor_changes == changes)
		return;
	tr.code64[0].cs = tr.code64[1].cs = tr.selectors = 0;
	tr.descriptor_changes = changes;
}
