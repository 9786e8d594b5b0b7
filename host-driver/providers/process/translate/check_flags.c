/* SPDX-License-Identifier: MIT */
/*
 * The arithmetic flags are not always the CPU's in translated code: where nobody reads them any
 * more they are lost (lower.c). Here that is found out anew, and from further on; beside the
 * flags that an instruction leaves to the CPU's taste.
 */
#include "host-driver/providers/process/translate/check.h"
#include "host-driver/providers/process/translate/insn.h"

#define LOOK_AHEAD 40 /* instructions */

bool check_apart(const struct tr_insn *n)
{
	switch (n->i.mnemonic) {
	case ZYDIS_MNEMONIC_RDTSC:
	case ZYDIS_MNEMONIC_RDRAND:
	case ZYDIS_MNEMONIC_RDSEED:
	/* They store where the last x87 instruction was, which is another place in the cache. */
	case ZYDIS_MNEMONIC_FXSAVE:
	case ZYDIS_MNEMONIC_FXSAVE64:
	case ZYDIS_MNEMONIC_FNSTENV:
	case ZYDIS_MNEMONIC_FNSAVE: return true;
	default: break;
	}
	/* Whether it jumped does not show. */
	return n->kind == INSN_BRANCH && n->target == n->rip + n->i.length;
}

static bool read_at(struct vcpu *v, const struct check *c, uint64_t rip, struct tr_insn *n,
		    uint8_t bytes[INSN_MAX])
{
	const unsigned room = check_code(v, rip, bytes, INSN_MAX);

	return insn_read(n, rip, bytes, room, c->block.mode & MODE_32);
}

static uint64_t replaced(const ZydisDecodedInstruction *i)
{
	const ZydisAccessedFlags *f = i->cpu_flags;

	return f && !insn_may_keep_flags(i) ? f->modified | f->set_0 | f->set_1 : 0;
}

/* Of what is not translated, CPUID and others show them to the kernel only if they fault. */
static bool passes(const struct tr_insn *n)
{
	struct insn_glance g;

	return insn_glance(&g, n->rip, n->bytes, n->i.length, n->code32) && !g.ends;
}

/* Flags that the instructions from rip on write before any reads them; both ways of branches. */
static uint64_t dead_at(struct vcpu *v, const struct check *c, uint64_t rip, unsigned insns)
{
	uint64_t dead = 0, live = 0;
	uint8_t bytes[INSN_MAX];
	struct tr_insn n;

	for (; insns && read_at(v, c, rip, &n, bytes); insns--) {
		const ZydisAccessedFlags *f = n.i.cpu_flags;

		if (n.kind == INSN_STEP && !passes(&n)) /* it may show them to the kernel */
			break;
		live |= f ? f->tested & ~dead : 0;
		dead |= (replaced(&n.i) | (f && !insn_may_keep_flags(&n.i) ? f->undefined : 0)) &
			~live;
		rip += n.i.length;
		if (n.kind == INSN_BRANCH)
			return dead | (dead_at(v, c, rip, insns / 2) &
				       dead_at(v, c, n.target, insns / 2) & ~live);
		if (n.kind == INSN_JUMP || n.kind == INSN_CALL)
			rip = n.target;
		else if (n.kind >= INSN_CALL && n.kind != INSN_STEP)
			break;
	}
	return dead;
}

/* Flags that the CPU is free to choose behind the block's first instructions. */
static uint64_t undefined(struct vcpu *v, const struct check *c, unsigned insns)
{
	uint64_t rip = c->block.rip, set = 0;
	uint8_t bytes[INSN_MAX];
	struct tr_insn n;

	for (; insns && read_at(v, c, rip, &n, bytes); insns--) {
		set &= ~replaced(&n.i);
		set |= n.i.cpu_flags ? n.i.cpu_flags->undefined : 0;
		rip += n.i.length;
	}
	return set;
}

uint64_t check_flags(struct vcpu *v, const struct check *c, unsigned insns, uint64_t rip,
		     uint64_t flags)
{
	const uint64_t other = flags & ~(uint64_t)FLAGS_ARITH;
	struct fpu_area fpu;

	flags &= FLAGS_ARITH;
	fpu_keep(&fpu); /* Zydis may use vector registers */
	if (flags)
		flags &= ~dead_at(v, c, rip, LOOK_AHEAD);
	if (flags)
		flags &= ~undefined(v, c, insns);
	fpu_back(&fpu);
	return flags | other;
}
