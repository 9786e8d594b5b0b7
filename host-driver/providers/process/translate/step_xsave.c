/* SPDX-License-Identifier: MIT */
/*
 * XSAVE and its kin: the host's CPU runs with all states that the host has on, the guest believes
 * in those of its own XCR0. Intel SDM vol. 1, 13.
 */
#include <cpuid.h>

#include "host-driver/providers/process/translate/step.h"

#define STATES	  8   /* 0xff, as fpu_keep() */
#define HEADER	  512 /* offset of the header; its size is 64 */
#define AREA_MIN  576
#define COMPACTED (1UL << 63)

static struct {
	uint32_t bytes, offset;
	bool aligned;
} state[STATES];

void xsave_init(void)
{
	uint32_t a, b, c, d;

	for (unsigned k = 2; k < STATES; k++) {
		__cpuid_count(0xd, k, a, b, c, d);
		state[k].bytes = a;
		state[k].offset = b;
		state[k].aligned = c & 2;
	}
}

unsigned xsave_avx_offset(void)
{
	return state[2].offset;
}

static unsigned area_bytes(uint64_t states, bool compacted)
{
	unsigned end = AREA_MIN;

	for (unsigned k = 2; k < STATES; k++) {
		if (!(states >> k & 1))
			continue;
		if (compacted)
			end = (state[k].aligned ? (end + 63) & ~63U : end) + state[k].bytes;
		else if (state[k].offset + state[k].bytes > end)
			end = state[k].offset + state[k].bytes;
	}
	return end;
}

static bool is_restore(ZydisMnemonic m)
{
	return m == ZYDIS_MNEMONIC_XRSTOR || m == ZYDIS_MNEMONIC_XRSTOR64;
}

static bool is_compacting(ZydisMnemonic m)
{
	return m == ZYDIS_MNEMONIC_XSAVEC || m == ZYDIS_MNEMONIC_XSAVEC64;
}

bool xsave_is(const struct step *s)
{
	switch (s->i->mnemonic) {
	case ZYDIS_MNEMONIC_XSAVE:
	case ZYDIS_MNEMONIC_XSAVE64:
	case ZYDIS_MNEMONIC_XSAVEOPT:
	case ZYDIS_MNEMONIC_XSAVEOPT64: return true;
	default: return is_compacting(s->i->mnemonic) || is_restore(s->i->mnemonic);
	}
}

bool xsave_reads(const struct step *s)
{
	return is_restore(s->i->mnemonic);
}

/* States up to the last one of `wanted`: what follows is not read. */
static uint64_t up_to_last(uint64_t states, uint64_t wanted)
{
	while (wanted & (wanted - 1))
		wanted &= wanted - 1;
	return wanted ? states & (wanted | (wanted - 1)) : 0;
}

/* The header names no state that the guest's XCR0 has not. */
static bool restore_area(struct step *s, struct where at, uint64_t mask, unsigned *bytes)
{
	const uint64_t xcr0 = s->v->xcr0;
	uint64_t header[2];

	if (!step_load(s, step_behind(s, at, HEADER), header, sizeof(header)))
		return false;
	if (header[0] & ~xcr0 || header[1] & ~(xcr0 | COMPACTED)) {
		step_trap(s, VECTOR_GP, 0);
		return false;
	}
	mask &= header[0];
	if (header[1] & COMPACTED)
		*bytes = area_bytes(up_to_last(header[1] & xcr0, mask), true);
	else
		*bytes = area_bytes(mask, false);
	return true;
}

bool xsave_area(struct step *s, struct where at, unsigned *bytes, uint64_t *mask)
{
	const regs_t *r = &s->v->regs;

	*mask = ((uint32_t)r->rax | r->rdx << 32) & s->v->xcr0;
	if (at.va & 63) {
		step_trap(s, VECTOR_GP, 0);
		return false;
	}
	if (is_restore(s->i->mnemonic))
		return restore_area(s, at, *mask, bytes);
	*bytes = area_bytes(*mask, is_compacting(s->i->mnemonic));
	return true;
}
