/* SPDX-License-Identifier: MIT */
/*
 * The block frontend: what is negotiated through xenstore (xen/io/blkif.h), and which disks there
 * are. blkring.c has the requests.
 */
#include <pv/thread.h>
#include <pv/time.h>
#include "blk.h"
#include "kernel.h"

#define DRAIN_PATIENCE (60 * SEC)

static struct lock disks_lock;
static struct disk disks[MAX_DISKS];

/* ---- names, as Xen's vbd-interface(7) numbers them ---- */

static void letters(char *to, size_t size, const char *prefix, unsigned int index,
		    unsigned int part)
{
	char name[4] = "";

	if (index >= 26)
		name[0] = (char)('a' + (index / 26 - 1) % 26);
	name[strlen(name)] = (char)('a' + index % 26);
	if (part)
		snprintf(to, size, "%s%s%u", prefix, name, part);
	else
		snprintf(to, size, "%s%s", prefix, name);
}

static void disk_name(char *to, size_t size, unsigned int id)
{
	if (id >> 28 == 1)
		letters(to, size, "xvd", (id & 0xfffffff) >> 8, id & 255);
	else if (id >> 8 == 202)
		letters(to, size, "xvd", (id & 255) >> 4, id & 15);
	else if (id >> 8 == 8)
		letters(to, size, "sd", (id & 255) >> 4, id & 15);
	else if (id >> 8 == 3 || id >> 8 == 22)
		letters(to, size, "hd", (id >> 8 == 22) * 2 + ((id & 255) >> 6), id & 63);
	else
		snprintf(to, size, "%u", id);
}

/* ---- negotiation ---- */

static unsigned int offered_pages(struct xenbus_device *dev)
{
	unsigned long order = xenbus_backend_number(dev, "max-ring-page-order", 0);
	unsigned int pages = 1;

	if (order > MAX_ORDER)
		order = MAX_ORDER;
	/* The older way to say it. */
	while (pages * 2 <= xenbus_backend_number(dev, "max-ring-pages", 1) &&
	       pages < 1u << MAX_ORDER)
		pages *= 2;
	return pages > 1u << order ? pages : 1u << order;
}

static unsigned int offered_queues(struct xenbus_device *dev)
{
	unsigned long queues = xenbus_backend_number(dev, "multi-queue-max-queues", 1);

	if (queues > nr_vcpus)
		queues = nr_vcpus;
	if (queues > MAX_QUEUES)
		queues = MAX_QUEUES;
	return queues ? (unsigned int)queues : 1;
}

static void read_features(struct disk *d, struct xenbus_device *dev)
{
	struct disk_info *i = &d->info;
	unsigned long segments = xenbus_backend_number(dev, "feature-max-indirect-segments", 0);

	i->indirect = segments < MAX_SEGMENTS ? (unsigned int)segments : MAX_SEGMENTS;
	i->max_bytes = BLKIF_MAX_SEGMENTS_PER_REQUEST * PAGE_SIZE;
	if (i->indirect > BLKIF_MAX_SEGMENTS_PER_REQUEST)
		i->max_bytes = i->indirect * PAGE_SIZE;
	else
		i->indirect = 0;
	d->flush_op = xenbus_backend_number(dev, "feature-flush-cache", 0)
			      ? BLKIF_OP_FLUSH_DISKCACHE
		      : xenbus_backend_number(dev, "feature-barrier", 0) ? BLKIF_OP_WRITE_BARRIER
									 : 0;
	i->flush = d->flush_op;
	i->discard = xenbus_backend_number(dev, "feature-discard", 0);
	i->persistent = xenbus_backend_number(dev, "feature-persistent", 0);
}

static void publish_queue(struct xenbus_device *dev, const struct queue *q, const char *prefix)
{
	char name[32];

	for (unsigned int i = 0; i < q->shared.pages; i++) {
		if (q->shared.pages == 1)
			snprintf(name, sizeof(name), "%sring-ref", prefix);
		else
			snprintf(name, sizeof(name), "%sring-ref%u", prefix, i);
		xenbus_write_number(dev, name, q->shared.ref[i]);
	}
	snprintf(name, sizeof(name), "%sevent-channel", prefix);
	xenbus_write_number(dev, name, q->port);
}

static long publish(struct xenbus_device *dev)
{
	struct disk *d = dev->data;
	unsigned int pages = offered_pages(dev), queues = offered_queues(dev), order = 0;

	/* Requests may wait in as many queues as there were before. */
	if (!d->info.queues)
		d->info.queues = queues;
	if (d->info.queues > queues)
		return -XEN_EINVAL;
	read_features(d, dev);
	for (unsigned int i = 0; i < d->info.queues; i++) {
		long rc = queue_create(&d->queue[i], pages);

		if (rc)
			return rc;
	}
	d->info.depth = d->queue[0].ring.nr_ents;
	while (1u << order < pages)
		order++;
	if (order) {
		xenbus_write_number(dev, "ring-page-order", order);
		xenbus_write_number(dev, "num-ring-pages", pages);
	}
	if (d->info.queues > 1)
		xenbus_write_number(dev, "multi-queue-num-queues", d->info.queues);
	for (unsigned int i = 0; i < d->info.queues; i++) {
		char prefix[16] = "";

		if (d->info.queues > 1)
			snprintf(prefix, sizeof(prefix), "queue-%u/", i);
		publish_queue(dev, &d->queue[i], prefix);
	}
	xenbus_write(dev, "protocol", "x86_64-abi");
	return xenbus_write_number(dev, "feature-persistent", 1) < 0 ? -XEN_EIO : 0;
}

/* Also when the backend says Connected once more: then the size may be another. */
static long start(struct xenbus_device *dev)
{
	struct disk *d = dev->data;
	unsigned long info = xenbus_backend_number(dev, "info", 0);
	unsigned long sector = xenbus_backend_number(dev, "sector-size", SECTOR);
	unsigned long sectors = xenbus_backend_number(dev, "sectors", ~0ul);
	char mode[4] = "w";
	uint64_t before = d->info.bytes;

	/* We never said feature-large-sector-size, so numbers of sectors are in units of 512. */
	if (sector < SECTOR || sector > PAGE_SIZE || sector & (sector - 1) ||
	    sectors > (1ul << 62) / SECTOR)
		return -XEN_EINVAL;
	xenbus_backend_read(dev, "mode", mode, sizeof(mode));
	d->info.sector = (unsigned int)sector;
	d->info.bytes = sectors * SECTOR;
	d->info.readonly = info & VDISK_READONLY || mode[0] != 'w';
	d->info.cdrom = info & VDISK_CDROM;
	if (d->ready && before != d->info.bytes)
		printf("disk %s: now %lu bytes\n", d->info.name, d->info.bytes);
	d->ready = true;
	queues_start(d);
	return 0;
}

static void stop(struct xenbus_device *dev)
{
	struct disk *d = dev->data;
	bool closing = xenbus_backend_number(dev, "state", 0) == XenbusStateClosing;

	/* A backend that closes still answers what it has; any other has forgotten it. */
	queues_stop(d, closing ? DRAIN_PATIENCE : 0);
}

static void release(struct xenbus_device *dev)
{
	struct disk *d = dev->data;

	for (unsigned int i = 0; i < d->info.queues; i++)
		queue_destroy(&d->queue[i]);
}

/* ---- disks come and go ---- */

static long probe(struct xenbus_device *dev)
{
	bool enabled = lock(&disks_lock);
	struct disk *d = disks;

	while (d < disks + MAX_DISKS && d->used)
		d++;
	if (d < disks + MAX_DISKS) {
		struct queue keep[MAX_QUEUES];

		d->used = true;
		memcpy(keep, d->queue, sizeof(keep));
		*d = (struct disk){.used = true, .dev = dev, .backend = dev->backend_id};
		for (unsigned int i = 0; i < MAX_QUEUES; i++) {
			struct queue *q = &d->queue[i];

			/* Addresses once taken are never given back, so they are used again. */
			q->slots = keep[i].slots;
			q->shared.va = keep[i].shared.va;
			q->disk = d;
			q->last = &q->first;
		}
	}
	unlock(&disks_lock, enabled);
	if (d == disks + MAX_DISKS)
		return -XEN_EBUSY;
	d->handle = (uint16_t)dev->id;
	disk_name(d->info.name, sizeof(d->info.name), dev->id);
	dev->data = d;
	d->used = pool_init();
	return d->used ? 0 : -XEN_ENOMEM;
}

static void put(struct disk *d)
{
	bool enabled = lock(&disks_lock), last = d->gone && !d->users && !d->ended;

	d->ended |= last;
	unlock(&disks_lock, enabled);
	if (!last)
		return;
	pool_destroy(d);
	d->used = false;
}

static void remove(struct xenbus_device *dev)
{
	struct disk *d = dev->data;

	d->gone = true;
	queues_fail(d, -XEN_ENODEV);
	printf("disk %s: gone\n", d->info.name);
	put(d);
}

static bool there(const struct disk *d)
{
	return d->used && d->ready && !d->gone;
}

struct disk *disk_open(const char *name)
{
	bool enabled = lock(&disks_lock);
	struct disk *d = disks;

	while (d < disks + MAX_DISKS && (!there(d) || strcmp(d->info.name, name)))
		d++;
	if (d == disks + MAX_DISKS)
		d = NULL;
	else
		d->users++;
	unlock(&disks_lock, enabled);
	return d;
}

void disk_close(struct disk *d)
{
	bool enabled = lock(&disks_lock);

	d->users--;
	unlock(&disks_lock, enabled);
	put(d);
}

void disk_info(struct disk *d, struct disk_info *info)
{
	*info = d->info;
}

bool disk_get_info(unsigned int index, struct disk_info *info)
{
	bool enabled = lock(&disks_lock), found = false;

	for (unsigned int i = 0; i < MAX_DISKS && !found; i++) {
		if (!there(&disks[i]) || index--)
			continue;
		*info = disks[i].info;
		found = true;
	}
	unlock(&disks_lock, enabled);
	return found;
}

void blkfront_init(void)
{
	static struct xenbus_driver driver = {
		.type = "vbd",
		.published = XenbusStateInitialised,
		.probe = probe,
		.publish = publish,
		.start = start,
		.stop = stop,
		.release = release,
		.remove = remove,
	};

	xenbus_register(&driver);
}
