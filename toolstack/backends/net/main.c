/* SPDX-License-Identifier: MIT */
/* pvnet: one network device of one domain, between its rings and the wire. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "toolstack/backends/net/device.h"

#define DRAIN 64U /* frames for one queue at a time */

static bool files_confined;

uint64_t now_ns(void)
{
	return dev_now();
}

/* A wire that has no queue of its own for the frame: the flow decides. */
static struct queue *queue_of(struct net *n, int queue, const struct frame *f)
{
	if (queue < 0)
		queue = n->nr_queues > 1 ? flow_hash(f) : 0;
	return n->queues + (unsigned)queue % n->nr_queues;
}

static uint8_t *wire_room(void *ctx, int queue, uint32_t len)
{
	struct net *n = ctx;
	uint8_t *p;

	if (!n->nr_queues)
		return NULL;
	if (queue < 0 && n->nr_queues > 1)
		return n->scratch;
	queue = queue < 0 ? 0 : queue;
	p = backlog_room(&n->queues[queue].backlog, len);
	if (!p)
		n->queues[queue].backlog.dropped++;
	return p;
}

static void wire_deliver(void *ctx, int queue, struct frame *f)
{
	struct net *n = ctx;
	struct queue *q = queue_of(n, queue, f);

	if (!filter_pass(&n->filter, f))
		return;
	if (f->data == n->scratch) {
		uint8_t *p = backlog_room(&q->backlog, f->len);

		if (!p) {
			q->backlog.dropped++;
			return;
		}
		f->data = memcpy(p, n->scratch, f->len);
	}
	backlog_add(&q->backlog, f);
}

/* So much waits for the guest that the wire had better keep the rest. */
static bool crowded(const struct net *n)
{
	for (unsigned i = 0; i < n->nr_queues; i++)
		if (backlog_crowded(&n->queues[i].backlog))
			return true;
	return false;
}

/* false: the frontend broke the protocol. */
static bool transmit(struct net *n, struct queue *q, bool *any)
{
	bool notify = false;
	int rc = tx_run(&q->tx, dev_now(), &notify);

	if (notify)
		dev_notify(n->d, q->tx_port);
	*any |= rc > 0;
	return rc >= 0;
}

static bool receive(struct net *n, struct queue *q, bool *any)
{
	struct backlog *b = &q->backlog;
	bool notify = false;
	int done = 0;

	while (b->first < b->last) {
		const unsigned left = b->last - b->first;

		done = rx_send(&q->rx, b->frames + b->first, left < DRAIN ? left : DRAIN, &notify);
		if (done <= 0)
			break;
		backlog_done(b, done);
		*any = true;
	}
	if (notify)
		dev_notify(n->d, q->rx_port);
	return done >= 0;
}

static bool net_work(struct dev *d)
{
	struct net *n = d->priv;
	bool any = false, good = true;

	for (unsigned i = 0; i < n->nr_queues; i++)
		good &= transmit(n, n->queues + i, &any);
	any |= n->wire->ops->turn(n->wire, !crowded(n));
	for (unsigned i = 0; i < n->nr_queues; i++)
		good &= receive(n, n->queues + i, &any);
	if (!good)
		dev_fail(d, "the frontend's ring is not to be believed: its indices or extra infos "
			    "are impossible");
	return any;
}

static void set_timer(struct net *n, uint64_t ns)
{
	struct itimerspec t = {0};

	t.it_value.tv_sec = ns / 1000000000;
	t.it_value.tv_nsec = ns % 1000000000;
	timerfd_settime(n->timer_fd.fd, 0, &t, NULL);
}

static bool net_arm(struct dev *d)
{
	struct net *n = d->priv;
	uint64_t wait = 0;
	bool ready = false;

	for (unsigned i = 0; i < n->nr_queues; i++) {
		struct queue *q = n->queues + i;
		struct backlog *b = &q->backlog;

		if (q->tx.throttled)
			wait = bucket_wait(&n->bucket, q->tx.throttled);
		else
			ready |= tx_sleep(&q->tx);
		if (b->first < b->last)
			ready |= rx_sleep(&q->rx, rx_slots(b->frames + b->first));
	}
	if (wait)
		set_timer(n, wait);
	n->wire->ops->arm(n->wire, !crowded(n));
	return ready;
}

/* It has woken the loop; the work is done there. */
static void wire_ready(struct dev *d, struct dev_fd *f, uint32_t events)
{
}

static void timer_ready(struct dev *d, struct dev_fd *f, uint32_t events)
{
	uint64_t count;

	if (read(f->fd, &count, sizeof(count)) < 0)
		return; /* set anew meanwhile */
}

/* "00:16:3e:xx:xx:xx", nothing before or behind it. */
static bool parse_mac(const char *s, uint8_t *mac)
{
	for (int i = 0; i < 6; i++, s += 3) {
		const char pair[3] = {s[0], s[0] ? s[1] : 0, 0};

		if (!isxdigit((unsigned char)pair[0]) || !isxdigit((unsigned char)pair[1]) ||
		    s[2] != (i < 5 ? ':' : 0))
			return false;
		mac[i] = strtoul(pair, NULL, 16);
	}
	return true;
}

static struct wire *open_wire(struct dev *d, const char *mode, char *why, size_t size)
{
	char fwd[2048] = "", ifname[64] = "", bridge[64] = "";
	uint32_t host;

	if (!strcmp(mode, "slirp")) {
		if (!dev_read(d, d->dir, "hostfwd", fwd, sizeof(fwd)))
			*fwd = 0;
		if (!dev_read_optional(d, d->dir, "host", 1, 1, &host)) {
			snprintf(why, size, "the node `host` is neither 0 nor 1");
			return NULL;
		}
		return slirp_open(fwd, host, why, size);
	}
	if (strcmp(mode, "tap") && strcmp(mode, "bridge")) {
		snprintf(why, size, "mode '%.20s': there are slirp, tap and bridge", mode);
		return NULL;
	}
	if (!dev_read(d, d->dir, "ifname", ifname, sizeof(ifname)) || !*ifname)
		snprintf(ifname, sizeof(ifname), "vif%u.%u", d->domid, d->devid);
	if (mode[0] == 'b' &&
	    (!dev_read(d, d->dir, "bridge", bridge, sizeof(bridge)) || !*bridge)) {
		snprintf(why, size, "mode=bridge, but the node `bridge` names none");
		return NULL;
	}
	return tap_open(ifname, bridge, ((struct net *)d->priv)->mac, why, size);
}

static void read_limits(struct dev *d, struct net *n)
{
	bucket_init(&n->bucket, dev_read_or(d, d->dir, "rate", UINT64_MAX / NET_MAX_FRAME, 0),
		    dev_now());
	n->mac_control = dev_read_or(d, d->dir, "mac-control", 1, 1);
}

static int open_timer(struct net *n)
{
	n->timer_fd.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	n->timer_fd.ready = timer_ready;
	if (n->timer_fd.fd < 0)
		return -1;
	return dev_watch_fd(n->d, &n->timer_fd, EPOLLIN);
}

static struct backend pvnet;

static int net_open(struct dev *d)
{
	struct net *n = calloc(1, sizeof(*n));
	char mode[32], mac[32], why[256];

	if (!n)
		return dev_fail(d, "no memory");
	d->priv = n;
	n->d = d;
	n->saved = d->saved;
	n->filter = (struct filter){-1, -1, 0};
	n->scratch = malloc(NET_MAX_FRAME);
	if (!n->scratch || open_timer(n))
		return dev_fail(d, "no memory");
	if (!dev_read(d, d->dir, "mac", mac, sizeof(mac)) || !parse_mac(mac, n->mac))
		return dev_fail(d, "the node `mac` is missing or no address");
	if (!dev_read(d, d->dir, "mode", mode, sizeof(mode)))
		strcpy(mode, "slirp");
	read_limits(d, n);
	n->wire = open_wire(d, mode, why, sizeof(why));
	if (!n->wire)
		return dev_fail(d, "%s", why);
	n->wire->room = wire_room;
	n->wire->deliver = wire_deliver;
	n->wire->ctx = n;
	n->wire_fd = (struct dev_fd){n->wire->fd, wire_ready};
	if (!files_confined)
		dev_log(d, "this kernel has no Landlock: the process could read files");
	if (!strcmp(mode, "slirp"))
		pvnet.syscalls = slirp_syscalls;
	if (!strcmp(mode, "slirp") && confine_descriptors())
		return dev_fail(d, "cannot limit descriptors: %s", strerror(errno));
	return confine_calls() ? dev_fail(d, "sandbox: %s", strerror(errno)) : 0;
}

static void net_changed(struct dev *d, const char *node)
{
	struct net *n = d->priv;

	if (n && !strcmp(node, "rate"))
		read_limits(d, n);
}

static struct backend pvnet = {
	.name = "pvnet",
	.class = "vif",
	.help = "The network backend: one device of one domain, by libslirp, tap or bridge.",
	.connect_at = 4,
	.state_size = sizeof(struct net_saved),
	.open = net_open,
	.features = net_features,
	.connect = net_connect,
	.work = net_work,
	.arm = net_arm,
	.disconnect = net_disconnect,
	.changed = net_changed,
	.front_node = "filter-gen",
	.front_changed = net_filter_changed,
	.syscalls = tap_syscalls,
};

int main(int argc, char **argv)
{
	files_confined = confine_files();
	return backend_main(argc, argv, &pvnet);
}
