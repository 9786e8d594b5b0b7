/* SPDX-License-Identifier: MIT */
/*
 * pvnet, the network backend. A frame goes from the guest's tx ring (tx.c) to the wire, and from
 * the wire through the filter (filter.c) and the backlog (backlog.c) to its rx ring (rx.c). The
 * wire is libslirp (slirp.c) or a tap device (tap.c). Everything here but grants.c, device.c and
 * main.c works on plain memory: the unit tests and the fuzz target run it without a guest.
 */
#ifndef PAVANE_NET_H
#define PAVANE_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/filter.h>

#ifndef __XEN_TOOLS__
#define __XEN_TOOLS__ /* or ring.h has barriers of its own */
#endif
#define xen_mb()  __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define xen_rmb() __atomic_thread_fence(__ATOMIC_ACQUIRE)
#define xen_wmb() __atomic_thread_fence(__ATOMIC_RELEASE)
#include <xen/xen.h>
#include <xen/grant_table.h>
#include <xen/io/netif.h>

#define NET_PAGE       4096U
#define NET_RING_SLOTS 256U
#define NET_MAX_FRAGS  XEN_NETIF_NR_SLOTS_MIN	      /* slots of one frame, extras not counted */
#define NET_MAX_EXTRAS (XEN_NETIF_EXTRA_TYPE_MAX - 1) /* one of each type */
#define NET_MAX_FRAME  (65536U + 16)		      /* the largest IP packet, Ethernet header */
#define NET_MIN_MSS    48U			      /* what Linux takes for the least, too */
#define NET_MAX_QUEUES 4U
#define ETH_HEADER     14U
#define NET_MAX_FDS    1024U /* of the process, with libslirp: each connection has one */
#define NET_MTU	       1500U /* of a guest's interface, unless the toolstack says otherwise */

/* What is known of a frame's TCP or UDP checksum. */
enum csum {
	CSUM_NONE,  /* nothing: it is in the frame, right or wrong */
	CSUM_VALID, /* it is in the frame and was verified */
	CSUM_BLANK, /* the frame never left this machine: the checksum is not filled in */
};

struct frame {
	uint8_t *data;
	uint32_t len;
	uint16_t gso_size; /* payload of each segment; 0: not to be segmented */
	uint8_t gso_type;  /* XEN_NETIF_GSO_TYPE_* */
	uint8_t csum;	   /* enum csum */
};

/* ---- proto.c: as much of Ethernet, IP, TCP and UDP as offloads need ---- */

struct headers {
	uint32_t l3, l4; /* where the IP and the TCP or UDP header start */
	uint32_t l4_len; /* bytes from l4 to the end of the IP packet */
	uint8_t version; /* 4 or 6 */
	uint8_t proto;	 /* IPPROTO_TCP or IPPROTO_UDP */
};

/* 0, or -1: not a whole, unfragmented TCP or UDP packet. One VLAN tag may be there. */
int headers_parse(const uint8_t *data, uint32_t len, struct headers *h);

/* Fill in a blank checksum. -1: the frame is none that has one. */
int csum_fill(struct frame *f);

/*
 * Put the pseudo-header's sum where the checksum belongs, as virtio_net_hdr wants it. *start,
 * *offset: from where to sum, and where in there the sum belongs. -1: as above.
 */
int csum_prepare(struct frame *f, uint16_t *start, uint16_t *offset);

/* Is it a frame that can be cut into segments as gso_type and gso_size say? */
bool gso_sane(const struct frame *f);

/*
 * If it is an IPv4 TCP SYN that says how large a segment its sender takes, make it say `mss`, blank
 * its checksum, and return what it said. 0: it is none.
 */
uint16_t mss_replace(struct frame *f, uint16_t mss);

/*
 * The next fragment, of at most NET_MTU bytes, of an IPv4 packet: `at` bytes of its payload have
 * been taken. Its length is returned, and *at moved on; 0: there is no more, or it is no IPv4.
 */
uint32_t fragment_next(const struct frame *f, uint32_t *at, uint8_t *to);

/* The same for both directions of one TCP or UDP flow. */
uint32_t flow_hash(const struct frame *f);

/* ---- rate.c: a token bucket ---- */

struct bucket {
	uint64_t rate; /* bytes per second; 0: no limit */
	uint64_t size; /* bytes that may be sent at once */
	uint64_t left;
	uint64_t last; /* when it was filled, ns */
};

void bucket_init(struct bucket *b, uint64_t rate, uint64_t now);
/* May len bytes pass? More than the bucket's size pass when it is full. */
bool bucket_take(struct bucket *b, uint64_t len, uint64_t now);
/* ns until there may be room for len bytes. */
uint64_t bucket_wait(const struct bucket *b, uint64_t len);

/* ---- grants: how bytes get to and from the guest's pages ---- */

struct seg {
	uint32_t ref;
	uint16_t off, len; /* off + len <= NET_PAGE, checked by who fills it in */
	int16_t status;	   /* GNTST_*: out */
	void *buf;
};

struct grant_ops {
	/* Copy all the segments and set the status of each. */
	void (*copy)(void *ctx, struct seg *segs, unsigned n, bool to_guest);
	void *ctx;
};

/* ---- tx.c: frames from the guest ---- */

struct tx_stats {
	uint64_t frames, bytes, errors, spoofed;
};

struct txq {
	struct netif_tx_back_ring ring;
	struct grant_ops grants;
	struct bucket *bucket;
	const uint8_t *mac; /* the only source address to pass; NULL: any */
	/* A whole, checked frame. -1: it cannot be sent. */
	int (*send)(void *ctx, struct frame *f);
	void *ctx;
	struct tx_stats stats;
	bool skip;	    /* the rest of a chain that was too long is thrown away */
	bool part;	    /* at `seen` the last chain was not complete */
	RING_IDX seen;	    /* the frontend's index at the last run */
	uint32_t throttled; /* bytes of the frame that the bucket keeps back, or 0 */
	uint8_t *buf;	    /* TX_BUF bytes */
};

#define TX_BUF (256U << 10)

/* -1: no memory. `from`: the index of the first request not answered yet. */
int txq_init(struct txq *q, struct netif_tx_sring *s, RING_IDX from);
void txq_free(struct txq *q);

/*
 * Serve what is in the ring, at most one batch. The number of slots answered; -1: the frontend
 * broke the protocol so that no slot can be trusted any more. *notify is set when it wants an
 * event.
 */
int tx_run(struct txq *q, uint64_t now, bool *notify);

/* Ask for an event with the next request. true: there is work by now. */
bool tx_sleep(struct txq *q);
/* Is there anything tx_run could do, bucket apart? */
bool tx_pending(const struct txq *q);

/* ---- rx.c: frames to the guest ---- */

struct rx_stats {
	uint64_t frames, bytes, dropped, errors;
};

struct rxq {
	struct netif_rx_back_ring ring;
	struct grant_ops grants;
	bool sg, gso4, gso6;  /* what the frontend takes */
	bool no_csum4, csum6; /* feature-no-csum-offload, feature-ipv6-csum-offload */
	struct rx_stats stats;
};

void rxq_init(struct rxq *q, struct netif_rx_sring *s, RING_IDX from);

/*
 * Give the guest the first of n frames, as many as it has room for. How many it was; -1: the
 * frontend lied about its ring. A frame that it cannot take at all counts as given and dropped.
 */
int rx_send(struct rxq *q, struct frame *f, unsigned n, bool *notify);
/* Ask for an event when there is room for one more. true: there is by now. */
bool rx_sleep(struct rxq *q, unsigned slots);
/* Slots that a frame takes in the ring. */
unsigned rx_slots(const struct frame *f);

/* ---- backlog.c: frames on their way to the guest ---- */

#define BACKLOG_BYTES  (2U << 20)
#define BACKLOG_FRAMES 2048U

struct backlog {
	uint8_t *buf; /* BACKLOG_BYTES */
	struct frame frames[BACKLOG_FRAMES];
	unsigned first, last; /* frames [first, last) wait */
	uint32_t used;
	uint64_t dropped;
};

int backlog_init(struct backlog *b);
void backlog_free(struct backlog *b);
/* Room for one frame of up to len bytes, or NULL: full. */
uint8_t *backlog_room(struct backlog *b, uint32_t len);
/* The frame that was put there waits now. */
void backlog_add(struct backlog *b, const struct frame *f);
/* More than half full? */
bool backlog_crowded(const struct backlog *b);
/* n frames from the first on are done with. */
void backlog_done(struct backlog *b, unsigned n);

/* ---- filter.c: a guest's own packet filter, run by the kernel ---- */

struct filter {
	int in, out; /* a socket pair, the program attached to `out`; -1: no filter */
	uint64_t dropped;
};

/* 0, or a negative errno: the kernel's verifier refused it, and the old one stays in force. */
int filter_attach(struct filter *f, const struct sock_filter *prog, unsigned n);
void filter_detach(struct filter *f);
/* What the program says of a frame. Without a program: true. */
bool filter_pass(struct filter *f, const struct frame *frame);

/* ---- hostfwd.c ---- */

struct hostfwd {
	bool udp;
	uint32_t host_addr, guest_addr; /* network byte order; guest 0: the one DHCP gives */
	uint16_t host_port, guest_port;
};

#define HOSTFWD_MAX 64

/*
 * A list such as "tcp:127.0.0.1:8080-:80 udp::5353-:53". The number of entries, or -1 and why,
 * with the entry at fault. An empty host address means 127.0.0.1.
 */
int hostfwd_parse(const char *list, struct hostfwd *out, unsigned max, char *why, size_t size);

/* ---- host.c ---- */

/* Would libslirp carry it to this machine's own services, 10.0.2.2 apart? */
bool leads_to_host(const struct frame *f);

/* ---- the wire ---- */

struct wire;

struct wire_ops {
	/* A frame from the guest. -1: it cannot be sent. The frame may be changed. */
	int (*send)(struct wire *w, unsigned queue, struct frame *f);
	/*
	 * Take what has arrived, without waiting; room: whether there is any for frames. True if
	 * anything happened.
	 */
	bool (*turn)(struct wire *w, bool room);
	/* Make w->fd readable as soon as turn() would have something to do. */
	void (*arm)(struct wire *w, bool room);
	/* The guest is there, with so many queues, and takes such frames. 0, or a negative errno */
	int (*offload)(struct wire *w, bool csum, bool tso4, bool tso6, unsigned queues);
	/*
	 * The wire's own way to run a filter that was verified; none if n is 0. NULL: it has none,
	 * filter.c runs it. 0, or a negative errno
	 */
	int (*filter)(struct wire *w, const struct sock_filter *prog, unsigned n);
	void (*close)(struct wire *w);
};

struct wire {
	const struct wire_ops *ops;
	int fd;		     /* an epoll descriptor */
	uint64_t tx_dropped; /* frames that the wire had no room for */
	/* Room for a frame on its way to the guest, or NULL; then the frame itself. */
	uint8_t *(*room)(void *ctx, int queue, uint32_t len);
	void (*deliver)(void *ctx, int queue, struct frame *f); /* queue -1: any */
	void *ctx;
};

/* host: whether the guest may reach what listens on the host. NULL and why. */
struct wire *slirp_open(const char *hostfwd, bool host, char *why, size_t size);
/* ifname: is there, or is made. bridge: is there; or "". mac: the guest's. */
struct wire *tap_open(const char *ifname, const char *bridge, const uint8_t *mac, char *why,
		      size_t size);

/* CLOCK_MONOTONIC, ns */
uint64_t now_ns(void);

#endif
