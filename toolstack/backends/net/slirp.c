/* SPDX-License-Identifier: MIT */
/*
 * The wire by libslirp: NAT in this process, by ordinary sockets. The guest's network is
 * 10.0.2.0/24 and fec0::/64; the host is 10.0.2.2, a name server 10.0.2.3, DHCP gives 10.0.2.15.
 *
 * libslirp takes TCP segments and IP packets of up to 64 KiB: what the guest has not segmented
 * goes to it whole. It verifies checksums, so blank ones are filled in here. It cuts what it sends
 * to the size that the guest's SYN asks for: for a guest that takes long segments
 * (feature-gso-tcpv4) the SYN is made to ask for more, and what comes is marked as so many segments
 * of the guest's size. Other packets that are longer than the guest's interface allows are
 * fragmented here.
 */
#include <poll.h>
#include <slirp/libslirp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "toolstack/backends/net/net.h"

#define MAX_FDS	   NET_MAX_FDS
#define MAX_TIMERS 4
#define MAX_SLEEP  1000 /* ms */

/* Several of them fit into the window of 64 KiB that libslirp knows, so both ends keep busy. */
#define LARGE_MSS   16384
#define DEFAULT_MSS (NET_MTU - 40)

struct timer {
	bool used;
	SlirpTimerId id;
	void *opaque;
	int64_t at; /* ms; -1: not set */
};

struct slirp_wire {
	struct wire w; /* first */
	Slirp *slirp;
	int timerfd;
	bool host;    /* the guest may reach the host */
	bool large;   /* the guest takes segments of LARGE_MSS bytes */
	uint16_t mss; /* what it said itself that it takes */
	struct timer timers[MAX_TIMERS];
	unsigned nr_fds;
	struct pollfd fds[MAX_FDS];
	/* what w.fd watches, by descriptor: EPOLL*, 0 for nothing */
	uint32_t watched[MAX_FDS], wanted[MAX_FDS];
};

/* A TCP segment for a guest that can take it whole, as if it came from many. */
static bool merge(struct slirp_wire *s, struct frame *f)
{
	uint16_t start, offset;

	f->gso_size = s->mss;
	f->gso_type = XEN_NETIF_GSO_TYPE_TCPV4;
	f->csum = CSUM_BLANK;
	return s->large && gso_sane(f) && !csum_prepare(f, &start, &offset);
}

static void deliver_fragments(struct slirp_wire *s, const struct frame *whole)
{
	uint32_t at = 0, n;

	for (;;) {
		struct frame f = {.data = s->w.room(s->w.ctx, -1, ETH_HEADER + NET_MTU)};

		n = f.data ? fragment_next(whole, &at, f.data) : 0;
		if (!n)
			return;
		f.len = n;
		s->w.deliver(s->w.ctx, -1, &f);
	}
}

static ssize_t send_packet(const void *buf, size_t len, void *opaque)
{
	struct slirp_wire *s = opaque;
	struct frame f = {.data = (uint8_t *)buf, .len = len, .csum = CSUM_VALID};
	uint8_t *to;

	if (len > ETH_HEADER + NET_MTU && !merge(s, &f)) {
		deliver_fragments(s, &f);
		return len;
	}
	to = s->w.room(s->w.ctx, -1, len);
	if (to) {
		f.data = memcpy(to, buf, len);
		s->w.deliver(s->w.ctx, -1, &f);
	}
	return len;
}

static void guest_error(const char *msg, void *opaque)
{
}

static int64_t clock_get_ns(void *opaque)
{
	return now_ns();
}

static void *timer_new(SlirpTimerId id, void *cb_opaque, void *opaque)
{
	struct slirp_wire *s = opaque;

	for (struct timer *t = s->timers; t < s->timers + MAX_TIMERS; t++) {
		if (t->used)
			continue;
		*t = (struct timer){true, id, cb_opaque, -1};
		return t;
	}
	return NULL;
}

static void timer_free(void *timer, void *opaque)
{
	if (timer)
		((struct timer *)timer)->used = false;
}

static void timer_mod(void *timer, int64_t at, void *opaque)
{
	if (timer)
		((struct timer *)timer)->at = at;
}

static void register_fd(int fd, void *opaque)
{
}

/* It is about to be closed, and its number used again. */
static void unregister_fd(int fd, void *opaque)
{
	struct slirp_wire *s = opaque;

	if (fd < 0 || (unsigned)fd >= MAX_FDS || !s->watched[fd])
		return;
	epoll_ctl(s->w.fd, EPOLL_CTL_DEL, fd, NULL);
	s->watched[fd] = 0;
}

static void notify(void *opaque)
{
}

static const SlirpCb callbacks = {
	.send_packet = send_packet,
	.guest_error = guest_error,
	.clock_get_ns = clock_get_ns,
	.timer_free = timer_free,
	.timer_mod = timer_mod,
	.register_poll_fd = register_fd,
	.unregister_poll_fd = unregister_fd,
	.notify = notify,
	.timer_new_opaque = timer_new,
};

/* SLIRP_POLL_* have the meaning, not the values, of POLL*; those of EPOLL* are POLL*'s. */
static const struct {
	int slirp, poll;
} flags[] = {
	{SLIRP_POLL_IN, POLLIN},   {SLIRP_POLL_OUT, POLLOUT}, {SLIRP_POLL_PRI, POLLPRI},
	{SLIRP_POLL_ERR, POLLERR}, {SLIRP_POLL_HUP, POLLHUP},
};

static int add_poll(int fd, int events, void *opaque)
{
	struct slirp_wire *s = opaque;
	short ev = 0;

	if (s->nr_fds == MAX_FDS)
		return -1;
	for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		ev |= events & flags[i].slirp ? flags[i].poll : 0;
	s->fds[s->nr_fds] = (struct pollfd){.fd = fd, .events = ev};
	return s->nr_fds++;
}

static int get_revents(int idx, void *opaque)
{
	struct slirp_wire *s = opaque;
	int ev = 0;

	if (idx < 0 || (unsigned)idx >= s->nr_fds)
		return 0;
	for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		ev |= s->fds[idx].revents & flags[i].poll ? flags[i].slirp : 0;
	return ev;
}

static void run_timers(struct slirp_wire *s)
{
	const int64_t now = now_ns() / 1000000;

	for (struct timer *t = s->timers; t < s->timers + MAX_TIMERS; t++) {
		if (!t->used || t->at < 0 || t->at > now)
			continue;
		t->at = -1;
		slirp_handle_timer(s->slirp, t->id, t->opaque);
	}
}

static bool turn(struct wire *w, bool room)
{
	struct slirp_wire *s = (struct slirp_wire *)w;
	uint32_t timeout = MAX_SLEEP;
	int n;

	run_timers(s);
	if (!room)
		return false;
	s->nr_fds = 0;
	slirp_pollfds_fill(s->slirp, &timeout, add_poll, s);
	n = poll(s->fds, s->nr_fds, 0);
	slirp_pollfds_poll(s->slirp, n < 0, get_revents, s);
	return n > 0;
}

/* Let w.fd watch what is in s->fds, and nothing else. */
static void sync_watches(struct slirp_wire *s)
{
	memset(s->wanted, 0, sizeof(s->wanted));
	for (unsigned i = 0; i < s->nr_fds; i++)
		if (s->fds[i].fd >= 0 && (unsigned)s->fds[i].fd < MAX_FDS)
			s->wanted[s->fds[i].fd] |= s->fds[i].events;
	for (int fd = 0; fd < (int)MAX_FDS; fd++) {
		struct epoll_event ev = {.events = s->wanted[fd]};

		if (s->wanted[fd] == s->watched[fd])
			continue;
		epoll_ctl(s->w.fd,
			  !s->watched[fd] ? EPOLL_CTL_ADD
			  : s->wanted[fd] ? EPOLL_CTL_MOD
					  : EPOLL_CTL_DEL,
			  fd, &ev);
		s->watched[fd] = s->wanted[fd];
	}
}

static void set_timer(struct slirp_wire *s, uint32_t timeout)
{
	const int64_t now = now_ns() / 1000000;
	struct itimerspec t = {0};

	for (struct timer *p = s->timers; p < s->timers + MAX_TIMERS; p++)
		if (p->used && p->at >= 0 && p->at - now < timeout)
			timeout = p->at > now ? p->at - now : 1;
	if (!timeout)
		timeout = 1;
	t.it_value.tv_sec = timeout / 1000;
	t.it_value.tv_nsec = timeout % 1000 * 1000000L;
	timerfd_settime(s->timerfd, 0, &t, NULL);
}

static void arm(struct wire *w, bool room)
{
	struct slirp_wire *s = (struct slirp_wire *)w;
	uint32_t timeout = MAX_SLEEP;

	s->nr_fds = 0;
	if (room)
		slirp_pollfds_fill(s->slirp, &timeout, add_poll, s);
	sync_watches(s);
	set_timer(s, timeout);
}

static int send_frame(struct wire *w, unsigned queue, struct frame *f)
{
	struct slirp_wire *s = (struct slirp_wire *)w;

	const uint16_t mss = s->large ? mss_replace(f, LARGE_MSS) : 0;

	if (!s->host && leads_to_host(f))
		return -1;
	if (mss >= NET_MIN_MSS && mss < s->mss)
		s->mss = mss;
	if (f->csum == CSUM_BLANK && csum_fill(f))
		return -1;
	slirp_input(s->slirp, f->data, f->len);
	return 0;
}

static int offload(struct wire *w, bool csum, bool tso4, bool tso6, unsigned queues)
{
	struct slirp_wire *s = (struct slirp_wire *)w;

	s->large = tso4;
	s->mss = DEFAULT_MSS;
	return 0;
}

static void close_wire(struct wire *w)
{
	struct slirp_wire *s = (struct slirp_wire *)w;

	if (s->slirp)
		slirp_cleanup(s->slirp);
	if (s->timerfd >= 0)
		close(s->timerfd);
	if (w->fd >= 0)
		close(w->fd);
	free(s);
}

static const struct wire_ops ops = {
	.send = send_frame,
	.turn = turn,
	.arm = arm,
	.offload = offload,
	.close = close_wire,
};

static Slirp *new_slirp(struct slirp_wire *s)
{
	SlirpConfig c = {.version = 4,
			 .in_enabled = true,
			 .in6_enabled = true,
			 .vprefix_len = 64,
			 .if_mtu = LARGE_MSS + 40,
			 .if_mru = LARGE_MSS + 40,
			 .disable_host_loopback = !s->host};

	inet_pton(AF_INET, "10.0.2.0", &c.vnetwork);
	inet_pton(AF_INET, "255.255.255.0", &c.vnetmask);
	inet_pton(AF_INET, "10.0.2.2", &c.vhost);
	inet_pton(AF_INET, "10.0.2.3", &c.vnameserver);
	inet_pton(AF_INET, "10.0.2.15", &c.vdhcp_start);
	inet_pton(AF_INET6, "fec0::", &c.vprefix_addr6);
	inet_pton(AF_INET6, "fec0::2", &c.vhost6);
	inet_pton(AF_INET6, "fec0::3", &c.vnameserver6);
	return slirp_new(&c, &callbacks, s);
}

static int add_forwards(struct slirp_wire *s, const char *list, char *why, size_t size)
{
	struct hostfwd fwd[HOSTFWD_MAX];
	const int n = hostfwd_parse(list, fwd, HOSTFWD_MAX, why, size);

	for (int i = 0; i < n; i++) {
		const struct in_addr host = {fwd[i].host_addr}, guest = {fwd[i].guest_addr};
		char addr[INET_ADDRSTRLEN];

		if (!slirp_add_hostfwd(s->slirp, fwd[i].udp, host, fwd[i].host_port, guest,
				       fwd[i].guest_port))
			continue;
		snprintf(why, size, "hostfwd: cannot listen on %s:%s:%u: %m",
			 fwd[i].udp ? "udp" : "tcp", inet_ntop(AF_INET, &host, addr, sizeof(addr)),
			 fwd[i].host_port);
		return -1;
	}
	return n < 0 ? -1 : 0;
}

struct wire *slirp_open(const char *hostfwd, bool host, char *why, size_t size)
{
	struct slirp_wire *s = calloc(1, sizeof(*s));
	struct epoll_event ev = {.events = EPOLLIN};

	if (!s) {
		snprintf(why, size, "no memory");
		return NULL;
	}
	s->w.ops = &ops;
	s->host = host;
	s->w.fd = epoll_create1(EPOLL_CLOEXEC);
	s->timerfd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	snprintf(why, size, "slirp: cannot start: %m");
	if (s->w.fd >= 0 && s->timerfd >= 0 &&
	    !epoll_ctl(s->w.fd, EPOLL_CTL_ADD, s->timerfd, &ev)) {
		s->slirp = new_slirp(s);
		if (s->slirp && !add_forwards(s, hostfwd, why, size))
			return &s->w;
	}
	close_wire(&s->w);
	return NULL;
}
