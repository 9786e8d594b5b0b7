/* SPDX-License-Identifier: MIT */
/* One network device of one domain: what main.c, connect.c, grants.c and download.c share. */
#ifndef PAVANE_NET_DEVICE_H
#define PAVANE_NET_DEVICE_H

#include "toolstack/backends/common/backend.h"
#include "toolstack/backends/net/net.h"

#define GRANT_CACHE_BITS  10
#define GRANT_CACHE_SLOTS (1U << GRANT_CACHE_BITS)
#define GRANT_CACHE_MAX	  640U /* per queue and direction: its ring, and some more */

struct grant_cache {
	struct dev *d;
	bool on, write;
	unsigned n, nr_runs;
	struct {
		uint32_t ref;
		uint8_t *page; /* NULL: free */
	} slots[GRANT_CACHE_SLOTS];
	struct {
		void *addr;
		unsigned n;
	} runs[GRANT_CACHE_MAX];
};

void grants_init(struct grant_cache *c, struct dev *d, bool on, bool write);
void grants_drop(struct grant_cache *c);
void grants_copy(void *ctx, struct seg *s, unsigned n, bool to_guest);

struct queue {
	struct net *net;
	unsigned nr;
	struct txq tx;
	struct rxq rx;
	struct backlog backlog;
	struct grant_cache tx_grants, rx_grants;
	void *tx_page, *rx_page;   /* the rings */
	uint32_t tx_port, rx_port; /* one port, if the frontend has no two */
};

/* What a successor needs. The rings themselves tell how far they were served. */
struct net_saved {
	uint32_t nr_queues;
	struct saved_queue {
		uint32_t tx_ref, rx_ref, tx_port, rx_port;
	} queues[NET_MAX_QUEUES];
	uint8_t sg, gso4, gso6, no_csum4, csum6, persistent;
	/* the filter in force is filters[filter]; its length is 0 if there is none */
	uint32_t filter, filter_gen;
	uint32_t filter_len[2];
	struct sock_filter filters[2][BPF_MAXINSNS];
};

struct net {
	struct dev *d;
	struct wire *wire;
	struct net_saved *saved;
	uint8_t mac[6];
	bool mac_control;
	struct bucket bucket;
	struct filter filter;
	unsigned nr_queues;
	struct queue queues[NET_MAX_QUEUES];
	struct dev_fd wire_fd, timer_fd; /* the timer: for the bucket */
	uint8_t *scratch;		 /* a frame whose queue is not known yet */
};

/* connect.c */
int net_features(struct dev *d);
int net_connect(struct dev *d);
void net_disconnect(struct dev *d);

/* download.c: the frontend's filter. Look at its node; answer. */
void net_filter_changed(struct dev *d);
/* Put the saved one into force. */
void net_filter_restore(struct net *n);
void net_filter_remove(struct net *n);

/* confine.c */
/* Before anything else: which files can be opened at all. False: this kernel cannot tell. */
bool confine_files(void);
/* Narrower than the list of system calls: which sockets, which ioctls. 0 or -1 */
int confine_calls(void);
/*
 * A guest's connections are descriptors of this process, for libslirp opens as many as it is asked
 * for: NET_MAX_FDS, what slirp.c has room to wait for. 0 or -1
 */
int confine_descriptors(void);
extern const int slirp_syscalls[], tap_syscalls[];

#endif
