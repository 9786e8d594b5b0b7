/* SPDX-License-Identifier: MIT */
/* memory_op: the domain's reservation. Public header memory.h. */
#include "hypercalls/monitor/mm.h"

#define MAX_ORDER   9	    /* of a domU's extents */
#define MAX_EXTENTS 65536UL /* in one call */

long toolstack_populate(struct domain *d, unsigned order, const uint64_t *pfn, uint64_t *mfn,
			unsigned n)
{
	unsigned i;

	if (order > 18)
		return -EINVAL;
	for (i = 0; i < n; i++) {
		uint64_t p = pfn[i];

		mfn[i] = frame_alloc(d, order, p);
		if (mfn[i] == INVALID_MFN)
			break;
	}
	return i;
}

long toolstack_decrease(struct domain *d, unsigned order, const uint64_t *mfn, unsigned n)
{
	unsigned i;

	if (order > 18)
		return -EINVAL;
	for (i = 0; i < n; i++)
		for (uint64_t j = 0; j < 1UL << order; j++)
			if (frame_free(d, mfn[i] + j))
				return i;
	return i;
}

static uint64_t handle(const xen_memory_reservation_t *r)
{
	return (uint64_t)r->extent_start.p;
}

/*
 * The reservation, and the extents [start, *n) to do: the command's upper bits are where a call
 * that was cut short goes on. False: none, which is all these commands say of a bad argument.
 */
static bool read_reservation(struct vcpu *v, uint64_t arg, xen_memory_reservation_t *r,
			     uint64_t start, uint64_t *n)
{
	if (copy_from_guest(v, r, arg, sizeof(*r)) || start >= r->nr_extents ||
	    r->nr_extents > UINT64_MAX >> 6 || check_self(v->d, r->domid) ||
	    r->extent_order > MAX_ORDER)
		return false;
	*n = r->nr_extents - start < MAX_EXTENTS ? r->nr_extents : start + MAX_EXTENTS;
	return true;
}

/* populate_physmap reads PFNs, increase_reservation only writes MFNs. Returns extents done. */
static long populate(struct vcpu *v, uint64_t arg, uint64_t start, bool increase)
{
	xen_memory_reservation_t r;
	uint64_t i, n;

	if (!read_reservation(v, arg, &r, start, &n))
		return start;
	for (i = start; i < n; i++) {
		uint64_t pfn = INVALID_MFN, mfn, at = handle(&r) + i * sizeof(pfn);

		if (!increase && copy_from_guest(v, &pfn, at, sizeof(pfn)))
			break;
		mfn = frame_alloc(v->d, r.extent_order, pfn);
		if (mfn == INVALID_MFN)
			break;
		if (handle(&r) && copy_to_guest(v, at, &mfn, sizeof(mfn)))
			break;
	}
	return i;
}

static long decrease(struct vcpu *v, uint64_t arg, uint64_t start)
{
	xen_memory_reservation_t r;
	uint64_t i, n, mfn;

	if (!read_reservation(v, arg, &r, start, &n))
		return start;
	for (i = start; i < n; i++) {
		if (copy_from_guest(v, &mfn, handle(&r) + i * sizeof(mfn), sizeof(mfn)) ||
		    !toolstack_decrease(v->d, r.extent_order, &mfn, 1))
			break;
	}
	return i;
}

/* Only a translated guest has a physmap to add to. */
static long add_to_physmap(struct vcpu *v, uint64_t arg)
{
	struct xen_add_to_physmap x;
	int rc;

	if (copy_from_guest(v, &x, arg, sizeof(x)))
		return -EFAULT;
	if (x.space == XENMAPSPACE_gmfn_foreign)
		return -ENOSYS;
	rc = check_self(v->d, x.domid);
	return rc ? rc : -EACCES;
}

/* A frame may be given away when nothing but the reservation refers to it. */
static bool frames_idle(struct domain *d, uint64_t mfn, unsigned order)
{
	for (uint64_t j = 0; j < 1UL << order; j++)
		if (!frame_is_ram(d, mfn + j) || d->frame[mfn + j].ref_count)
			return false;
	return true;
}

/* As many extents as one chunk can have: of order 0, where the other side's is the largest. */
#define CHUNK_EXTENTS (1U << MAX_ORDER)

/* The frames of a list of extents, while they are between owners. */
struct stolen {
	uint64_t mfn[CHUNK_EXTENTS];
	unsigned order, n;
};

static void set_kind(struct domain *d, const struct stolen *s, uint8_t kind)
{
	for (unsigned i = 0; i < s->n; i++)
		for (uint64_t j = 0; j < 1UL << s->order; j++)
			d->frame[s->mfn[i] + j].kind = kind;
}

/* All of mfn[0..n) become FRAME_FREE or, with -EINVAL (also for one named twice), none. */
static int steal(struct domain *d, struct stolen *s, unsigned n)
{
	for (s->n = 0; s->n < n; s->n++) {
		if (!frames_idle(d, s->mfn[s->n], s->order)) {
			set_kind(d, s, FRAME_RAM);
			return -EINVAL;
		}
		for (uint64_t j = 0; j < 1UL << s->order; j++)
			d->frame[s->mfn[s->n] + j].kind = FRAME_FREE;
	}
	return 0;
}

/*
 * One chunk: the larger extent of the two orders, and as many of the smaller as fill it. The
 * frames given up may come back as those given out, so the old contents go at the very end, and
 * a failure before that leaves the reservation as it was (but forgets those frames' PFNs).
 */
static long exchange_chunk(struct vcpu *v, const struct xen_memory_exchange *x, uint64_t chunk)
{
	struct domain *d = v->d;
	const unsigned in_order = x->in.extent_order, out_order = x->out.extent_order;
	const unsigned order = in_order > out_order ? in_order : out_order;
	const uint64_t ins = 1UL << (order - in_order), outs = 1UL << (order - out_order);
	const uint64_t in_at = handle(&x->in) + chunk * ins * 8;
	const uint64_t out_at = handle(&x->out) + chunk * outs * 8;
	uint64_t pfn[CHUNK_EXTENTS];
	struct stolen in = {.order = in_order}, out = {.order = out_order};

	if (copy_from_guest(v, in.mfn, in_at, ins * 8) || copy_from_guest(v, pfn, out_at, outs * 8))
		return -EFAULT;
	if (steal(d, &in, ins))
		return -EINVAL;
	d->tot_pages -= 1UL << order;
	for (out.n = 0; out.n < outs; out.n++) {
		out.mfn[out.n] = frame_alloc(d, out_order, pfn[out.n]);
		if (out.mfn[out.n] == INVALID_MFN)
			break;
	}
	if (out.n < outs) {
		set_kind(d, &out, FRAME_FREE);
		set_kind(d, &in, FRAME_RAM);
		d->tot_pages += (1UL << order) - ((uint64_t)out.n << out_order);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < ins; i++)
		frame_scrub(d, in.mfn[i], in_order);
	return copy_to_guest(v, out_at, out.mfn, outs * 8) ? -EFAULT : 0;
}

static long exchange(struct vcpu *v, uint64_t arg)
{
	struct xen_memory_exchange x;
	uint64_t chunks, done, at = arg + offsetof(struct xen_memory_exchange, nr_exchanged);
	unsigned order;
	long rc = 0;

	if (copy_from_guest(v, &x, arg, sizeof(x)))
		return -EFAULT;
	if (x.in.extent_order > MAX_ORDER || x.out.extent_order > MAX_ORDER)
		return -EPERM;
	if (x.in.nr_extents > MAX_EXTENTS || x.out.nr_extents > MAX_EXTENTS ||
	    x.nr_exchanged > x.in.nr_extents || x.in.domid != x.out.domid ||
	    x.in.nr_extents << x.in.extent_order != x.out.nr_extents << x.out.extent_order)
		return -EINVAL;
	rc = check_self(v->d, x.in.domid);
	if (rc)
		return rc;
	order = x.in.extent_order > x.out.extent_order ? x.in.extent_order : x.out.extent_order;
	chunks = (x.in.nr_extents << x.in.extent_order) >> order;
	for (done = x.nr_exchanged >> (order - x.in.extent_order); done < chunks; done++) {
		rc = exchange_chunk(v, &x, done);
		if (rc)
			break;
	}
	done <<= order - x.in.extent_order;
	return copy_to_guest(v, at, &done, sizeof(done)) ? -EFAULT : rc;
}

static long memory_map(struct vcpu *v, uint64_t arg)
{
	struct xen_memory_map m;
	struct domain *d = v->d;

	if (!d->nr_e820)
		return -ENOSYS;
	if (copy_from_guest(v, &m, arg, sizeof(m)))
		return -EFAULT;
	if (m.nr_entries > d->nr_e820)
		m.nr_entries = d->nr_e820;
	if (copy_to_guest(v, (uint64_t)m.buffer.p, d->e820, m.nr_entries * sizeof(d->e820[0])) ||
	    copy_to_guest(v, arg, &m, sizeof(m)))
		return -EFAULT;
	return 0;
}

/* The M2P table is the hypervisor's L4 slot 256, which the direct provider cannot show. */
static long machphys_mapping(struct vcpu *v, uint64_t arg)
{
	struct xen_machphys_mapping m = {.v_start = 0xffff800000000000UL,
					 .v_end = 0xffff804000000000UL,
					 .max_mfn = v->d->nr_frames - 1};

	return copy_to_guest(v, arg, &m, sizeof(m)) ? -EFAULT : 0;
}

static long machphys_mfn_list(struct vcpu *v, uint64_t arg)
{
	struct xen_machphys_mfn_list l;

	if (copy_from_guest(v, &l, arg, sizeof(l)))
		return -EFAULT;
	l.nr_extents = 0;
	return copy_to_guest(v, arg, &l, sizeof(l)) ? -EFAULT : 0;
}

static long reservation(struct vcpu *v, uint64_t arg, uint64_t pages)
{
	domid_t domid;
	int rc;

	if (copy_from_guest(v, &domid, arg, sizeof(domid)))
		return -EFAULT;
	rc = check_self(v->d, domid);
	return rc ? rc : (long)pages;
}

long do_memory_op(struct vcpu *v, uint64_t cmd, uint64_t arg, uint64_t a3, uint64_t a4, uint64_t a5)
{
	const uint64_t start = cmd >> 6; /* Xen's own, for a call it continues */

	switch (cmd & 63) {
	case XENMEM_increase_reservation: return populate(v, arg, start, true);
	case XENMEM_populate_physmap: return populate(v, arg, start, false);
	case XENMEM_decrease_reservation: return decrease(v, arg, start);
	case XENMEM_exchange: return start ? -EINVAL : exchange(v, arg);
	case XENMEM_maximum_ram_page: /* the first beyond, in fact */
		return start ? -EINVAL : (long)v->d->nr_frames;
	case XENMEM_current_reservation:
		return start ? -EINVAL : reservation(v, arg, v->d->tot_pages);
	case XENMEM_maximum_reservation:
		return start ? -EINVAL : reservation(v, arg, v->d->max_pages);
	case XENMEM_add_to_physmap: return add_to_physmap(v, arg);
	case XENMEM_memory_map: return memory_map(v, arg);
	case XENMEM_machine_memory_map: return -EPERM;
	case XENMEM_machphys_mapping: return machphys_mapping(v, arg);
	case XENMEM_machphys_mfn_list: return machphys_mfn_list(v, arg);
	default: return -ENOSYS;
	}
}
