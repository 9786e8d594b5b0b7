/* SPDX-License-Identifier: MIT */
/* What kind of code v's selectors lead to, looked up once for every change of them or of mode. */
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

enum code tr_code(struct vcpu *v)
{
	const uint64_t now = selectors(&v->regs);

	if (now != tr.selectors) {
		tr.code = judge(v);
		tr.selectors = now;
	}
	return tr.code;
}
