/* SPDX-License-Identifier: MIT */
/* Grant table, version 1. */
#ifndef PV_GRANT_H
#define PV_GRANT_H

#include <pv/mm.h>

long grant_init(void);
/* A reference through which domid may use the frame, or -errno. */
long grant_access(domid_t domid, mfn_t mfn, bool readonly);
/* Takes it back; false while somebody still uses it. */
bool grant_end(grant_ref_t ref);
long grant_copy(struct gnttab_copy *op);

#endif
