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

static int read_reservation(struct vcpu *v, uint64_t arg, xen_memory_reservation_t *r)
{
	if (copy_from_guest(v, r, arg, sizeof(*r)))
		return -EFAULT;
	return check_self(v->d, r->domid);
}

/* populate_physmap reads PFNs, increase_reservation only writes MFNs. Returns extents done. */
static long populate(struct vcpu *v, uint64_t arg, bool increase)
{
	xen_memory_reservation_t r;
	long rc = read_reservation(v, arg, &r);
	uint64_t i, n;

	if (rc)
		return rc;
	if (r.extent_order > MAX_ORDER)
		return 0;
	n = r.nr_extents < MAX_EXTENTS ? r.nr_extents : MAX_EXTENTS;
	for (i = 0; i < n; i++) {
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

static long decrease(struct vcpu *v, uint64_t arg)
{
	xen_memory_reservation_t r;
	long rc = read_reservation(v, arg, &r);
	uint64_t i, n, mfn;

	if (rc)
		return rc;
	if (r.extent_order > MAX_ORDER)
		return 0;
	n = r.nr_extents < MAX_EXTENTS ? r.nr_extents : MAX_EXTENTS;
	for (i = 0; i < n; i++) {
		if (copy_from_guest(v, &mfn, handle(&r) + i * sizeof(mfn), sizeof(mfn)) ||
		    !toolstack_decrease(v->d, r.extent_order, &mfn, 1))
			break;
	}
	return i;
}

/* A frame may be given away when nothing but the reservation refers to it. */
static bool frames_idle(struct domain *d, uint64_t mfn, unsigned order)
{
	for (uint64_t j = 0; j < 1UL << order; j++)
		if (!frame_is_ram(d, mfn + j) || d->frame[mfn + j].ref_count)
			return false;
	return true;
}

/* One chunk: the larger extent of the two orders, and as many of the smaller as fill it. */
static long exchange_chunk(struct vcpu *v, const struct xen_memory_exchange *x, uint64_t chunk)
{
	struct domain *d = v->d;
	const unsigned in_order = x->in.extent_order, out_order = x->out.extent_order;
	const unsigned order = in_order > out_order ? in_order : out_order;
	const uint64_t ins = 1UL << (order - in_order), outs = 1UL << (order - out_order);
	uint64_t mfn, pfn, i;

	for (i = 0; i < ins; i++) {
		uint64_t at = handle(&x->in) + (chunk * ins + i) * sizeof(mfn);

		if (copy_from_guest(v, &mfn, at, sizeof(mfn)))
			return -EFAULT;
		if (!frames_idle(d, mfn, in_order))
			return -EINVAL;
	}
	for (i = 0; i < ins; i++) { /* other vCPUs share this memory: read and check once more */
		uint64_t at = handle(&x->in) + (chunk * ins + i) * sizeof(mfn);

		if (copy_from_guest(v, &mfn, at, sizeof(mfn)))
			return -EFAULT;
		if (!frames_idle(d, mfn, in_order) || !toolstack_decrease(d, in_order, &mfn, 1))
			return -EINVAL;
	}
	for (i = 0; i < outs; i++) {
		uint64_t at = handle(&x->out) + (chunk * outs + i) * sizeof(mfn);

		if (copy_from_guest(v, &pfn, at, sizeof(pfn)))
			return -EFAULT;
		mfn = frame_alloc(d, out_order, pfn);
		if (mfn == INVALID_MFN)
			return -ENOMEM;
		if (copy_to_guest(v, at, &mfn, sizeof(mfn)))
			return -EFAULT;
	}
	return 0;
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
	    x.nr_exchanged > x.in.nr_extents ||
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
	struct xen_machphys_mapping m = { .v_start = 0xffff800000000000UL,
					  .v_end = 0xffff804000000000UL,
					  .max_mfn = v->d->nr_frames - 1 };

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
	switch (cmd & 63) { /* the rest is Xen's own, for continuations */
	case XENMEM_increase_reservation:
		return populate(v, arg, true);
	case XENMEM_populate_physmap:
		return populate(v, arg, false);
	case XENMEM_decrease_reservation:
		return decrease(v, arg);
	case XENMEM_exchange:
		return exchange(v, arg);
	case XENMEM_maximum_ram_page:
		return v->d->nr_frames - 1;
	case XENMEM_current_reservation:
		return reservation(v, arg, v->d->tot_pages);
	case XENMEM_maximum_reservation:
		return reservation(v, arg, v->d->max_pages);
	case XENMEM_memory_map:
		return memory_map(v, arg);
	case XENMEM_machine_memory_map:
		return -EPERM;
	case XENMEM_machphys_mapping:
		return machphys_mapping(v, arg);
	case XENMEM_machphys_mfn_list:
		return machphys_mfn_list(v, arg);
	default:
		return -ENOSYS;
	}
}
