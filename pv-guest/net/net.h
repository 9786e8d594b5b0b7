/* SPDX-License-Identifier: MIT */
/* What the parts of the network tell each other: lwIP, the interfaces under it, the tools above. */
#ifndef NET_H
#define NET_H

#include <pv/lib.h>
#include <pv/lock.h>
#include <pv/netfront.h>

/* ---- heap.c: memory for packets, in pages that the backend may read ---- */

/* As much as one piece may have. */
#define HEAP_MAX 4032u
/* Payload that is sure to fit into one piece, behind lwIP's own struct and all headers. */
#define HEAP_PAYLOAD 3840u

/* False if the heap is another backend's already. */
bool heap_init(domid_t backend);
grant_ref_t heap_ref(const void *p);
unsigned int heap_pages(void);

/* ---- stack.c: who runs lwIP, and when ---- */

extern struct lock net_lock;

/* Once, with the first interface. */
void stack_init(void);
/* lwIP is called between these only. The second sends what was written meanwhile. */
bool net_enter(void);
void net_leave(bool enabled);
/*
 * With the lock held: lets the stack go on, then sleeps until an event or the deadline (system
 * time) unless there was something to do. The lock is free meanwhile. Call it in a loop that tests
 * for what you want.
 */
void net_wait(uint64_t deadline);

/* ---- iface.c: lwIP's interface on top of netfront ---- */

struct netif;

#define NET_MTU 1500
/*
 * A backend that cuts segments takes TCP's data in packets as long as this many segments: in
 * pieces of HEAP_PAYLOAD they are fewer than one packet may have.
 */
#define NET_SEGMENTS 22

/* The interface of the driver's, or NULL while it has none. */
struct netif *iface_get(unsigned int index);
/* Waits until an interface has an address; false, and says so, if that takes too long. */
bool iface_wait(void);
/* Asks for an address; or takes one: network byte order. */
void iface_dhcp(struct netif *n);
void iface_static(struct netif *n, uint32_t address, uint32_t mask, uint32_t gateway);

#endif
