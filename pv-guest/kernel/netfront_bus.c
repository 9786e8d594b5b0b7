/* SPDX-License-Identifier: MIT */
/*
 * How a network interface finds its backend, and what the two agree on (xen/io/netif.h). An
 * interface that is taken away leaves its place, with its pages and their grants, to the next.
 */
#include <pv/event.h>
#include <pv/grant.h>
#include <pv/lib.h>
#include <pv/lock.h>
#include <pv/netfront.h>

static struct netfront fronts[NETFRONTS];
static unsigned int nr_fronts;

struct netfront *netfront_get(unsigned int index)
{
	return index < __atomic_load_n(&nr_fronts, __ATOMIC_ACQUIRE) ? &fronts[index] : NULL;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "00:16:3e:12:34:56" */
static bool parse_mac(const char *s, uint8_t mac[6])
{
	for (int i = 0; i < 6; i++, s += 3) {
		if (hex(s[0]) < 0 || hex(s[1]) < 0 || s[2] != (i < 5 ? ':' : 0))
			return false;
		mac[i] = (uint8_t)(hex(s[0]) << 4 | hex(s[1]));
	}
	return true;
}

static bool read_mac(struct xenbus_device *d, uint8_t mac[6])
{
	char path[XENBUS_PATH + 8], text[32];

	snprintf(path, sizeof(path), "%s/mac", d->path);
	return xenstore_read(path, text, sizeof(text)) == 17 && parse_mac(text, mac);
}

/* A place that no device has; its buffers are granted to whom the first one's backend was. */
static struct netfront *place(void)
{
	for (unsigned int i = 0; i < NETFRONTS; i++)
		if (!fronts[i].device)
			return &fronts[i];
	return NULL;
}

static long probe(struct xenbus_device *d)
{
	struct netfront *f = place();
	long rc = grant_init();

	if (rc || !f)
		return rc ? rc : -XEN_EBUSY;
	if (!read_mac(d, f->mac)) {
		printf("net: %s: no address\n", d->path);
		return -XEN_EINVAL;
	}
	f->index = (unsigned int)(f - fronts);
	f->device = d;
	d->data = f;
	if (!net_attach(f)) {
		f->device = NULL;
		return -XEN_ENOMEM;
	}
	if (f->index == nr_fronts)
		__atomic_store_n(&nr_fronts, f->index + 1, __ATOMIC_RELEASE);
	return 0;
}

/* ---- rings ---- */

static void event(unsigned int port, void *data)
{
	struct netfront *f = data;

	f->stats.events++;
	net_event();
}

static long make_port(struct netfront *f, unsigned int *port)
{
	long rc = xenbus_alloc_port(f->device);

	if (rc < 0)
		return rc;
	*port = (unsigned int)rc;
	event_bind(*port, event, f);
	return 0;
}

static long make_ports(struct netfront *f)
{
	long rc = make_port(f, &f->tx_port);

	f->rx_port = f->tx_port;
	return rc || !f->split ? rc : make_port(f, &f->rx_port);
}

static void close_ports(struct netfront *f)
{
	if (f->tx_port)
		event_close(f->tx_port);
	if (f->rx_port && f->rx_port != f->tx_port)
		event_close(f->rx_port);
	f->tx_port = f->rx_port = 0;
}

static long make_rings(struct netfront *f)
{
	long rc = shared_create(&f->tx_page, f->device->backend_id, 1);

	if (!rc)
		rc = shared_create(&f->rx_page, f->device->backend_id, 1);
	if (rc)
		return rc;
	SHARED_RING_INIT((netif_tx_sring_t *)f->tx_page.va);
	FRONT_RING_INIT(&f->tx, (netif_tx_sring_t *)f->tx_page.va, PAGE_SIZE);
	SHARED_RING_INIT((netif_rx_sring_t *)f->rx_page.va);
	FRONT_RING_INIT(&f->rx, (netif_rx_sring_t *)f->rx_page.va, PAGE_SIZE);
	f->free_ids = 0;
	for (unsigned int id = 0; id < NET_RING; id++)
		f->free_id[f->free_ids++] = (uint16_t)id;
	f->packet = (struct net_received){.slices = 0};
	f->more = f->extra = f->bad = f->tx_wanted = false;
	return 0;
}

/* ---- what we say ---- */

static void read_features(struct netfront *f)
{
	struct xenbus_device *d = f->device;

	f->gather = xenbus_backend_number(d, "feature-sg", 0) == 1;
	f->checksums = xenbus_backend_number(d, "feature-no-csum-offload", 0) == 0;
	/* Long packets need many slots, and leave their checksums to the backend. */
	f->segments = f->gather && f->checksums &&
		      xenbus_backend_number(d, "feature-gso-tcpv4", 0) == 1;
	f->split = xenbus_backend_number(d, "feature-split-event-channels", 0) == 1;
}

static long write_nodes(struct netfront *f)
{
	const struct {
		const char *name;
		unsigned long value;
	} nodes[] = {
		{"tx-ring-ref", f->tx_page.ref[0]},
		{"rx-ring-ref", f->rx_page.ref[0]},
		{f->split ? "event-channel-tx" : "event-channel", f->tx_port},
		{f->split ? "event-channel-rx" : "event-channel", f->rx_port},
		{"request-rx-copy", 1},
		{"feature-rx-notify", 1},
		{"feature-sg", 1},
		{"feature-gso-tcpv4", 1},
		{"feature-persistent", 1},
	};
	long rc = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(nodes) && rc >= 0; i++)
		rc = xenbus_write_number(f->device, nodes[i].name, nodes[i].value);
	return rc < 0 ? rc : 0;
}

static long publish(struct xenbus_device *d)
{
	struct netfront *f = d->data;
	long rc;

	read_features(f);
	rc = make_rings(f);
	if (!rc)
		rc = make_ports(f);
	return rc ? rc : write_nodes(f);
}

static long start(struct xenbus_device *d)
{
	struct netfront *f = d->data;
	bool enabled = lock(&net_lock), was_up = f->up;

	f->broken = NULL;
	f->up = true;
	if (!was_up) {
		net_link(f, true);
		netfront_flush(f);
	}
	unlock(&net_lock, enabled);
	net_event();
	return 0;
}

static void stop(struct xenbus_device *d)
{
	struct netfront *f = d->data;
	bool enabled = lock(&net_lock), was_up = f->up;

	f->up = false;
	if (was_up)
		net_link(f, false);
	unlock(&net_lock, enabled);
}

/* What is in the rings comes back to its owners. */
static void empty_rings(struct netfront *f)
{
	bool enabled = lock(&net_lock);

	for (unsigned int i = 0; i < f->packet.slices; i++)
		netfront_give(f, f->packet.slice[i].buffer);
	f->packet.slices = 0;
	for (unsigned int i = 0; i < NET_RING; i++) {
		void *owner = f->owner[i];

		f->owner[i] = NULL;
		if (owner)
			net_sent(owner);
		if (f->posted[i])
			netfront_give(f, f->posted[i]);
		f->posted[i] = NULL;
	}
	unlock(&net_lock, enabled);
}

static void release(struct xenbus_device *d)
{
	struct netfront *f = d->data;

	empty_rings(f);
	close_ports(f);
	shared_destroy(&f->tx_page);
	shared_destroy(&f->rx_page);
}

static void remove(struct xenbus_device *d)
{
	struct netfront *f = d->data;
	bool enabled = lock(&net_lock);

	f->device = NULL;
	unlock(&net_lock, enabled);
}

void netfront_init(void)
{
	static struct xenbus_driver driver = {
		.type = "vif",
		.published = XenbusStateConnected,
		.probe = probe,
		.publish = publish,
		.start = start,
		.stop = stop,
		.release = release,
		.remove = remove,
	};

	xenbus_register(&driver);
}
