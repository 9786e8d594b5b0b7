/* SPDX-License-Identifier: MIT */
/*
 * A block's translation: its instructions gathered, the flags that matter behind each, its code,
 * and what is seldom run of it, which lies in another part of the cache.
 */
#include "host-driver/providers/process/translate/check.h"
#include "host-driver/providers/process/translate/lower.h"

#define PEEK 6 /* instructions looked at to see whether flags are needed there */

struct lowering now;

/* ---- what lies behind ---- */

struct slow *slow_add(const struct tr_insn *n, int what, uint8_t *jump, uint32_t index)
{
	struct slow *s = &now.slow[now.slows++];

	*s = (struct slow){.n = n, .what = what, .jump = jump, .index = index};
	return s;
}

static void patch(uint8_t *at, const uint8_t *target)
{
	const int32_t distance = target - (at + 4);

	__builtin_memcpy(at, &distance, 4);
}

/*
 * It stays near the block, for it is part of a way that does not leave the cache: a kick must find
 * the block by it.
 */
static void emit_far(const struct slow *s)
{
	patch(s->jump, now.e.p);
	switch (s->what) {
	case SLOW_FAR: emit_direct(s->n, s->n->target, -1); break;
	case SLOW_RETURN: emit_direct(s->n, s->n->rip + s->n->i.length, -1); break;
	default:
		if (s->keeps_rcx)
			emit_load_slot(&now.e, RCX, T_RCX);
		links[emit_chained(s->n, s->n->rip, -1)].single = true;
	}
}

static void emit_slow(const struct slow *s)
{
	struct emit *e = &now.e;

	patch(s->jump, e->p);
	if (s->what == SLOW_LINK) {
		links[s->index].stub = offset_of(e->p);
		if (links[s->index].guard) {
			links[s->index + 1].stub = offset_of(e->p);
			patch(code_write + links[s->index + 1].at, e->p);
		}
		emit_const(e, R15, s->index);
		emit_jump(e, tr_exit_link);
		return;
	}
	if (s->keeps_rcx)
		emit_load_slot(e, RCX, T_RCX);
	emit_address(s->n, s->address, 1, s->t0);
	emit_store_slot(e, T_EA, s->t0);
	emit_const(e, R15, s->index);
	emit_jump(e, tr_exit_memory);
}

static void emit_behind(void)
{
	struct emit near;

	for (unsigned k = 0; k < now.slows; k++)
		if (now.slow[k].what >= SLOW_SINGLE)
			emit_far(&now.slow[k]);
	near = now.e;
	now.e = now.cold;
	for (unsigned k = 0; k < now.slows; k++)
		if (now.slow[k].what < SLOW_SINGLE)
			emit_slow(&now.slow[k]);
	now.cold = now.e;
	now.e = near;
}

/* ---- flags ---- */

/*
 * The page of rip, if what is there can be relied on: the block's own, or another one of the guest
 * kernel's, to which jumps are chained as well (code_linkable).
 */
static const uint8_t *page_at(uint64_t rip)
{
	if (!((rip ^ now.b->rip) & PAGE_MASK))
		return now.page;
	return now.b->mode & MODE_KERNEL && now.b->rip >= HYPERVISOR_END && rip >= HYPERVISOR_END &&
			       roots_agree()
		       ? code_peek(now.v, rip)
		       : NULL;
}

/* Those whose value at `rip` matters, as far as a few instructions tell. */
static uint32_t flags_at(uint64_t rip)
{
	uint32_t unknown = FLAGS_ARITH, needed = 0;
	struct insn_glance g;

	for (unsigned k = 0; k < PEEK && unknown; k++) {
		const uint64_t offset = rip & (PAGE_SIZE - 1);
		const uint8_t *page = page_at(rip);

		if (!page || !insn_glance(&g, rip, page + offset, PAGE_SIZE - offset, code32()))
			break;
		needed |= g.flags_read & unknown;
		unknown &= ~(g.flags_read | g.flags_killed);
		if (g.ends && !g.target)
			break;
		rip = g.target ? g.target : rip + g.length;
	}
	return needed | unknown;
}

static void flags_live(void)
{
	struct tr_insn *last = &now.insn[now.insns - 1];
	uint32_t live;

	if (last->kind == INSN_CALL || last->kind == INSN_JUMP)
		live = flags_at(last->target);
	else
		live = last->kind < INSN_CALL || last->kind == INSN_BRANCH
			       ? flags_at(last->rip + last->i.length)
			       : FLAGS_ARITH;
	for (unsigned k = now.insns; k-- > 0;) {
		struct tr_insn *n = &now.insn[k];

		if (n->kind == INSN_BRANCH)
			live |= flags_at(n->target);
		n->flags_live = live;
		live = (live & ~n->flags_killed) | n->flags_read;
	}
}

/* ---- blocks ---- */

/* To this block, and who looks at it. */
static void fit(struct tr_insn *n)
{
	const bool vectors = n->i.meta.isa_ext != ZYDIS_ISA_EXT_BASE;

	if (now.b->mode & MODE_TS && vectors && (n->kind == INSN_PLAIN || n->kind == INSN_MEMORY))
		n->kind = INSN_STEP;
	if (now.b->mode & MODE_TSD && n->i.mnemonic == ZYDIS_MNEMONIC_RDTSC)
		n->kind = INSN_STEP;
	if (check_on && check_apart(n))
		n->kind = INSN_STEP;
	now.b->vectors |= vectors;
	n->soft = code_soft(now.b, n->rip);
}

/* The first instruction goes on in the next page: it is a block of its own. */
static bool gather_across(void)
{
	const uint64_t rip = now.b->rip, room = PAGE_SIZE - (rip & (PAGE_SIZE - 1));

	if (!now.next || room >= INSN_MAX)
		return false;
	for (unsigned k = 0; k < INSN_MAX; k++)
		now.both[k] = k < room ? now.page[PAGE_SIZE - room + k] : now.next[k - room];
	if (!insn_read(&now.insn[0], rip, now.both, INSN_MAX, code32()) ||
	    now.insn[0].i.length <= room)
		return false;
	fit(&now.insn[0]);
	now.insns = 1;
	now.b->mfn2 = (now.next - now.v->d->ram) >> PAGE_SHIFT;
	return true;
}

/* A place where translated code has to end: for tests, or for the debugger. */
static bool stop_at(uint64_t rip)
{
	return (rip == tr_stop && tr_stop) || debug_met(rip, 1, POINT_EXECUTE);
}

bool lower_next_stands(void)
{
	const unsigned room = PAGE_SIZE - (now.b->rip & (PAGE_SIZE - 1));

	for (unsigned k = room; k < now.b->bytes; k++)
		if (now.both[k] != now.next[k - room])
			return false;
	return true;
}

static void gather(void)
{
	const uint64_t base = now.b->rip & PAGE_MASK;
	uint64_t rip = now.b->rip;

	now.insns = 0;
	if (stop_at(rip) || gather_across())
		return;
	while (now.insns < BLOCK_INSNS) {
		struct tr_insn *n = &now.insn[now.insns];
		const uint64_t offset = rip - base;

		if (offset >= PAGE_SIZE ||
		    !insn_read(n, rip, now.page + offset, PAGE_SIZE - offset, code32()) ||
		    stop_at(rip))
			break;
		fit(n);
		now.insns++;
		rip += n->i.length;
		if (n->kind >= INSN_CALL && n->kind != INSN_BRANCH)
			break;
	}
}

bool lower_block(struct vcpu *v, struct block *b, const uint8_t *page, const uint8_t *next,
		 struct emit *e, struct emit *cold)
{
	const struct tr_insn *last;
	bool open = true;

	now.v = v;
	now.b = b;
	now.page = page;
	now.next = next;
	now.e = *e;
	now.cold = *cold;
	now.slows = 0;
	gather();
	if (!now.insns)
		return false;
	flags_live();
	group_all();
	window_lose(R14);
	window_lose(R15);
	for (unsigned k = 0; k < now.insns && open;)
		k += lower_insn(&now.insn[k], &now.insn[now.insns], &open);
	last = &now.insn[now.insns - 1];
	if (open)
		emit_direct(last, last->rip + last->i.length, -1);
	emit_behind();
	b->insns = now.insns;
	b->steps = last->kind == INSN_STEP;
	b->bytes = last->rip + last->i.length - b->rip;
	*e = now.e;
	*cold = now.cold;
	return true;
}
