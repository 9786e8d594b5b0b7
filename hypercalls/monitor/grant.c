/* SPDX-License-Identifier: MIT */
/*
 * The grant table, version 1 (public grant_table.h): the table's frames, copies, and the entry
 * flags that say a grant is in use.
 *
 * What crosses to another domain goes through the broker. A grant to oneself is legal in Xen and
 * handled here whole. Results are GNTST_* in each operation's status; the hypercall itself fails
 * only with -EFAULT, -EINVAL or -ENOSYS.
 */
#include "hypercalls/monitor/grant.h"

/* Uses of each of our own entries, to know when GTF_reading and GTF_writing end. */
static uint32_t readers[MAX_GRANTS], writers[MAX_GRANTS];

static uint32_t nr_frames(const struct domain *d)
{
	return d->grant_frames ? d->grant_frames : 1;
}

static struct grant_entry_v1 *entry(struct domain *d, uint32_t ref)
{
	uint8_t *frame;

	if (ref >= nr_frames(d) * GRANTS_PER_FRAME)
		return NULL;
	frame = frame_ptr(d, PVDOM_MFN_GRANT + ref / GRANTS_PER_FRAME);
	return frame ? (struct grant_entry_v1 *)frame + ref % GRANTS_PER_FRAME : NULL;
}

int grant_pin(struct domain *d, uint32_t ref, bool write, uint64_t *mfn)
{
	const uint16_t use = GTF_reading | (write ? GTF_writing : 0);
	struct grant_entry_v1 *e = entry(d, ref);
	uint32_t old, new;

	if (!e)
		return GNTST_bad_gntref;
	/* Flags and domain are one word, so that both are checked as they are marked. */
	old = __atomic_load_n((uint32_t *)e, __ATOMIC_SEQ_CST);
	do {
		if ((old & GTF_type_mask) != GTF_permit_access || old >> 16 != d->id)
			return GNTST_general_error;
		if (write && (old & GTF_readonly))
			return GNTST_general_error;
		new = old | use;
	} while (!__atomic_compare_exchange_n((uint32_t *)e, &old, new, false, __ATOMIC_SEQ_CST,
					      __ATOMIC_SEQ_CST));
	readers[ref]++;
	writers[ref] += write;
	*mfn = *(volatile uint32_t *)&e->frame;
	if (!frame_is_ram(d, *mfn)) {
		grant_unpin(d, ref, write);
		return GNTST_bad_page;
	}
	return GNTST_okay;
}

void grant_unpin(struct domain *d, uint32_t ref, bool write)
{
	struct grant_entry_v1 *e = entry(d, ref);

	if (write && !--writers[ref] && e)
		__atomic_and_fetch(&e->flags, (uint16_t)~GTF_writing, __ATOMIC_SEQ_CST);
	if (!--readers[ref] && e)
		__atomic_and_fetch(&e->flags, (uint16_t)~GTF_reading, __ATOMIC_SEQ_CST);
}

static long setup_table(struct vcpu *v, uint64_t uop, uint32_t count)
{
	struct gnttab_setup_table op;
	struct domain *d = v->d;
	xen_pfn_t mfn;

	if (count != 1)
		return -EINVAL;
	if (copy_from_guest(v, &op, uop, sizeof(op)))
		return -EFAULT;
	op.status = GNTST_okay;
	if (!grant_self(d, op.dom)) {
		op.status = op.dom ? GNTST_bad_domain : GNTST_permission_denied;
	} else if (op.nr_frames > PVDOM_GRANT_FRAMES) {
		op.status = GNTST_general_error;
	} else {
		pthread_mutex_lock(&d->lock);
		for (uint32_t i = nr_frames(d); i < op.nr_frames; i++)
			memset(frame_ptr(d, PVDOM_MFN_GRANT + i), 0, PAGE_SIZE);
		if (op.nr_frames > nr_frames(d))
			d->grant_frames = op.nr_frames;
		pthread_mutex_unlock(&d->lock);
		for (uint32_t i = 0; i < op.nr_frames && op.status == GNTST_okay; i++) {
			mfn = PVDOM_MFN_GRANT + i;
			if (copy_to_guest(v, (uint64_t)op.frame_list.p + i * sizeof(mfn), &mfn,
					  sizeof(mfn)))
				op.status = GNTST_bad_virt_addr;
		}
	}
	return copy_to_guest(v, uop, &op, sizeof(op)) ? -EFAULT : 0;
}

static long query_size(struct vcpu *v, uint64_t uop, uint32_t count)
{
	struct gnttab_query_size op;

	if (count != 1)
		return -EINVAL;
	if (copy_from_guest(v, &op, uop, sizeof(op)))
		return -EFAULT;
	if (grant_self(v->d, op.dom)) {
		op.nr_frames = nr_frames(v->d);
		op.max_nr_frames = PVDOM_GRANT_FRAMES;
		op.status = GNTST_okay;
	} else {
		op.status = op.dom ? GNTST_bad_domain : GNTST_permission_denied;
	}
	return copy_to_guest(v, uop, &op, sizeof(op)) ? -EFAULT : 0;
}

static long set_version(struct vcpu *v, uint64_t uop)
{
	struct gnttab_set_version op;

	if (copy_from_guest(v, &op, uop, sizeof(op)))
		return -EFAULT;
	if (op.version != 1)
		return op.version == 2 ? -ENOSYS : -EINVAL;
	return copy_to_guest(v, uop, &op, sizeof(op)) ? -EFAULT : 0;
}

static long get_version(struct vcpu *v, uint64_t uop)
{
	struct gnttab_get_version op;

	if (copy_from_guest(v, &op, uop, sizeof(op)))
		return -EFAULT;
	if (!grant_self(v->d, op.dom))
		return op.dom ? -ESRCH : -EPERM;
	op.version = 1;
	return copy_to_guest(v, uop, &op, sizeof(op)) ? -EFAULT : 0;
}

static int swap_refs(struct domain *d, uint32_t a, uint32_t b)
{
	struct grant_entry_v1 *ea = entry(d, a), *eb = entry(d, b), t;

	if (!ea || !eb)
		return GNTST_bad_gntref;
	if (readers[a] || readers[b])
		return GNTST_eagain;
	t = *ea;
	*ea = *eb;
	*eb = t;
	return GNTST_okay;
}

/* A side of a copy that this process can reach: the frame, held. GNTST_*; d->lock held. */
static int copy_side(struct domain *d, const struct gnttab_copy_ptr *p, bool gref, bool write,
		     uint64_t *mfn)
{
	int rc;

	if (gref) {
		rc = grant_pin(d, p->u.ref, write, mfn);
		if (rc)
			return rc;
	} else {
		if (p->domid != DOMID_SELF)
			return GNTST_permission_denied;
		*mfn = p->u.gmfn;
		if (!frame_is_ram(d, *mfn))
			return GNTST_bad_page;
	}
	/* A page table or descriptor page must not be written behind its validation. */
	if (write && frame_get_type(d, *mfn, FT_WRITABLE)) {
		if (gref)
			grant_unpin(d, p->u.ref, write);
		return GNTST_general_error;
	}
	return GNTST_okay;
}

static void copy_side_done(struct domain *d, const struct gnttab_copy_ptr *p, bool gref, bool write,
			   uint64_t mfn)
{
	if (write)
		frame_put_type(d, mfn, FT_WRITABLE);
	if (gref)
		grant_unpin(d, p->u.ref, write);
}

/*
 * One copy. With a foreign grant on either side the broker does it; a local destination frame
 * keeps its writable type meanwhile, so that it cannot become a page table under the write.
 */
static int copy_one(struct domain *d, struct gnttab_copy *op)
{
	static const uint64_t none[4];
	const bool sref = op->flags & GNTCOPY_source_gref, dref = op->flags & GNTCOPY_dest_gref;
	const bool slocal = !sref || grant_self(d, op->source.domid);
	const bool dlocal = !dref || grant_self(d, op->dest.domid);
	uint64_t smfn = 0, dmfn = 0;
	int rc;

	if (op->source.offset + op->len > (int)PAGE_SIZE ||
	    op->dest.offset + op->len > (int)PAGE_SIZE)
		return GNTST_bad_copy_arg;
	pthread_mutex_lock(&d->lock);
	rc = slocal ? copy_side(d, &op->source, sref, false, &smfn) : GNTST_okay;
	if (rc)
		goto out;
	rc = dlocal ? copy_side(d, &op->dest, dref, true, &dmfn) : GNTST_okay;
	if (rc)
		goto out_source;
	if (dlocal)
		frame_written(d, dmfn);
	if (slocal && dlocal) {
		uint8_t *to = (uint8_t *)frame_ptr(d, dmfn) + op->dest.offset;
		const uint8_t *from = (uint8_t *)frame_ptr(d, smfn) + op->source.offset;

		/* Pieces of one page may overlap. */
		if (to <= from || to >= from + op->len)
			memcpy(to, from, op->len);
		else
			for (uint32_t i = op->len; i--;)
				to[i] = from[i];
	} else {
		struct gnttab_copy back = *op;
		long up;

		pthread_mutex_unlock(&d->lock);
		up = up_call(d, UP_GRANT_COPY, none, op, sizeof(*op), &back, sizeof(back), NULL);
		pthread_mutex_lock(&d->lock);
		rc = up < 0 ? (up == -ESRCH ? GNTST_bad_domain : GNTST_general_error) : back.status;
	}
	if (dlocal)
		copy_side_done(d, &op->dest, dref, true, dmfn);
out_source:
	if (slocal)
		copy_side_done(d, &op->source, sref, false, smfn);
out:
	pthread_mutex_unlock(&d->lock);
	return rc;
}

static int map_one(struct vcpu *v, struct gnttab_map_grant_ref *op)
{
	int rc;

	pthread_mutex_lock(&v->d->lock);
	rc = grant_map(v, op);
	pthread_mutex_unlock(&v->d->lock);
	return rc;
}

/* Bytes of one element of the operations on lists, and where its status is. */
static const struct {
	uint8_t size, status;
} list_op[] = {
#define OP(n, t) [n] = {sizeof(struct t), offsetof(struct t, status)}
	OP(GNTTABOP_map_grant_ref, gnttab_map_grant_ref),
	OP(GNTTABOP_unmap_grant_ref, gnttab_unmap_grant_ref),
	OP(GNTTABOP_transfer, gnttab_transfer),
	OP(GNTTABOP_copy, gnttab_copy),
	OP(GNTTABOP_unmap_and_replace, gnttab_unmap_and_replace),
	OP(GNTTABOP_swap_grant_ref, gnttab_swap_grant_ref),
#undef OP
};

static long do_list(struct vcpu *v, uint32_t cmd, uint64_t uop, uint32_t count)
{
	union {
		struct gnttab_map_grant_ref map;
		struct gnttab_unmap_grant_ref unmap;
		struct gnttab_transfer transfer;
		struct gnttab_copy copy;
		struct gnttab_unmap_and_replace replace;
		struct gnttab_swap_grant_ref swap;
		uint8_t raw[1];
	} op;
	struct domain *d = v->d;
	int16_t status;

	for (uint32_t i = 0; i < count; i++, uop += list_op[cmd].size) {
		if (vcpu_must_park(v))
			vcpu_park(v);
		if (copy_from_guest(v, &op, uop, list_op[cmd].size))
			return -EFAULT;
		switch (cmd) {
		case GNTTABOP_map_grant_ref: status = map_one(v, &op.map); break;
		case GNTTABOP_copy: status = copy_one(d, &op.copy); break;
		case GNTTABOP_transfer:
			/* There is no domain that a frame could go to. */
			status = frame_is_ram(d, op.transfer.mfn) ? GNTST_bad_domain
								  : GNTST_bad_page;
			break;
		default:
			pthread_mutex_lock(&d->lock);
			if (cmd == GNTTABOP_unmap_grant_ref)
				status = grant_unmap(v, &op.unmap);
			else if (cmd == GNTTABOP_unmap_and_replace)
				status = grant_replace(v, &op.replace);
			else
				status = swap_refs(d, op.swap.ref_a, op.swap.ref_b);
			pthread_mutex_unlock(&d->lock);
		}
		memcpy(op.raw + list_op[cmd].status, &status, sizeof(status));
		if (copy_to_guest(v, uop, &op, list_op[cmd].size))
			return -EFAULT;
	}
	return 0;
}

/* GNTTABOP_*. Not locked by the dispatcher. */
long do_grant_table_op(struct vcpu *v, uint64_t cmd, uint64_t uop, uint64_t count, uint64_t a4,
		       uint64_t a5)
{
	struct gnttab_get_status_frames status;

	if ((int)count < 0)
		return -EINVAL;
	switch ((uint32_t)cmd) {
	case GNTTABOP_map_grant_ref:
	case GNTTABOP_unmap_grant_ref:
	case GNTTABOP_unmap_and_replace:
	case GNTTABOP_copy:
	case GNTTABOP_transfer:
	case GNTTABOP_swap_grant_ref: return do_list(v, cmd, uop, count);
	case GNTTABOP_setup_table: return setup_table(v, uop, count);
	case GNTTABOP_query_size: return query_size(v, uop, count);
	case GNTTABOP_set_version: return set_version(v, uop);
	case GNTTABOP_get_version: return get_version(v, uop);
	case GNTTABOP_get_status_frames: /* version 2 only */
		if (count != 1)
			return -EINVAL;
		if (copy_from_guest(v, &status, uop, sizeof(status)))
			return -EFAULT;
		status.status = GNTST_general_error;
		return copy_to_guest(v, uop, &status, sizeof(status)) ? -EFAULT : 0;
	case GNTTABOP_cache_flush: return -EOPNOTSUPP;
	default: return -ENOSYS;
	}
}
