/* SPDX-License-Identifier: MIT */
/* mmuext_op: pins, roots, flushes, the LDT. Public header xen.h, "struct mmuext_op". */
#include "hypercalls/monitor/mm.h"

#define MAX_OPS 4096

static int pin(struct domain *d, uint64_t mfn, enum frame_type type)
{
	int rc = frame_get_type(d, mfn, type);

	if (rc)
		return rc;
	if (d->frame[mfn].pinned) { /* one pin at a time */
		frame_put_type(d, mfn, type);
		return -EINVAL;
	}
	d->frame[mfn].pinned = 1;
	return 0;
}

static int unpin(struct domain *d, uint64_t mfn)
{
	if (!frame_is_owned(d, mfn) || !d->frame[mfn].pinned)
		return -EINVAL;
	d->frame[mfn].pinned = 0;
	frame_put_type(d, mfn, d->frame[mfn].type);
	return 0;
}

/* -EOPNOTSUPP: another vCPU has another root, and the provider can show but one. */
static int root_allowed(const struct vcpu *v, uint64_t mfn)
{
	const struct domain *d = v->d;

	for (uint32_t i = 0; d->provider->one_root && i < d->nr_vcpus; i++)
		if (d->vcpu[i] != v && d->vcpu[i]->initialised && d->vcpu[i]->cr3_mfn != mfn)
			return -EOPNOTSUPP;
	return 0;
}

static void m2p_for_kernel(struct domain *d, uint64_t l4)
{
	uint64_t *table = frame_ptr(d, l4);

	if (!m2p_strict(d))
		table[256] = d->l4_slot[0];
}

/* What a CPU has cached of it may stay: the guest may know all that is in there. */
void m2p_for_user(struct domain *d, uint64_t l4)
{
	uint64_t *table = frame_ptr(d, l4);

	if (m2p_strict(d))
		table[256] = 0;
}

int root_load(struct vcpu *v, uint64_t mfn)
{
	struct domain *d = v->d;
	uint64_t old = v->cr3_mfn;
	int rc;

	if (old == mfn && old) { /* as a load of CR3 */
		tlb_flush(d, 1U << v->id, FLUSH_ALL);
		return 0;
	}
	rc = root_allowed(v, mfn);
	if (!rc)
		rc = frame_get_type(d, mfn, FT_L4);
	if (rc)
		return rc;
	ldt_drop(v); /* it was there by the old tables */
	m2p_for_kernel(d, mfn);
	v->cr3_mfn = mfn;
	d->provider->root_changed(v);
	if (old)
		frame_put_type(d, old, FT_L4);
	return 0;
}

/* Where guest memory is one host address space there is no user mode: -EOPNOTSUPP says so. */
static int user_root_load(struct vcpu *v, uint64_t mfn)
{
	uint64_t old = v->user_cr3_mfn;
	int rc;

	if (old == mfn)
		return 0;
	rc = mfn ? frame_get_type(v->d, mfn, FT_L4) : 0;
	if (rc)
		return rc;
	if (mfn && v->d->provider->one_root) {
		frame_put_type(v->d, mfn, FT_L4);
		return -EOPNOTSUPP;
	}
	if (mfn)
		m2p_for_user(v->d, mfn);
	v->user_cr3_mfn = mfn;
	v->d->provider->root_changed(v);
	if (old)
		frame_put_type(v->d, old, FT_L4);
	return 0;
}

/* Fill a page, or copy one: both must be usable as ordinary memory. */
static int page_op(struct domain *d, uint64_t dst, uint64_t src, bool clear)
{
	if (!clear && !frame_is_owned(d, src))
		return -EINVAL;
	if (frame_get_type(d, dst, FT_WRITABLE))
		return -EINVAL;
	frame_written(d, dst);
	if (clear)
		memset(frame_ptr(d, dst), 0, PAGE_SIZE);
	else
		memcpy(frame_ptr(d, dst), frame_ptr(d, src), PAGE_SIZE);
	frame_put_type(d, dst, FT_WRITABLE);
	return 0;
}

static int set_ldt(struct vcpu *v, uint64_t base, uint32_t entries)
{
	if (entries > 8192 || base & (PAGE_SIZE - 1) || !addr_ok(base))
		return -EINVAL;
	ldt_set(v, base, entries);
	return 0;
}

static int one_op(struct vcpu *v, const union mmu_request *r)
{
	const struct mmuext_op *op = &r->op;
	struct domain *d = v->d;
	uint32_t vcpus = 1U << v->id;

	switch (op->cmd) {
	case MMUEXT_PIN_L1_TABLE:
	case MMUEXT_PIN_L2_TABLE:
	case MMUEXT_PIN_L3_TABLE:
	case MMUEXT_PIN_L4_TABLE:
		return pin(d, op->arg1.mfn, FT_L1 + op->cmd - MMUEXT_PIN_L1_TABLE);
	case MMUEXT_UNPIN_TABLE: return unpin(d, op->arg1.mfn);
	case MMUEXT_NEW_BASEPTR: return root_load(v, op->arg1.mfn);
	case MMUEXT_NEW_USER_BASEPTR: return user_root_load(v, op->arg1.mfn);
	case MMUEXT_TLB_FLUSH_LOCAL: tlb_flush(d, vcpus, FLUSH_ALL); return 0;
	case MMUEXT_TLB_FLUSH_ALL: tlb_flush(d, ALL_VCPUS, FLUSH_ALL); return 0;
	case MMUEXT_INVLPG_LOCAL: tlb_flush(d, vcpus, op->arg1.linear_addr & PAGE_MASK); return 0;
	case MMUEXT_INVLPG_ALL: tlb_flush(d, ALL_VCPUS, op->arg1.linear_addr & PAGE_MASK); return 0;
	case MMUEXT_TLB_FLUSH_MULTI:
	case MMUEXT_INVLPG_MULTI:
		if (tlb_vcpus(v, (uint64_t)op->arg2.vcpumask.p, &vcpus))
			return -EINVAL;
		tlb_flush(d, vcpus,
			  op->cmd == MMUEXT_INVLPG_MULTI ? op->arg1.linear_addr & PAGE_MASK
							 : FLUSH_ALL);
		return 0;
	case MMUEXT_FLUSH_CACHE: /* both are for domains with devices */ return -EACCES;
	case MMUEXT_FLUSH_CACHE_GLOBAL: return -EINVAL;
	case MMUEXT_SET_LDT: return set_ldt(v, op->arg1.linear_addr, op->arg2.nr_ents);
	case MMUEXT_CLEAR_PAGE: return page_op(d, op->arg1.mfn, 0, true);
	case MMUEXT_COPY_PAGE: return page_op(d, op->arg1.mfn, op->arg2.src_mfn, false);
	case MMUEXT_MARK_SUPER:
	case MMUEXT_UNMARK_SUPER: return -EOPNOTSUPP;
	default: return -ENOSYS;
	}
}

long do_mmuext_op(struct vcpu *v, uint64_t uops, uint64_t count, uint64_t pdone, uint64_t dom,
		  uint64_t a5)
{
	long rc = check_owner(dom & 0xffff);

	if (rc)
		return rc;
	return mmu_requests(v, uops, count, pdone, MAX_OPS, sizeof(struct mmuext_op), one_op);
}

long toolstack_mmuext(struct domain *d, unsigned cmd, uint64_t mfn)
{
	if (cmd <= MMUEXT_PIN_L4_TABLE)
		return pin(d, mfn, FT_L1 + cmd - MMUEXT_PIN_L1_TABLE);
	return cmd == MMUEXT_UNPIN_TABLE ? unpin(d, mfn) : -ENOSYS;
}
