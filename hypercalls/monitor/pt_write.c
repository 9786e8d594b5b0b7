/* SPDX-License-Identifier: MIT */
/*
 * VMASST_TYPE_writable_pagetables: a guest kernel's store to an L1 table, which it has mapped
 * read-only, is carried out as a checked update of the entry. As on Xen, no TLB is flushed for it,
 * and what is not carried out (another type of page, an entry that is refused, an instruction that
 * is not in here) is the page fault that it was.
 */
#include "hypercalls/monitor/decode.h"
#include "hypercalls/monitor/mm.h"

#define PF_CAUSES 0x1b /* with PF_RSVD and PF_FETCH: PF_USER is not told apart */

/* What an instruction makes of its destination's old value. */
struct effect {
	uint64_t store;
	bool stores;
	uint64_t *reg, reg_value; /* a register that changes as well, or NULL */
	uint64_t flags, flags_mask;
};

bool pt_write_wanted(const struct vcpu *v, uint64_t error)
{
	return v->d->vm_assist >> VMASST_TYPE_writable_pagetables & 1 && v->kernel_mode &&
	       (error & PF_CAUSES) == (PF_PRESENT | PF_WRITE);
}

/* The flags in AH and AL, as lahf and seto leave them. */
static uint64_t flags_in(uint16_t ax)
{
	return (ax >> 8 & 0xd5) | (ax & 1 ? FLAG_OF : 0);
}

#define FLAGS_BY(op, type, a, b) \
	asm(op " %2, %1; lahf; seto %%al" : "=&a"(ax) : "q"((type)(a)), "q"((type)(b)) : "cc")

static uint64_t flags_of_cmp(uint64_t a, uint64_t b, unsigned bytes)
{
	uint16_t ax;

	switch (bytes) {
	case 1: FLAGS_BY("cmp", uint8_t, a, b); break;
	case 2: FLAGS_BY("cmp", uint16_t, a, b); break;
	case 4: FLAGS_BY("cmp", uint32_t, a, b); break;
	default: FLAGS_BY("cmp", uint64_t, a, b);
	}
	return flags_in(ax);
}

static uint64_t flags_of_logic(uint64_t result, unsigned bytes)
{
	uint16_t ax;

	switch (bytes) {
	case 1: FLAGS_BY("test", uint8_t, result, result); break;
	case 2: FLAGS_BY("test", uint16_t, result, result); break;
	case 4: FLAGS_BY("test", uint32_t, result, result); break;
	default: FLAGS_BY("test", uint64_t, result, result);
	}
	return flags_in(ax);
}

static uint64_t mask_of(unsigned bytes)
{
	return bytes == 8 ? ~0UL : (1UL << 8 * bytes) - 1;
}

/* As a write to the low part of a register leaves the whole of it. */
static uint64_t merged(uint64_t whole, uint64_t part, unsigned bytes)
{
	return bytes >= 4 ? part : (whole & ~mask_of(bytes)) | part;
}

static bool compare_exchange(struct vcpu *v, uint64_t src, uint64_t old, unsigned bytes,
			     struct effect *e)
{
	const uint64_t rax = v->regs.rax & mask_of(bytes);

	e->flags = flags_of_cmp(rax, old, bytes);
	e->flags_mask = FLAGS_ARITH;
	e->store = src;
	e->stores = rax == old;
	if (!e->stores) {
		e->reg = &v->regs.rax;
		e->reg_value = merged(v->regs.rax, old, bytes);
	}
	return true;
}

static bool logic(uint64_t result, unsigned bytes, struct effect *e)
{
	e->store = result;
	e->flags = flags_of_logic(result, bytes);
	e->flags_mask = FLAGS_ARITH;
	return true;
}

static bool bit(uint64_t result, uint64_t old, uint64_t bit, struct effect *e)
{
	e->store = result;
	e->flags = old & bit ? FLAG_CF : 0;
	e->flags_mask = FLAG_CF;
	return true;
}

/* The source operand's value; false: there is none that is understood. */
static bool source(struct vcpu *v, const struct insn *n, unsigned bytes, uint64_t **reg,
		   uint64_t *value)
{
	const ZydisDecodedOperand *op = &n->op[1];

	*reg = NULL;
	if (op->type == ZYDIS_OPERAND_TYPE_REGISTER) {
		*reg = insn_gpr(&v->regs, op->reg.value);
		if (!*reg)
			return false;
		*value = **reg & mask_of(bytes);
		return true;
	}
	*value = op->imm.value.u & mask_of(bytes);
	return op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
}

static bool compute(struct vcpu *v, const struct insn *n, uint64_t old, struct effect *e)
{
	const unsigned bytes = n->op[0].size / 8;
	uint64_t src, *reg;

	*e = (struct effect){.stores = true};
	if (!source(v, n, bytes, &reg, &src))
		return false;
	switch (n->i.mnemonic) {
	case ZYDIS_MNEMONIC_MOV:
	case ZYDIS_MNEMONIC_MOVNTI: e->store = src; return true;
	case ZYDIS_MNEMONIC_XCHG:
		if (!reg) /* there is no such instruction */
			return false;
		e->store = src;
		e->reg = reg;
		e->reg_value = merged(*reg, old, bytes);
		return true;
	case ZYDIS_MNEMONIC_CMPXCHG: return compare_exchange(v, src, old, bytes, e);
	case ZYDIS_MNEMONIC_AND: return logic(old & src, bytes, e);
	case ZYDIS_MNEMONIC_OR: return logic(old | src, bytes, e);
	case ZYDIS_MNEMONIC_XOR: return logic(old ^ src, bytes, e);
	default: break;
	}
	/* A bit number in a register reaches beyond the operand. */
	if (reg && src >= n->op[0].size)
		return false;
	src = 1UL << (src & (n->op[0].size - 1));
	switch (n->i.mnemonic) {
	case ZYDIS_MNEMONIC_BTS: return bit(old | src, old, src, e);
	case ZYDIS_MNEMONIC_BTR: return bit(old & ~src, old, src, e);
	case ZYDIS_MNEMONIC_BTC: return bit(old ^ src, old, src, e);
	default: return false;
	}
}

/* The L1 table that the page at va is, or INVALID_MFN: no table, or mapped writable. */
static uint64_t table_at(struct vcpu *v, uint64_t va)
{
	struct domain *d = v->d;
	const uint64_t l1 = l1_of(v, va), *entry = frame_ptr(d, l1);
	uint64_t e;

	if (!entry)
		return INVALID_MFN;
	e = __atomic_load_n(&entry[va >> PAGE_SHIFT & 511], __ATOMIC_RELAXED);
	if (!(e & PTE_P) || e & PTE_RW || !frame_is_owned(d, pte_mfn(e)) ||
	    !d->frame[pte_mfn(e)].type_count || d->frame[pte_mfn(e)].type != FT_L1)
		return INVALID_MFN;
	return pte_mfn(e);
}

/* d->lock held. 0: *e happened to the entry at va. */
static int carry_out(struct vcpu *v, const struct insn *n, uint64_t va, struct effect *e)
{
	const unsigned bytes = n->op[0].size / 8, shift = (va & 7) * 8;
	const uint64_t mask = mask_of(bytes) << shift, table = table_at(v, va);
	const unsigned index = (va & (PAGE_SIZE - 1)) / 8;
	uint64_t *slot, old;
	int rc = 0;

	if (table == INVALID_MFN)
		return -EINVAL;
	slot = (uint64_t *)frame_ptr(v->d, table) + index;
	do {
		old = __atomic_load_n(slot, __ATOMIC_RELAXED);
		if (!compute(v, n, (old & mask) >> shift, e))
			return -EINVAL;
		if (e->stores)
			rc = pte_exchange(v->d, table, index, old,
					  (old & ~mask) | (e->store << shift & mask));
	} while (rc == -EAGAIN);
	return rc;
}

bool pt_write(struct vcpu *v, uint64_t va)
{
	struct effect e;
	struct insn n;
	uint64_t to;
	int rc;

	if (v->d->provider->save_segments)
		v->d->provider->save_segments(v);
	insn_fetch(v, &n);
	/* A naturally aligned part of one entry, whose address is the one that faulted. */
	if (!insn_decode(&n, 0) || !insn_address(v, &n, &n.op[0], &to) || to != va ||
	    n.op[0].size < 8 || n.op[0].size > 64 || va & (n.op[0].size / 8 - 1))
		return false;
	pthread_mutex_lock(&v->d->lock);
	rc = carry_out(v, &n, va, &e);
	pthread_mutex_unlock(&v->d->lock);
	if (rc)
		return false;
	if (e.reg)
		*e.reg = e.reg_value;
	v->regs.rflags = (v->regs.rflags & ~e.flags_mask) | (e.flags & e.flags_mask);
	insn_done(v, n.i.length);
	return true;
}
