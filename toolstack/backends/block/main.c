/* SPDX-License-Identifier: MIT */
/* pvblk: the disk in xenstore (xen/io/blkif.h), and its callbacks for backend_main(). */
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>

#include "toolstack/backends/block/blk.h"

#define LOCK_WAIT_S   2
#define RESUME_WAIT_S 30 /* for I/O of our predecessor that is still under way */

static struct blk blk;

static void announce_size(struct blk *b)
{
	dev_write(b->d, "sectors", "%lu", b->image.sectors);
}

void blk_look_at_size(struct blk *b)
{
	if (!image_resized(&b->image))
		return;
	dev_log(b->d, "the image has %lu sectors now", b->image.sectors);
	announce_size(b);
	if (b->d->connected)
		dev_announce(b->d);
}

/* From the toolstack's nodes; without xenstored from what our predecessor read. */
static void read_config(struct dev *d, struct saved *s, bool *want_discard)
{
	struct image *m = &blk.image;
	char text[16];

	if (d->xs) {
		if (!dev_read(d, d->dir, "params", s->path, sizeof(s->path)))
			s->path[0] = 0;
		s->ro = !dev_read(d, d->dir, "mode", text, sizeof(text)) || text[0] != 'w';
		s->cdrom = dev_read(d, d->dir, "device-type", text, sizeof(text)) &&
			   !strcmp(text, "cdrom");
		s->removable = s->cdrom || dev_read_or(d, d->dir, "removable", 1, 0);
		s->discard = dev_read_or(d, d->dir, "discard-enable", 1, 1);
	}
	memcpy(m->path, s->path, sizeof(m->path));
	m->path[sizeof(m->path) - 1] = 0;
	m->cdrom = s->cdrom;
	m->removable = s->removable;
	m->ro = s->ro || s->cdrom;
	*want_discard = s->discard;
}

static void io_ready(struct dev *d, struct dev_fd *f, uint32_t events)
{
	/* there are completions: the loop's next turn takes them */
}

static int blk_open(struct dev *d)
{
	struct saved *s = d->saved;
	struct blk *b = &blk;
	bool discard;
	char why[400];
	int rc;

	b->d = b->grants.d = d;
	b->max_queues = get_nprocs() < (int)MAX_QUEUES ? get_nprocs() : MAX_QUEUES;
	d->priv = b;
	read_config(d, s, &discard);
	if (image_open(&b->image, discard, state_was_connected(d) ? RESUME_WAIT_S : LOCK_WAIT_S,
		       why, sizeof(why)))
		return dev_fail(d, "%s", why);
	if (state_was_connected(d) && (s->dev != b->image.dev || s->ino != b->image.ino))
		return dev_fail(d, "%s was replaced while the guest uses it", b->image.path);
	s->dev = b->image.dev;
	s->ino = b->image.ino;
	rc = io_open(b, true);
	if (rc)
		dev_log(d, "no io_uring (%s): one request after the other", strerror(-rc));
	if (!b->io.uring)
		return 0;
	b->io_fd = (struct dev_fd){b->io.ring.ring_fd, io_ready};
	return dev_watch_fd(d, &b->io_fd, EPOLLIN);
}

/* What the disk is; the frontend reads it when we are connected. */
static int write_properties(struct blk *b)
{
	const struct image *m = &b->image;
	const uint32_t info = (m->cdrom ? VDISK_CDROM : 0) | (m->removable ? VDISK_REMOVABLE : 0) |
			      (m->ro ? VDISK_READONLY : 0);

	announce_size(b);
	dev_write(b->d, "sector-size", "%u", SECTOR);
	dev_write(b->d, "physical-sector-size", "%u", m->physical_sector);
	return dev_write(b->d, "info", "%u", info);
}

static int blk_features(struct dev *d)
{
	struct blk *b = d->priv;

	dev_write(d, "feature-flush-cache", "1");
	dev_write(d, "feature-barrier", "0");
	dev_write(d, "feature-persistent", "1");
	dev_write(d, "feature-max-indirect-segments", "%u", MAX_SEGS);
	dev_write(d, "max-ring-page-order", "%u", MAX_RING_ORDER);
	dev_write(d, "multi-queue-max-queues", "%u", blk.max_queues);
	dev_write(d, "feature-discard", "%u", b->image.discard);
	if (b->image.discard) {
		dev_write(d, "discard-granularity", "%u", b->image.physical_sector);
		dev_write(d, "discard-alignment", "0");
		dev_write(d, "discard-secure", "0");
	}
	return write_properties(b);
}

/* The image may have become another size while there was no process. */
static void tell_size_if_new(struct blk *b)
{
	if (!b->d->xs || dev_read_or(b->d, b->d->dir, "sectors", UINT64_MAX, 0) == b->image.sectors)
		return;
	announce_size(b);
	dev_announce(b->d);
}

static int read_queue(struct dev *d, struct saved *s, uint32_t n)
{
	struct journal *j = s->j + n;
	char sub[24] = "", node[48];
	uint64_t port;

	if (s->nr_queues > 1)
		snprintf(sub, sizeof(sub), "queue-%u/", n);
	snprintf(node, sizeof(node), "%sevent-channel", sub);
	if (!dev_read_ring(d, sub, s->order, "ring-ref", j->ref) ||
	    !dev_read_u64(d, d->front, node, UINT32_MAX, &port))
		return dev_fail(d, "the frontend names no ring and event channel %u", n);
	j->port = port;
	return 0;
}

/* What the frontend chose, into the state that outlives us. */
static int read_front(struct dev *d, struct saved *s)
{
	char protocol[32];

	if (dev_read(d, d->front, "protocol", protocol, sizeof(protocol)) &&
	    strcmp(protocol, "x86_64-abi"))
		return dev_fail(d, "the frontend's protocol is %s: only x86_64-abi is served",
				protocol);
	if (!dev_read_optional(d, d->front, "multi-queue-num-queues", blk.max_queues, 1,
			       &s->nr_queues) ||
	    !dev_read_optional(d, d->front, "ring-page-order", MAX_RING_ORDER, 0, &s->order) ||
	    !dev_read_optional(d, d->front, "feature-persistent", 1, 0, &s->persistent) ||
	    !s->nr_queues)
		return dev_fail(d,
				"the frontend's number or size of rings is wrong: 1 to %u of "
				"2^0 to 2^%u pages",
				blk.max_queues, MAX_RING_ORDER);
	for (uint32_t n = 0; n < s->nr_queues; n++)
		if (read_queue(d, s, n))
			return -1;
	return 0;
}

static int connect_queue(struct blk *b, struct queue *q, struct journal *j, uint32_t pages)
{
	void *ring = dev_map(b->d, j->ref, pages, PROT_READ | PROT_WRITE);

	if (!ring)
		return dev_fail(b->d, "cannot map the ring at grant %u: %s", j->ref[0],
				strerror(errno));
	q->b = b;
	q->j = j;
	q->ring = ring;
	q->pages = pages;
	q->port = dev_bind(b->d, j->port);
	if (q->port < 0)
		return dev_fail(b->d, "cannot bind to event channel %u: %s", j->port,
				strerror(errno));
	return queue_attach(q, ring, pages, b->d->resumed);
}

static void blk_disconnect(struct dev *d)
{
	struct blk *b = d->priv;

	io_drain(b);
	for (uint32_t n = 0; n < b->nr_queues; n++) {
		struct queue *q = b->queue + n;

		if (!q->ring)
			continue;
		if (q->port >= 0) {
			queue_publish(q);
			dev_unbind(d, q->port);
		}
		dev_unmap(d, q->ring, q->pages);
		q->ring = NULL;
	}
	grants_drop_all(&b->grants);
	b->nr_queues = 0;
}

static int blk_connect(struct dev *d)
{
	struct saved *s = d->saved;
	struct blk *b = d->priv;

	if (!d->resumed && read_front(d, s))
		return -1;
	b->grants.persistent = s->persistent;
	b->grants.max = MAX_GRANTS;
	for (b->nr_queues = 0; b->nr_queues < s->nr_queues;) {
		const uint32_t n = b->nr_queues++;

		if (connect_queue(b, b->queue + n, s->j + n, 1U << s->order)) {
			blk_disconnect(d);
			return -1;
		}
	}
	if (d->resumed) {
		tell_size_if_new(b);
		return 0;
	}
	write_properties(b);
	dev_log(d, "connected: %u ring(s) of %u requests%s, %s, %lu sectors%s", b->nr_queues,
		b->queue[0].size, s->persistent ? ", persistent grants" : "",
		b->image.path[0] ? b->image.path : "no medium", b->image.sectors,
		b->image.ro ? ", read-only" : "");
	return 0;
}

static bool blk_work(struct dev *d)
{
	struct blk *b = d->priv;
	bool any = false;

	for (uint32_t n = 0; n < b->nr_queues; n++)
		any |= queue_work(b->queue + n);
	io_submit(b);
	any |= io_reap(b);
	for (uint32_t n = 0; n < b->nr_queues; n++)
		queue_publish(b->queue + n);
	return any;
}

static bool blk_arm(struct dev *d)
{
	struct blk *b = d->priv;
	bool any = false;

	for (uint32_t n = 0; n < b->nr_queues; n++)
		any |= queue_arm(b->queue + n);
	return any;
}

/* The toolstack writes to `resize` when it has made the image another size. */
static void blk_changed(struct dev *d, const char *node)
{
	if (!strcmp(node, "resize") && !d->failed)
		blk_look_at_size(d->priv);
}

static const int syscalls[] = {SCMP_SYS(io_uring_enter), SCMP_SYS(pwritev),   SCMP_SYS(preadv),
			       SCMP_SYS(pwrite64),	 SCMP_SYS(pread64),   SCMP_SYS(fdatasync),
			       SCMP_SYS(lseek),		 SCMP_SYS(fallocate), -1};

static const struct backend pvblk = {
	.name = "pvblk",
	.class = "vbd",
	.help = "A disk of a domain from a raw image or a block device.",
	.connect_at = 3,
	.state_size = sizeof(struct saved),
	.open = blk_open,
	.features = blk_features,
	.connect = blk_connect,
	.work = blk_work,
	.arm = blk_arm,
	.disconnect = blk_disconnect,
	.changed = blk_changed,
	.syscalls = syscalls,
};

int main(int argc, char **argv)
{
	return backend_main(argc, argv, &pvblk);
}
