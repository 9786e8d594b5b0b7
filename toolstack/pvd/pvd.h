/* SPDX-License-Identifier: MIT */
/*
 * The broker's inside. One thread per client, one per domain (its `up` socket), and the main
 * thread, which starts and reaps every child (a child dies with the thread that forked it).
 *
 * Locks: state_lock guards the domain table, dom0's ports and the grants; it is never held while
 * anybody is waited for. dom->ctl_lock serializes the requests to one pvdom, dom->lend_lock the
 * fate of the pages it grants (lend.c, before ctl_lock); both are taken without state_lock. A
 * thread that serves domain A's `up` never asks A anything.
 */
#ifndef PAVANE_PVD_H
#define PAVANE_PVD_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <xen/xen.h>

#include "hypercalls/pvdom/proto.h"
#include "toolstack/pvd/client.h"

#define PAGE_SIZE	4096UL
#define MAX_DOMS	4096
#define FIRST_RESERVED	0x7ff0
#define NR_GRANTS	(PVDOM_GRANT_FRAMES * (PAGE_SIZE / 8))
#define MAX_POPULATE_KB (1UL << 32) /* 4 TiB: more than any memfd holds */

struct dom {
	uint16_t id;
	uint32_t refs;
	pid_t pid;
	int pidfd, ram_fd, ctl_fd, up_fd;
	const char *provider;
	bool ready, dying, shutdown, dead; /* dead: its pvdom is gone */
	bool has_run;			   /* or may: it was unpaused */
	bool reaped;			   /* main thread: its pid is no longer its own */
	bool attended;			   /* a client does what follows its end ... */
	time_t reap_at;		 /* ... or should have by then; 0: nothing is left to do */
	uint8_t reason;		 /* SHUTDOWN_* */
	struct client *debugger; /* state_lock */
	uint32_t pauses;
	pthread_mutex_t pause_lock; /* while it is told */
	uint32_t max_vcpus, ssidref;
	uint64_t max_pages, nr_frames; /* nr_frames: of the memfd, 0 until it is sealed */
	xen_domain_handle_t handle;
	uint16_t weight, cap;
	char why[128];

	pthread_mutex_t ctl_lock;
	uint32_t stale;		/* answers that came too late, still to be skipped */
	struct pvdom_info info; /* the last one known */

	struct grant_entry_v1 *grants; /* the guest's table: hostile memory */
	struct grant_count {
		uint16_t readers, writers, dom0;
	} * grant_count;
	pthread_mutex_t lend_lock; /* lend.c: for the two below */
	struct lent *lent;	   /* its pages that other domains map */
	uint32_t nr_lent;
	struct mapping *mappings; /* what it maps of others; state_lock */
	uint32_t nr_mappings;
	uint32_t log_budget;
	time_t log_second;
	struct dom *next;
};

struct client {
	int sock;
	uint64_t arena_base, arena_size;
	char *arena;
	int restrict_to; /* -1: dom0's full rights */
	struct grant_map *maps;
	struct hold *holds;
	bool debugs;	     /* or has, some domain */
	uint16_t unfinished; /* a domain that it is making, or 0 */
	uint16_t attends;    /* one whose end it sees to */
	uint64_t next_map;
};

extern pthread_mutex_t state_lock;
extern char rundir[90], bindir[256], libdir[300];
extern uint32_t tsc_rate; /* kHz */

/* log.c: everything goes to pvd.log; the ring is what readconsole (xl dmesg) shows. */
void log_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_guest(uint16_t domid, const char *text, size_t len);
uint32_t log_read(char *buf, uint32_t size, uint32_t *index, bool incremental);
void log_clear(void);
void log_tick(void); /* often: the file is to stay small, whoever writes to it */

/* arena.c: a client's hypercall buffers. -EFAULT outside of them. */
int arena_attach(struct client *c, uint64_t base, uint64_t size, int fd);
void arena_detach(struct client *c);
void *arena_ptr(struct client *c, uint64_t ptr, uint64_t len);
long copy_in(struct client *c, void *to, uint64_t ptr, uint64_t len);
long copy_out(struct client *c, uint64_t ptr, const void *from, uint64_t len);

/* domain.c */
struct dom *dom_get(uint32_t id); /* takes a reference; NULL if there is none, or it is dying */
/* The first whose number is >= id; one that is dying as well: its images are still in use. */
struct dom *dom_get_from(uint32_t id);
void dom_put(struct dom *d);
/* provider: "auto" for the best that works, "process", "vtx". */
long dom_create(uint32_t *id, uint32_t vcpus, const uint8_t *handle, uint32_t ssidref,
		const char *provider);
long dom_set_max_mem(struct dom *d, uint64_t pages);
long dom_pause(struct dom *d, bool pause);
void dom_abandoned(uint16_t id); /* its maker has died */
long dom_attend(uint16_t id, bool attend);
void dom_tick(void);
long dom_destroy(struct dom *d);
void dom_shutdown(struct dom *d, unsigned reason, const char *why);
void dom_died(pid_t pid, int status);	   /* a child was reaped */
void dom_ready(struct dom *d, bool ready); /* false: its up socket closed */
unsigned dom_count(void);
void dom_kill_all(void);

/* ctl.c: one round trip to a pvdom. in_len: in = room, out = bytes received. */
long ctl(struct dom *d, uint32_t op, uint64_t a0, uint64_t a1);
long ctl_call(struct dom *d, uint32_t op, const uint64_t arg[4], const void *out, uint32_t out_len,
	      const int *fds, void *in, uint32_t *in_len);
void ctl_info(struct dom *d, struct pvdom_info *info); /* the last known, if it does not answer */

/* up.c: the domain's own requests, until its socket closes */
void *up_thread(void *dom);

/* evtchn.c: dom0's ports, and every channel between two domains */
long port_bind_virq(struct client *c, uint32_t virq, int fds[2]);
long port_bind_domain(struct client *c, uint32_t domid, uint32_t remote, int fds[2]);
long port_bind_unbound(struct client *c, uint32_t domid, int fds[2]);
long port_close(struct client *c, uint32_t port);
void ports_of_client(struct client *c); /* the client is gone */
void ports_of_domain(uint16_t domid);	/* the domain is gone */
long port_status(uint32_t port, void *evtchn_status);
void port_notify(uint32_t port); /* as if its owner had */
void virq_raise(uint32_t virq);
long domain_bind(struct dom *d, uint32_t remote_dom, uint32_t remote, uint32_t port, int fds[2]);
void domain_close(struct dom *d, uint32_t port);

/* gnttab.c */
struct gnttab_copy;
void grants_init(struct dom *d);
long grant_map(struct client *c, const struct pvd_req *q, const uint32_t *refs, uint64_t *mfns,
	       int *fd);
long grant_unmap(struct client *c, uint64_t id);
void grants_of_client(struct client *c);
/* A grant of d's used by domain `by`: GNTST_*, and its frame. */
int grant_acquire(struct dom *d, uint32_t ref, uint16_t by, bool write, uint64_t *mfn);
void grant_release(struct dom *d, uint32_t ref, bool write);
bool grant_dom0_maps(struct dom *d, uint64_t mfn);
int grant_copy_client(const struct pvd_copy *cp, void *data, uint32_t len);
void grant_copy_domain(struct dom *d, struct gnttab_copy *ops, unsigned n);

/* hold.c: frames that a client maps to write to */
long hold_begin(struct client *c, uint32_t domid, uint64_t mfn, uint64_t n, uint64_t *id);
long hold_end(struct client *c, uint64_t id);
void holds_of_client(struct client *c);

/* debug.c: what a debugger asks; of domctl's numbers */
long do_debug(struct client *c, struct dom *d, void *xen_domctl);
void debug_event(struct dom *d);
void debug_of_client(struct client *c);

/* lend.c: grants that one domain maps of another's */
long domain_grant_map(struct dom *d, uint32_t domid, uint32_t ref, uint32_t flags, int fds[2]);
long domain_grant_unmap(struct dom *d, uint64_t id);
void grants_of_domain(struct dom *d); /* the mapper is gone */
bool page_lent(struct dom *d, uint64_t mfn);
int page_open(struct dom *d, uint64_t mfn, uint64_t *offset); /* where its bytes are; to close */

/* hypercall.c and the families */
long hypercall(struct client *c, uint64_t nr, const uint64_t arg[5]);
long do_memory_op(struct client *c, uint64_t cmd, uint64_t arg);
long do_domctl(struct client *c, uint64_t arg);
long do_sysctl(struct client *c, uint64_t arg);
void fill_info(struct dom *d, void *getdomaininfo); /* NULL: dom0 */
uint32_t host_cpus(void);
void bitmap_out(struct client *c, void *xenctl_bitmap, uint32_t bits);
long cpu_policy_out(struct client *c, uint64_t leaves, uint32_t *nr_leaves, uint64_t msrs,
		    uint32_t *nr_msrs);
long featureset_out(struct client *c, uint64_t ptr, uint32_t *nr);

/* spawn.c: children, from the main thread */
pid_t spawn(const char *const argv[], const char *const env[], const int *keep, int nkeep,
	    int *pidfd);
/* One that belongs to its guest: in namespaces of its own, and told little of the environment. */
pid_t spawn_apart(const char *const argv[], const int *keep, int nkeep, int *pidfd);
int main_loop(void); /* returns when the daemon is to end */
int main_prepare(void);
void main_kick(void); /* look at what is to be done now */
void main_stop(void);

/*
 * child.c: a program that is to run. Only the main thread starts it.
 */
struct child {
	const char *name;
	pid_t pid; /* 0: it does not run now */
	int pidfd;
	time_t since;
	unsigned delay; /* seconds from `since` until it is started again */
};
int child_start(struct child *c, const char *const argv[], const char *const env[], const int *keep,
		int nkeep);
void child_died(struct child *c, int status); /* it was reaped */
bool child_due(const struct child *c);
time_t uptime(void);

/* limit.c: often, by the thread that reaps: a process with too much memory is ended. */
void limit_tick(void);

/* backend.c: one process for each virtual device */
long backend_start(uint32_t domid, uint32_t kind, uint32_t devid);
int backend_domain(pid_t pid);		  /* whose backend this process is, or -1 */
void backends_of_domain(uint16_t domid);  /* the domain is gone */
bool backend_died(pid_t pid, int status); /* true if it was one */
void backend_tick(void);
void backend_kill_all(void);

/* store.c: xenstored and xenconsoled */
int store_start(void);
bool store_wait(int ms);		      /* it answers */
bool store_child_died(pid_t pid, int status); /* true if it was one of ours */
void store_domain_gone(void);
void store_stop(void);
void store_tick(void); /* once a second from the main loop: what is to be started again */
size_t store_dump(uint8_t *buf, size_t size, int sock, int evtchn);

/* server.c */
int server_listen(void);
void server_close(void);
void *server_thread(void *unused);

#endif
