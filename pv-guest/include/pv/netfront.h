/* SPDX-License-Identifier: MIT */
/*
 * A network interface as xen/io/netif.h has it: two rings of 256 slots, one for packets we send
 * and one for pages in which we want some. The driver knows nothing of any protocol but the rings';
 * who uses it provides the net_*() functions below. Everything with net_lock held, and pieces of
 * packets lie in pages that were granted once and stay so.
 */
#ifndef PV_NETFRONT_H
#define PV_NETFRONT_H

#include <pv/arch.h>
#include <pv/xenbus.h>

/* x86 keeps stores, and loads, in order. */
#define xen_mb()  mb()
#define xen_rmb() barrier()
#define xen_wmb() barrier()
#include <xen/io/netif.h>

#define NETFRONTS 4
#define NET_RING  256
/* Slots that every backend takes for one packet, and we from it. */
#define NET_PIECES XEN_NETIF_NR_SLOTS_MIN
#define NET_MAX	   0xffffu /* bytes of one packet */

struct netfront;

/* ---- to send ---- */

struct net_piece {
	grant_ref_t ref;
	uint16_t offset, size;
};

struct net_packet {
	struct net_piece piece[NET_PIECES];
	unsigned int pieces;
	bool blank;	  /* the protocol's checksum field holds the pseudo header's sum only */
	uint16_t segment; /* the backend is to cut TCP's payload into so many bytes; or 0 */
	void *owner;
};

/* False if there is no room now. Otherwise net_sent(owner) is called, once for each piece. */
bool netfront_send(struct netfront *f, const struct net_packet *p);

/* ---- to receive ---- */

struct net_buffer {
	struct net_buffer *next;
	struct netfront *front;
	void *page;
	grant_ref_t ref;
};

struct net_slice {
	struct net_buffer *buffer;
	uint16_t offset, size; /* inside its page, as was checked */
};

struct net_received {
	struct net_slice slice[NET_PIECES];
	unsigned int slices, total;
	bool checked; /* the backend vouches for the protocol's checksum */
};

/* Gives a buffer to receive in, for the first time or again. */
void netfront_give(struct netfront *f, struct net_buffer *b);

/* ---- the rings ---- */

/* Takes what the backend has done; true if that was anything. */
bool netfront_poll(struct netfront *f);
/* Tells the backend of what was put into the rings since last time, if it wants to know. */
void netfront_flush(struct netfront *f);
/* Whether there is something to poll for: a look at memory, without the lock. */
bool netfront_ready(const struct netfront *f);
/* Asks for an event when there will be. True if there is already: no event may come for it. */
bool netfront_arm(struct netfront *f);

struct netfront_stats {
	unsigned long rx_packets, rx_bytes, rx_slots, rx_errors;
	unsigned long tx_packets, tx_bytes, tx_slots, tx_errors, tx_full;
	unsigned long events, notifies;
};

struct netfront {
	unsigned int index; /* among ours */
	struct xenbus_device *device;
	bool up;	    /* packets may go */
	const char *broken; /* what a backend did that none may do: nothing goes any more */
	uint8_t mac[6];
	bool gather, checksums, segments, split; /* what the backend offers */
	struct netfront_stats stats;
	/* netfront.c's: */
	struct shared tx_page, rx_page;
	netif_tx_front_ring_t tx;
	netif_rx_front_ring_t rx;
	unsigned int tx_port, rx_port;
	void *owner[NET_RING]; /* of each request that waits for its answer; by id */
	uint16_t free_id[NET_RING];
	unsigned int free_ids;
	bool tx_wanted;
	struct net_buffer *posted[NET_RING]; /* by place in the ring */
	struct net_buffer *spare;
	struct net_received packet; /* of which more slots may follow */
	bool more, extra, bad;
};

/* Interfaces there have been; NULL behind the last. */
struct netfront *netfront_get(unsigned int index);
void netfront_init(void);

/* ---- what the user provides ---- */

extern struct lock net_lock;
void net_sent(void *owner);
/* Takes over the buffers, and gives each back when it is done with it. */
void net_received(struct netfront *f, const struct net_received *r);
/* Memory for the interface of this device; called before it first comes up. */
bool net_attach(struct netfront *f);
void net_link(struct netfront *f, bool up);
/* An event: somebody should poll. Without net_lock. */
void net_event(void);

#endif
