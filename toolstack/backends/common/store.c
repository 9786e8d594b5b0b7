/* SPDX-License-Identifier: MIT */
/* The device in xenstore: its nodes, and the two ends' states (xen/io/xenbus.h). */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>
#include <xen/io/xenbus.h>
#include <xenstore.h>

#include "toolstack/backends/common/backend.h"
#include "toolstack/pvd/client.h"

/* xenstored is dead: it lost all nodes, and pvd starts no other while a domain lives. */
static void store_lost(struct dev *d)
{
	const int err = errno;

	if (!d->xs)
		return;
	dev_log(d, "lost xenstored: the device works on, but cannot be changed any more");
	dev_unwatch_fd(d, &d->xs_fd);
	xs_close(d->xs);
	d->xs = NULL;
	errno = err;
}

/* After a request that failed. A dead connection has no descriptor any more, or a broken one. */
static void look_if_lost(struct dev *d)
{
	if (errno == EBADF || errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN)
		store_lost(d);
}

bool dev_read(struct dev *d, const char *dir, const char *node, char *buf, size_t size)
{
	char path[192], *value;
	unsigned len;
	bool ok;

	if (!d->xs || snprintf(path, sizeof(path), "%s/%s", dir, node) >= (int)sizeof(path))
		return false;
	value = xs_read(d->xs, XBT_NULL, path, &len);
	if (!value) {
		look_if_lost(d);
		return false;
	}
	ok = len < size && !memchr(value, 0, len);
	if (ok) {
		memcpy(buf, value, len);
		buf[len] = 0;
	}
	free(value);
	return ok;
}

bool dev_read_u64(struct dev *d, const char *dir, const char *node, uint64_t max, uint64_t *value)
{
	char text[24], *end;
	unsigned long long v;

	errno = 0;
	if (!dev_read(d, dir, node, text, sizeof(text)) || text[0] < '0' || text[0] > '9')
		return false;
	v = strtoull(text, &end, 10);
	if (errno || *end || v > max)
		return false;
	*value = v;
	return true;
}

uint64_t dev_read_or(struct dev *d, const char *dir, const char *node, uint64_t max,
		     uint64_t otherwise)
{
	uint64_t value;

	return dev_read_u64(d, dir, node, max, &value) ? value : otherwise;
}

bool dev_read_optional(struct dev *d, const char *dir, const char *node, uint64_t max,
		       uint64_t otherwise, uint32_t *value)
{
	uint64_t v = otherwise;

	if (!dev_read_u64(d, dir, node, max, &v) && errno != ENOENT)
		return false;
	*value = v;
	return true;
}

int dev_write(struct dev *d, const char *node, const char *fmt, ...)
{
	char path[192], value[400];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	if (n >= (int)sizeof(value))
		n = sizeof(value) - 1;
	snprintf(path, sizeof(path), "%s/%s", d->dir, node);
	if (d->xs && xs_write(d->xs, XBT_NULL, path, value, n))
		return 0;
	if (d->xs) {
		dev_log(d, "cannot write %s: %s", node, strerror(errno));
		look_if_lost(d);
	}
	return -1;
}

static void set_state(struct dev *d, uint32_t state)
{
	if (d->state == state)
		return;
	d->state = state;
	dev_write(d, "state", "%u", state);
}

void dev_announce(struct dev *d)
{
	dev_write(d, "state", "%u", d->state);
}

void store_failed(struct dev *d, const char *why)
{
	dev_write(d, "error", "%s", why);
	set_state(d, XenbusStateClosing);
}

static void disconnect(struct dev *d)
{
	if (!d->connected)
		return;
	d->connected = d->resumed = false;
	state_connected(d, false);
	d->be->disconnect(d);
}

static void connect_front(struct dev *d)
{
	if (d->connected || d->failed)
		return;
	if (d->be->connect(d)) {
		d->resumed = false;
		state_connected(d, false);
		dev_fail(d, "the frontend's rings could not be connected");
		return;
	}
	d->connected = true;
	state_connected(d, true);
	if (d->state != XenbusStateClosing) /* the toolstack wants it closed by now */
		set_state(d, XenbusStateConnected);
}

void store_resume(struct dev *d)
{
	d->resumed = true;
	connect_front(d);
	if (d->connected)
		dev_log(d, "started again, connected as before");
}

static void init_wait(struct dev *d)
{
	if (d->failed || !d->online || d->connected || d->state == XenbusStateInitWait)
		return;
	if (!d->be->features(d))
		set_state(d, XenbusStateInitWait);
}

static void closed(struct dev *d)
{
	disconnect(d);
	set_state(d, XenbusStateClosed);
	d->gone = !d->online;
}

/* Values that no frontend has are as if it had not changed. */
static void front_is(struct dev *d, uint64_t front)
{
	switch (front) {
	case XenbusStateInitialising:
		if (d->connected)
			disconnect(d); /* it begins anew: another kernel in the same domain */
		if (!d->hopeless)
			d->failed = false;
		init_wait(d);
		break;
	case XenbusStateInitialised:
	case XenbusStateConnected:
		if (front >= d->be->connect_at && d->state != XenbusStateClosing)
			connect_front(d);
		break;
	case XenbusStateClosing:
		disconnect(d);
		set_state(d, XenbusStateClosing);
		break;
	case XenbusStateClosed: closed(d); break;
	}
}

/* The toolstack wants it closed, and there is no driver that could agree. */
static bool nobody_to_ask(const struct dev *d, uint64_t front)
{
	return !d->online && !d->connected &&
	       (front < XenbusStateInitialised || front > XenbusStateClosing || d->failed);
}

/*
 * The toolstack may take a device away and make another one by its number before this process, or
 * the next one, has seen it: then it would serve the one's image, or rings, to the other. A node
 * that only a backend writes tells them apart. False: the nodes are not those of state_instance().
 */
static bool same_device(struct dev *d)
{
	uint64_t instance;

	if (dev_read_u64(d, d->dir, "instance", UINT64_MAX, &instance))
		return instance == state_instance(d);
	return errno != ENOENT; /* what cannot be read says nothing */
}

void store_step(struct dev *d)
{
	uint64_t front, own;

	if (d->failed)
		disconnect(d);
	if (!d->xs)
		return;
	if (!dev_read_u64(d, d->dir, "state", 8, &own)) {
		if (errno == ENOENT) { /* removed by force */
			disconnect(d);
			d->gone = true;
		}
		return;
	}
	if (!same_device(d)) {
		dev_log(d, "another device has this number now: its process is to begin anew");
		disconnect(d);
		d->gone = true;
		return;
	}
	d->online = dev_read_or(d, d->dir, "online", 1, 0);
	front = dev_read_or(d, d->front, "state", 8, XenbusStateUnknown);
	if (own == XenbusStateClosing)
		d->state = own;
	if (nobody_to_ask(d, front))
		closed(d);
	else
		front_is(d, front);
}

static void own_changed(struct dev *d, const char *path)
{
	const size_t n = strlen(d->dir);
	const char *node = path + n + 1;

	if (strncmp(path, d->dir, n) || path[n] != '/' || !strcmp(node, "state") ||
	    !strcmp(node, "online"))
		return;
	if (d->be->changed)
		d->be->changed(d, node);
}

static bool is_front_node(const struct dev *d, const char *path)
{
	const size_t n = strlen(d->front);

	return d->be->front_node && !strncmp(path, d->front, n) && path[n] == '/' &&
	       !strcmp(path + n + 1, d->be->front_node);
}

void store_event(struct dev *d)
{
	bool front = false;
	char **watch;

	/*
	 * The guest can write its nodes faster than one of them is looked at, and the library keeps
	 * every event: all are taken first, and the node's last value is what counts.
	 */
	while (d->xs && (watch = xs_check_watch(d->xs))) {
		own_changed(d, watch[XS_WATCH_PATH]);
		front |= is_front_node(d, watch[XS_WATCH_PATH]);
		free(watch);
	}
	if (errno != EAGAIN)
		store_lost(d);
	if (front && d->connected)
		d->be->front_changed(d);
	store_step(d);
}

static void xs_ready(struct dev *d, struct dev_fd *f, uint32_t events)
{
	store_event(d);
}

static int claim(struct dev *d)
{
	uint64_t instance;

	if (state_instance(d) && same_device(d))
		return 0;
	if (state_was_connected(d))
		dev_log(d, "another device has this number now");
	if (getrandom(&instance, sizeof(instance), 0) != sizeof(instance))
		return -1;
	state_begin(d, instance | 1);
	return dev_write(d, "instance", "%lu", instance | 1);
}

/*
 * The backend's node names its frontend; both are the toolstack's to write. Ours serves its own
 * domain and device only, whatever is written there.
 */
static int check_front(struct dev *d)
{
	char path[sizeof(d->front)];
	uint64_t id;

	if (!dev_read_u64(d, d->dir, "frontend-id", UINT16_MAX, &id) || id != d->domid ||
	    !dev_read(d, d->dir, "frontend", path, sizeof(path)) || strcmp(path, d->front)) {
		dev_log(d, "%s does not name the frontend %s", d->dir, d->front);
		return -1;
	}
	return 0;
}

static int store_connect(struct dev *d)
{
	char path[128], dir[112];

	pvd_rundir(dir, sizeof(dir) - 16);
	if (snprintf(path, sizeof(path), "%s/xenstored", dir) >= (int)sizeof(path))
		return -1;
	setenv("XENSTORED_RUNDIR", path, 1);
	strcat(path, "/socket");
	setenv("XENSTORED_PATH", path, 1);
	d->xs = xs_open(0);
	return d->xs ? 0 : -1;
}

int store_open(struct dev *d)
{
	snprintf(d->dir, sizeof(d->dir), "/local/domain/0/backend/%s/%u/%u", d->be->class, d->domid,
		 d->devid);
	snprintf(d->front, sizeof(d->front), "/local/domain/%u/device/%s/%u", d->domid,
		 d->be->class, d->devid);
	if (store_connect(d)) {
		dev_log(d, "no xenstored: %s", strerror(errno));
		return state_was_connected(d) ? 0 : -1;
	}
	if (check_front(d) || claim(d))
		return -1;
	d->state = dev_read_or(d, d->dir, "state", 8, XenbusStateUnknown);
	d->online = dev_read_or(d, d->dir, "online", 1, 0);
	return 0;
}

static int watch(struct dev *d, const char *path)
{
	if (xs_watch(d->xs, path, ""))
		return 0;
	dev_log(d, "cannot watch xenstore: %s", strerror(errno));
	return -1;
}

int store_watch(struct dev *d)
{
	char state[128], node[128];

	if (!d->xs)
		return 0;
	snprintf(state, sizeof(state), "%s/state", d->front);
	snprintf(node, sizeof(node), "%s/%s", d->front, d->be->front_node ? d->be->front_node : "");
	/* the library starts its reading thread here, outside of the sandbox */
	if (watch(d, state) || watch(d, d->dir) || (d->be->front_node && watch(d, node)))
		return -1;
	d->xs_fd = (struct dev_fd){xs_fileno(d->xs), xs_ready};
	return dev_watch_fd(d, &d->xs_fd, EPOLLIN);
}
