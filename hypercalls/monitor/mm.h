/* SPDX-License-Identifier: MIT */
/* Between the files of the memory families: frames, page-table validation, descriptors. */
#ifndef PAVANE_MM_H
#define PAVANE_MM_H

#include "hypercalls/monitor/monitor.h"

/* A plain reference (a read-only mapping). -EPERM: no such frame; -EBUSY: not the guest's. */
int frame_get(struct domain *d, uint64_t mfn);
void frame_put(struct domain *d, uint64_t mfn);

/* validate.c: take, or drop, all references that the contents of a frame of this type hold. */
int frame_validate(struct domain *d, uint64_t mfn, enum frame_type type);
void frame_invalidate(struct domain *d, uint64_t mfn, enum frame_type type);
/* The entry as Xen would store it, or -EINVAL in *rc for bits no guest may set. */
uint64_t entry_adjust(uint64_t e, enum frame_type level, int *rc);
/* References of one present entry of a table of this level. */
int entry_get(struct domain *d, uint64_t e, enum frame_type level);
void entry_put(struct domain *d, uint64_t e, enum frame_type level);

/* descriptor.c: may a guest have it in a descriptor table? Raises its DPL to the guest kernel's. */
bool descriptor_check(uint64_t *desc);

/* The top bit of a count: Xen's mark on a call it continues. */
#define UPDATE_PREEMPTED 0x80000000U

static inline bool l4_slot_is_xens(unsigned i)
{
	return i >= 256 && i < 272;
}

/* DOMID_SELF or its own number; a domU has no business with any other. */
static inline int check_self(struct domain *d, uint64_t domid)
{
	if (domid == DOMID_SELF || domid == d->id)
		return 0;
	return domid ? -ESRCH : -EPERM;
}

#endif
