/* SPDX-License-Identifier: MIT */
/* memory_op: the reservation is pvdom's; here lists are cut into packets and put together. */
#include <stdlib.h>
#include <string.h>
#include <xen/memory.h>

#include "toolstack/pvd/pvd.h"

#define BATCH (PVDOM_MAX_PAYLOAD / sizeof(uint64_t))

/* populate: in PFNs, out MFNs. decrease: in MFNs. Returns how many extents were done. */
static long reservation(struct client *c, uint64_t arg, bool populate)
{
	struct xen_memory_reservation r;
	uint64_t list, done = 0, *buf;
	struct dom *d;
	long rc = copy_in(c, &r, arg, sizeof(r));

	if (rc)
		return rc;
	list = (uintptr_t)r.extent_start.p;
	if (r.extent_order > 18 || r.nr_extents > UINT32_MAX ||
	    !arena_ptr(c, list, r.nr_extents * sizeof(*buf)))
		return r.extent_order > 18 ? -EINVAL : -EFAULT;
	d = dom_get(r.domid);
	if (!d)
		return -ESRCH;
	buf = malloc(BATCH * sizeof(*buf));
	if (!buf)
		rc = -ENOMEM;
	while (!rc && done < r.nr_extents) {
		uint32_t n = r.nr_extents - done < BATCH ? r.nr_extents - done : BATCH;
		uint32_t len = n * sizeof(*buf);

		copy_in(c, buf, list + done * sizeof(*buf), len);
		rc = ctl_call(d, populate ? CTL_POPULATE : CTL_DECREASE,
			      (uint64_t[4]){r.extent_order}, buf, len, NULL, populate ? buf : NULL,
			      populate ? &len : NULL);
		if (rc < 0 || rc > n || (populate && len < rc * sizeof(*buf)))
			break;
		if (populate)
			copy_out(c, list + done * sizeof(*buf), buf, rc * sizeof(*buf));
		done += rc;
		if (rc < n) {
			rc = 0;
			break;
		}
		rc = 0;
	}
	free(buf);
	dom_put(d);
	return done || !rc ? (long)done : rc < 0 ? rc : -EIO;
}

static long set_memory_map(struct client *c, uint64_t arg)
{
	struct xen_foreign_memory_map m;
	uint8_t e820[128 * 20];
	struct dom *d;
	long rc = copy_in(c, &m, arg, sizeof(m));

	if (rc)
		return rc;
	if (m.map.nr_entries > sizeof(e820) / 20)
		return -EINVAL;
	rc = copy_in(c, e820, (uintptr_t)m.map.buffer.p, m.map.nr_entries * 20);
	if (rc)
		return rc;
	d = dom_get(m.domid);
	if (!d)
		return -ESRCH;
	rc = ctl_call(d, CTL_SET_MEMORY_MAP, (uint64_t[4]){0}, e820, m.map.nr_entries * 20, NULL,
		      NULL, NULL);
	dom_put(d);
	return rc;
}

/* Calls whose argument is only a domid. */
static long counters(struct client *c, uint64_t cmd, uint64_t arg)
{
	struct pvdom_info info;
	domid_t domid;
	struct dom *d;
	long rc = copy_in(c, &domid, arg, sizeof(domid));

	if (rc)
		return rc;
	d = dom_get(domid);
	if (!d)
		return -ESRCH;
	ctl_info(d, &info);
	switch (cmd) {
	case XENMEM_current_reservation: rc = info.tot_pages; break;
	case XENMEM_maximum_reservation: rc = d->max_pages; break;
	default: /* maximum_gpfn */ rc = d->nr_frames ? (long)d->nr_frames - 1 : -EINVAL;
	}
	dom_put(d);
	return rc;
}

long do_memory_op(struct client *c, uint64_t cmd, uint64_t arg)
{
	switch (cmd) {
	case XENMEM_populate_physmap: return reservation(c, arg, true);
	case XENMEM_decrease_reservation: return reservation(c, arg, false);
	case XENMEM_set_memory_map: return set_memory_map(c, arg);
	case XENMEM_claim_pages:
	case XENMEM_get_sharing_freed_pages:
	case XENMEM_get_sharing_shared_pages: return 0;
	case XENMEM_current_reservation:
	case XENMEM_maximum_reservation:
	case XENMEM_maximum_gpfn: return counters(c, cmd, arg);
	default: return -ENOSYS;
	}
}
