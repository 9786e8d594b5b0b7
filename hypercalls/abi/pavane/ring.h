/* SPDX-License-Identifier: MIT */
/*
 * Request rings: Xen's own macros (xen/io/ring.h) with what they want of an OS, the barriers and a
 * memset. Include this in front of the protocol's header:
 *
 *	#include <pavane/ring.h>
 *	#include <xen/io/blkif.h>
 *
 * A frontend fills RING_GET_REQUEST(r, r->req_prod_pvt++), then
 *RING_PUSH_REQUESTS_AND_CHECK_NOTIFY; it takes responses with PV_FRONT_RING_RESPONSES and
 *RING_COPY_RESPONSE, never twice from the ring.
 */
#ifndef PAVANE_RING_H
#define PAVANE_RING_H

#ifndef __XEN_INTERFACE_VERSION__
#define __XEN_INTERFACE_VERSION__ 0x00040e00
#endif

#include <stddef.h>
#include <stdint.h>
#include <xen/xen.h>
#if __XEN_INTERFACE_VERSION__ < 0x00040e00
#error "Xen's headers came first, and took the oldest ABI: define __XEN_INTERFACE_VERSION__"
#endif
#include <pavane/barrier.h>
#include <xen/io/ring.h>

/*
 * An empty ring in the page or pages at `sring`, `bytes` long, and the frontend's side of it in *r.
 * Clears all of them: whoever is granted a page sees everything that was in it.
 */
#define PV_FRONT_RING_INIT(r, shared, bytes)             \
	do {                                             \
		__builtin_memset((shared), 0, (bytes));  \
		(shared)->req_event = 1;                 \
		(shared)->rsp_event = 1;                 \
		FRONT_RING_INIT((r), (shared), (bytes)); \
	} while (0)

/*
 * Sets *n to how many responses wait from r->rsp_cons on: read once, and no older than what is then
 * read of them. More than there are requests unanswered is a lie: PV_RING_LIE, and the backend must
 * not be listened to any more.
 */
#define PV_RING_LIE (~(RING_IDX)0)
#define PV_FRONT_RING_RESPONSES(r, n)                                              \
	do {                                                                       \
		*(n) = PV_READ(&(r)->sring->rsp_prod) - (r)->rsp_cons;             \
		if (*(n) > (RING_IDX)((r)->req_prod_pvt - (r)->rsp_cons))          \
			*(n) = PV_RING_LIE;                                        \
		xen_rmb(); /* the index first, then what it tells us to look at */ \
	} while (0)

#endif
