/* SPDX-License-Identifier: MIT */
/*
 * Guest code that somebody watches goes one instruction at a time: a single step (TF), breakpoints
 * (DR7), alignment checks (AC), and RF, which is about the next instruction alone. Translated code
 * knows nothing of these. Intel SDM vol. 3, 17.2 and 17.3.
 *
 * What the toolstack's debugger watches is kept out of the TLBs instead, a page at a time, and no
 * block reaches over a breakpoint of its: so the rest goes on as ever.
 *
 * Not as a CPU does it: a data breakpoint that a load of SS met is never told.
 */
#include "host-driver/providers/process/translate/step.h"

#define POINTS 32 /* in tr.met, from this bit on: the debugger's */

#define TYPE_EXECUTE 0 /* of a breakpoint, in DR7 */
#define TYPE_WRITE   1
#define TYPE_ACCESS  3

static bool enabled(const struct vcpu *v, unsigned nr)
{
	return v->debugreg[7] >> 2 * nr & 3;
}

static unsigned type_of(const struct vcpu *v, unsigned nr)
{
	return v->debugreg[7] >> (16 + 4 * nr) & 3;
}

static unsigned bytes_of(const struct vcpu *v, unsigned nr)
{
	static const uint8_t bytes[4] = {1, 2, 8, 4};

	return bytes[v->debugreg[7] >> (18 + 4 * nr) & 3];
}

void watch_access(struct vcpu *v, uint64_t va, unsigned n, enum access how)
{
	for (unsigned i = 0; i < 4; i++) {
		const unsigned type = type_of(v, i), bytes = bytes_of(v, i);
		const uint64_t at = v->debugreg[i] & -(uint64_t)bytes;

		if (!enabled(v, i) || va >= at + bytes || at >= va + n)
			continue;
		if (type == TYPE_ACCESS || (type == TYPE_WRITE && how == ACCESS_WRITE))
			tr.met |= 1UL << i;
	}
	tr.met |= (uint64_t)debug_met(va, n, how == ACCESS_WRITE ? POINT_WRITE : POINT_READ)
		  << POINTS;
}

static void stop(struct vcpu *v, uint32_t points)
{
	debug_stop(v, DEBUG_POINT + __builtin_ctz(points));
}

bool watch_stops(struct vcpu *v)
{
	const uint32_t points = debug_met(v->regs.rip, 1, POINT_EXECUTE);

	if (points)
		stop(v, points);
	return points;
}

/* Breakpoints at the instruction that is next, as DR6 names them. */
static uint64_t instruction_met(const struct vcpu *v)
{
	uint64_t met = 0;

	for (unsigned i = 0; i < 4 && !(v->regs.rflags & FLAG_RF); i++)
		if (enabled(v, i) && type_of(v, i) == TYPE_EXECUTE && v->debugreg[i] == v->regs.rip)
			met |= 1UL << i;
	return met;
}

void watch_step(struct vcpu *v)
{
	const uint64_t single = v->regs.rflags & FLAG_TF ? DR6_BS : 0;
	const bool stepping = v->stepping;
	uint64_t met = instruction_met(v);
	uint32_t points;

	if (met) {
		guest_exception(v, VECTOR_DB, met);
		return;
	}
	tr.met = 0;
	if (!tr_step(v))
		return;
	/* A debugger's step may have ended in the middle, by debug_stepped(). */
	points = tr.met >> POINTS;
	met = (uint32_t)tr.met | (stepping && !v->stepping ? 0 : single);
	if (met)
		guest_exception(v, VECTOR_DB, met);
	if (points)
		stop(v, points);
}
