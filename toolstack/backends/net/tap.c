/* SPDX-License-Identifier: MIT */
/*
 * The wire by a tap device, alone or as a port of a bridge. Each frame has a virtio_net_hdr, so
 * that blank checksums and unsegmented TCP pass both ways as they are.
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "toolstack/backends/net/net.h"

#define PER_TURN 64 /* frames of one queue */

struct tap_wire {
	struct wire w; /* first */
	unsigned nr;   /* descriptors, one per queue */
	unsigned used; /* of them, by the guest */
	int fds[NET_MAX_QUEUES];
	bool watching;
};

static uint8_t gso_type(const struct frame *f)
{
	if (!f->gso_size)
		return VIRTIO_NET_HDR_GSO_NONE;
	return f->gso_type == XEN_NETIF_GSO_TYPE_TCPV4 ? VIRTIO_NET_HDR_GSO_TCPV4
						       : VIRTIO_NET_HDR_GSO_TCPV6;
}

static int send_frame(struct wire *w, unsigned queue, struct frame *f)
{
	struct tap_wire *t = (struct tap_wire *)w;
	struct virtio_net_hdr h = {.gso_type = gso_type(f), .gso_size = f->gso_size};
	struct iovec iov[2] = {{&h, sizeof(h)}, {f->data, f->len}};

	if (f->csum == CSUM_BLANK) {
		uint16_t start, offset;

		if (csum_prepare(f, &start, &offset))
			return -1;
		h.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		h.csum_start = start;
		h.csum_offset = offset;
		if (f->gso_size)
			h.hdr_len = start + (f->data[start + 12] >> 4) * 4;
	}
	if (writev(t->fds[queue % t->used], iov, 2) < 0)
		w->tx_dropped++; /* the device is down, or the host has no room for it */
	return 0;
}

/* What the host says of a frame. false: a kind that it was not asked for. */
static bool describe(const struct virtio_net_hdr *h, struct frame *f)
{
	f->csum = h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM   ? CSUM_BLANK
		  : h->flags & VIRTIO_NET_HDR_F_DATA_VALID ? CSUM_VALID
							   : CSUM_NONE;
	f->gso_size = h->gso_size;
	switch (h->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_NONE: f->gso_size = 0; return true;
	case VIRTIO_NET_HDR_GSO_TCPV4: f->gso_type = XEN_NETIF_GSO_TYPE_TCPV4; return true;
	case VIRTIO_NET_HDR_GSO_TCPV6: f->gso_type = XEN_NETIF_GSO_TYPE_TCPV6; return true;
	default: return false;
	}
}

/* False: nothing there, or no room for it. */
static bool receive(struct tap_wire *t, unsigned queue)
{
	struct virtio_net_hdr h;
	struct frame f = {.data = t->w.room(t->w.ctx, queue, NET_MAX_FRAME)};
	struct iovec iov[2] = {{&h, sizeof(h)}, {f.data, NET_MAX_FRAME}};
	ssize_t n;

	if (!f.data)
		return false;
	n = readv(t->fds[queue], iov, 2);
	if (n < (ssize_t)(sizeof(h) + ETH_HEADER))
		return false;
	f.len = n - sizeof(h);
	if (describe(&h, &f))
		t->w.deliver(t->w.ctx, queue, &f);
	return true;
}

static bool turn(struct wire *w, bool room)
{
	struct tap_wire *t = (struct tap_wire *)w;
	bool any = false;

	for (unsigned i = 0; room && i < t->used; i++)
		for (int n = 0; n < PER_TURN && receive(t, i); n++)
			any = true;
	return any;
}

static void arm(struct wire *w, bool room)
{
	struct tap_wire *t = (struct tap_wire *)w;
	struct epoll_event ev = {.events = room ? EPOLLIN : 0};

	if (t->watching == room)
		return;
	t->watching = room;
	for (unsigned i = 0; i < t->used; i++)
		epoll_ctl(w->fd, EPOLL_CTL_MOD, t->fds[i], &ev);
}

static int offload(struct wire *w, bool csum, bool tso4, bool tso6, unsigned queues)
{
	struct tap_wire *t = (struct tap_wire *)w;
	unsigned long flags = csum ? TUN_F_CSUM : 0;
	struct epoll_event ev = {.events = EPOLLIN};

	if (csum)
		flags |= (tso4 ? TUN_F_TSO4 : 0) | (tso6 ? TUN_F_TSO6 : 0);
	t->used = queues < t->nr ? queues : t->nr;
	for (unsigned i = 0; t->nr > 1 && i < t->nr; i++) {
		struct ifreq r = {.ifr_flags = i < t->used ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE};

		ioctl(t->fds[i], TUNSETQUEUE, &r); /* EINVAL: it is so already */
	}
	/* a queue that is detached would report an error for ever */
	for (unsigned i = 0; i < t->nr; i++)
		epoll_ctl(w->fd, i < t->used ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, t->fds[i], &ev);
	t->watching = true;
	return ioctl(t->fds[0], TUNSETOFFLOAD, flags) ? -errno : 0;
}

static int set_filter(struct wire *w, const struct sock_filter *prog, unsigned n)
{
	struct tap_wire *t = (struct tap_wire *)w;
	struct sock_fprog p = {.len = n, .filter = (struct sock_filter *)prog};

	if (n)
		return ioctl(t->fds[0], TUNATTACHFILTER, &p) ? -errno : 0;
	return ioctl(t->fds[0], TUNDETACHFILTER, NULL) ? -errno : 0;
}

static void close_wire(struct wire *w)
{
	struct tap_wire *t = (struct tap_wire *)w;

	while (t->nr)
		close(t->fds[--t->nr]);
	if (w->fd >= 0)
		close(w->fd);
	free(t);
}

static const struct wire_ops ops = {
	.send = send_frame,
	.turn = turn,
	.arm = arm,
	.offload = offload,
	.filter = set_filter,
	.close = close_wire,
};

static int open_queue(struct tap_wire *t, const char *ifname, int flags)
{
	struct ifreq r = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | flags};
	const int size = sizeof(struct virtio_net_hdr);
	struct epoll_event ev = {.events = EPOLLIN};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -errno;
	strncpy(r.ifr_name, ifname, IFNAMSIZ - 1);
	if (ioctl(fd, TUNSETIFF, &r) || ioctl(fd, TUNSETVNETHDRSZ, &size) ||
	    epoll_ctl(t->w.fd, EPOLL_CTL_ADD, fd, &ev)) {
		int rc = -errno;

		close(fd);
		return rc;
	}
	t->fds[t->nr++] = fd;
	return 0;
}

/* All the queues; a device that was made with one has one. */
static int open_queues(struct tap_wire *t, const char *ifname)
{
	int rc = 0;

	while (!rc && t->nr < NET_MAX_QUEUES)
		rc = open_queue(t, ifname, IFF_MULTI_QUEUE);
	if (rc && !t->nr)
		rc = open_queue(t, ifname, 0);
	return t->nr ? 0 : rc;
}

static void explain(int rc, const char *what, const char *name, char *why, size_t size)
{
	if (rc == -EPERM || rc == -EACCES)
		snprintf(why, size,
			 "%s %s: tap needs CAP_NET_ADMIN, or a tap device of this user's; use "
			 "mode=slirp",
			 what, name);
	else if (rc == -ENOENT || rc == -ENXIO)
		snprintf(why, size, "%s %s: the host has no /dev/net/tun; use mode=slirp", what,
			 name);
	else
		snprintf(why, size, "%s %s: %s", what, name, strerror(-rc));
}

/*
 * A device of our own making has the guest's address with a first byte that no guest has: the same
 * after a crash, and so high that a bridge does not take it for its own if it has another.
 */
static int set_address(int s, const char *ifname, const uint8_t *mac)
{
	struct ifreq r = {.ifr_hwaddr.sa_family = ARPHRD_ETHER};

	strncpy(r.ifr_name, ifname, IFNAMSIZ - 1);
	memcpy(r.ifr_hwaddr.sa_data, mac, 6);
	r.ifr_hwaddr.sa_data[0] = (char)0xfe;
	return ioctl(s, SIOCSIFHWADDR, &r) ? -errno : 0;
}

/* Up, if it is not. */
static int bring_up(int s, const char *ifname)
{
	struct ifreq r = {0};

	strncpy(r.ifr_name, ifname, IFNAMSIZ - 1);
	if (ioctl(s, SIOCGIFFLAGS, &r))
		return -errno;
	if (r.ifr_flags & IFF_UP)
		return 0;
	r.ifr_flags |= IFF_UP;
	return ioctl(s, SIOCSIFFLAGS, &r) ? -errno : 0;
}

static bool is_port_of(const char *ifname, const char *bridge)
{
	char path[80];

	snprintf(path, sizeof(path), "/sys/class/net/%.15s/brif/%.15s", bridge, ifname);
	return !access(path, F_OK);
}

static int join_bridge(int s, const char *ifname, const char *bridge)
{
	struct ifreq r = {0};

	if (is_port_of(ifname, bridge))
		return 0;
	strncpy(r.ifr_name, ifname, IFNAMSIZ - 1);
	if (ioctl(s, SIOCGIFINDEX, &r))
		return -errno;
	strncpy(r.ifr_name, bridge, IFNAMSIZ - 1);
	return ioctl(s, SIOCBRADDIF, &r) ? -errno : 0;
}

/* mac: NULL if the device was there before. */
static int set_up(const char *ifname, const char *bridge, const uint8_t *mac, char *why,
		  size_t size)
{
	const int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int rc = s < 0 ? -errno : 0;

	if (!rc && mac)
		rc = set_address(s, ifname, mac);
	if (!rc && *bridge) {
		rc = join_bridge(s, ifname, bridge);
		if (rc)
			explain(rc, "bridge", bridge, why, size);
		if (rc == -ENODEV)
			snprintf(why, size, "there is no bridge %s", bridge);
	}
	if (!rc)
		rc = bring_up(s, ifname);
	if (rc && !*why)
		explain(rc, "tap", ifname, why, size);
	if (s >= 0)
		close(s);
	return rc;
}

struct wire *tap_open(const char *ifname, const char *bridge, const uint8_t *mac, char *why,
		      size_t size)
{
	struct tap_wire *t = calloc(1, sizeof(*t));
	const bool made = !if_nametoindex(ifname);
	int rc;

	*why = 0;
	if (!t || strlen(ifname) >= IFNAMSIZ || strlen(bridge) >= IFNAMSIZ) {
		snprintf(why, size, t ? "a device's name is too long" : "no memory");
		free(t);
		return NULL;
	}
	t->w.ops = &ops;
	t->watching = true;
	t->w.fd = epoll_create1(EPOLL_CLOEXEC);
	rc = t->w.fd < 0 ? -errno : open_queues(t, ifname);
	t->used = t->nr;
	if (rc)
		explain(rc, "tap", ifname, why, size);
	if (!rc && !set_up(ifname, bridge, made ? mac : NULL, why, size))
		return &t->w;
	close_wire(&t->w);
	return NULL;
}
