/* SPDX-License-Identifier: MIT */
/*
 * What every backend shares. A backend is one process for one device of one domain; it is a struct
 * of callbacks, and backend_main() does the rest: arguments, the xenbus handshake, the event loop
 * with its poll phase, the memory that outlives a crash, and the sandbox.
 *
 * Life of a device:
 *
 *	open	    before the sandbox: files, sockets; what the device is
 *	features    the nodes that the frontend reads; then the state is InitWait
 *	connect	    the frontend named its rings and ports: map and bind; then Connected
 *	work, arm   the data path, see below
 *	disconnect  let go of every ring and port; the frontend may connect again
 *
 * A backend that was killed is started again with the same state memfd. If the memfd says that the
 * device was connected, `connect` is called at once with d->resumed set: it takes refs, ports and
 * indices from the saved state and not from the frontend, which must not notice.
 */
#ifndef PAVANE_BACKEND_H
#define PAVANE_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_SIZE	 4096UL
#define DEV_MAX_PORTS	 64
#define DEV_MAX_RING_REF 16

struct dev;

/* A descriptor of the backend's own in the event loop. */
struct dev_fd {
	int fd;
	void (*ready)(struct dev *d, struct dev_fd *f, uint32_t epoll_events);
};

struct backend {
	const char *name;    /* the program: "pvblk" */
	const char *class;   /* as xenstore calls it: "vbd", "vif" */
	const char *help;    /* one line */
	uint32_t connect_at; /* the frontend's state from which on it has named its rings: 3 or 4 */
	size_t state_size;   /* of the backend's own part of the state memfd; zero at first */

	/* Each returns 0, or -1 after dev_fail(). */
	int (*open)(struct dev *d);
	int (*features)(struct dev *d);
	int (*connect)(struct dev *d);
	/* Work off what there is, but not for ever. True if there was anything. */
	bool (*work)(struct dev *d);
	/* Ask for an event with the next request (req_event). True if there is work already. */
	bool (*arm)(struct dev *d);
	void (*disconnect)(struct dev *d);
	/* Optional: a node of the backend's own directory has changed, other than state, online. */
	void (*changed)(struct dev *d, const char *node);
	/* Optional: a node of the frontend's directory that is watched too, while it may change. */
	const char *front_node;
	void (*front_changed)(struct dev *d);
	/* System calls beyond the common ones; ends with -1. */
	const int *syscalls;
};

struct xs_handle;
struct xengntdev_handle;
struct xenevtchn_handle;
struct state_head;

struct dev {
	const struct backend *be;
	void *priv;  /* the backend's */
	void *saved; /* state_size bytes that outlive this process */
	uint32_t domid, devid;
	bool resumed;		 /* connected by what `saved` says; true until disconnect */
	bool connected;		 /* between connect and disconnect */
	bool failed;		 /* dev_fail() was called: the frontend must begin anew */
	bool hopeless;		 /* it failed at open: nothing but removal is waited for */
	char dir[96], front[96]; /* in xenstore: ours, the frontend's */

	/* of common/ */
	bool successor; /* another process served this device before */
	uint32_t state; /* XenbusState, as last written */
	bool online, gone;
	struct xs_handle *xs; /* NULL: xenstored is dead; the data path goes on */
	struct xengntdev_handle *gnt;
	struct xenevtchn_handle *evtchn;
	int epfd, state_fd;
	struct state_head *head;
	struct dev_fd xs_fd, evtchn_fd, pvd_fd;
	uint32_t masked[DEV_MAX_PORTS], nr_masked;
	uint64_t poll_ns, poll_max;
};

int backend_main(int argc, char **argv, const struct backend *be);

/* log.c: one line on stderr, "pvblk d1/51712: ..." */
void dev_log(struct dev *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/*
 * The device is of no more use: said in the log and in the node `error`, state Closing. The next
 * turn of the loop disconnects; a frontend that begins anew gets another chance, unless it was in
 * `open` that it failed. Only the first call has an effect. Returns -1.
 */
int dev_fail(struct dev *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * store.c: nodes. `dir` is d->dir or d->front. A value is the guest's to choose in d->front, so
 * numbers are decimal digits only, no larger than max. False if the node is missing or malformed.
 */
bool dev_read(struct dev *d, const char *dir, const char *node, char *buf, size_t size);
bool dev_read_u64(struct dev *d, const char *dir, const char *node, uint64_t max, uint64_t *value);
uint64_t dev_read_or(struct dev *d, const char *dir, const char *node, uint64_t max,
		     uint64_t otherwise);
/* False if it is there, but no number up to max. */
bool dev_read_optional(struct dev *d, const char *dir, const char *node, uint64_t max,
		       uint64_t otherwise, uint32_t *value);
/* In our own directory. 0, or -1 (logged). */
int dev_write(struct dev *d, const char *node, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Write the state again although it is the same: the frontend looks at the other nodes anew. */
void dev_announce(struct dev *d);

/*
 * ring.c: what the guest shares. refs: of the device's domain. NULL, -1: errno is set.
 * dev_bind returns our port, which leads to `work`; notify and unbind take that one.
 */
void *dev_map(struct dev *d, uint32_t *refs, uint32_t n, int prot);
void dev_unmap(struct dev *d, void *addr, uint32_t n);
int dev_bind(struct dev *d, uint32_t guest_port);
void dev_notify(struct dev *d, uint32_t port);
void dev_unbind(struct dev *d, uint32_t port);
/*
 * The ring that the frontend names below `sub` ("" or "queue-0/"): ring-ref and event-channel, or
 * ring-refN for 2^order pages. False if anything is missing or no number.
 */
bool dev_read_ring(struct dev *d, const char *sub, uint32_t order, const char *ref_name,
		   uint32_t refs[DEV_MAX_RING_REF]);

/* loop.c. Add the descriptor, or change what it is watched for (EPOLL*, 0: nothing). */
int dev_watch_fd(struct dev *d, struct dev_fd *f, uint32_t epoll_events);
void dev_unwatch_fd(struct dev *d, struct dev_fd *f);
uint64_t dev_now(void); /* CLOCK_MONOTONIC, ns */

/* Between the files of common/ */
int store_open(struct dev *d);
int store_watch(struct dev *d);	 /* from now on store_event() is called; starts a thread */
void store_event(struct dev *d); /* look at every watch that fired, and at both states */
void store_step(struct dev *d);	 /* look at both states */
/* Connect by d->saved: the frontend knows nothing of our predecessor's death. */
void store_resume(struct dev *d);
void store_failed(struct dev *d, const char *why);
int ring_open(struct dev *d);
void ring_event(struct dev *d);
void ring_unmask(struct dev *d);
int state_open(struct dev *d, int fd);
void state_connected(struct dev *d, bool connected);
bool state_was_connected(const struct dev *d);
/* Which device this is the memory of: one that has its number later is another. 0: of none. */
uint64_t state_instance(const struct dev *d);
/* Forget what is there; it is that device's from now on. */
void state_begin(struct dev *d, uint64_t instance);
/* A root's process keeps none of root's rights; for this thread and those that it starts. */
int privileges_drop(struct dev *d);
int sandbox_enter(struct dev *d);
int loop_open(struct dev *d);
void loop_measure(struct dev *d); /* how long polling may be; before the sandbox */
void loop_run(struct dev *d);	  /* until the device is gone */

#endif
