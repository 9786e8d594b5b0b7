/* SPDX-License-Identifier: MIT */
/*
 * The guest's side of paravirtual devices. One thread reads the directories device/TYPE and the
 * state of each device's backend whenever a watch says that they may have changed, and takes the
 * steps that follow. It keeps no history: what is in xenstore now, and what was done so far, say
 * what is next. So a device may come, change and go in any order.
 *
 * No transactions: a backend looks at what we wrote only when our state says that it is complete.
 */
#include <pv/event.h>
#include <pv/grant.h>
#include <pv/lib.h>
#include <pv/thread.h>
#include <pv/time.h>
#include <pv/xenbus.h>

static struct xenbus_driver *drivers;
static struct xenbus_device *devices;
static const char waiter;	/* whose watches these are */
static unsigned int registered; /* drivers */
static unsigned int settled;	/* for how many drivers nothing is under way; 0: something is */

/* ---- nodes ---- */

static long read_at(const char *dir, const char *name, char *buf, size_t size)
{
	char path[XENBUS_PATH + 32];

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return -XEN_EINVAL;
	return xenstore_read(path, buf, size);
}

static bool read_number(const char *dir, const char *name, unsigned long *value)
{
	char text[24], *end;
	long n = read_at(dir, name, text, sizeof(text));

	if (n <= 0 || n > 19 || text[0] < '0' || text[0] > '9')
		return false;
	*value = strtoul(text, &end, 10);
	return !*end;
}

long xenbus_backend_read(struct xenbus_device *d, const char *name, char *buf, size_t size)
{
	return read_at(d->backend, name, buf, size);
}

unsigned long xenbus_backend_number(struct xenbus_device *d, const char *name, unsigned long other)
{
	unsigned long value;

	return read_number(d->backend, name, &value) ? value : other;
}

long xenbus_write(struct xenbus_device *d, const char *name, const char *fmt, ...)
{
	char path[XENBUS_PATH + 32], value[256];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	if (n >= (int)sizeof(value) ||
	    snprintf(path, sizeof(path), "%s/%s", d->path, name) >= (int)sizeof(path))
		return -XEN_EINVAL;
	return xenstore_write(path, value);
}

long xenbus_write_number(struct xenbus_device *d, const char *name, unsigned long value)
{
	return xenbus_write(d, name, "%lu", value);
}

/* ---- shared memory and a port ---- */

static long share_page(struct shared *s, domid_t backend, unsigned int i)
{
	unsigned long va = (unsigned long)s->va + i * PAGE_SIZE;
	long rc;

	s->page[i] = page_try_alloc();
	if (!s->page[i])
		return -XEN_ENOMEM;
	rc = map_mfn(va, va_to_mfn(s->page[i]), PTE_KERN);
	if (!rc)
		rc = grant_access(backend, va_to_mfn(s->page[i]), false);
	if (rc < 0) {
		unmap_va(va);
		page_free(s->page[i]);
		return rc;
	}
	s->ref[i] = (grant_ref_t)rc;
	return 0;
}

long shared_create(struct shared *s, domid_t backend, unsigned int pages)
{
	long rc = grant_init();

	if (rc || pages > SHARED_MAX_PAGES)
		return rc ? rc : -XEN_EINVAL;
	if (!s->va)
		s->va = (void *)va_alloc(pages);
	for (s->pages = 0; s->pages < pages; s->pages++) {
		rc = share_page(s, backend, s->pages);
		if (rc) {
			shared_destroy(s);
			return rc;
		}
	}
	return 0;
}

void shared_destroy(struct shared *s)
{
	unsigned int lost = 0;

	for (unsigned int i = 0; i < s->pages; i++) {
		unmap_va((unsigned long)s->va + i * PAGE_SIZE);
		if (grant_end(s->ref[i]))
			page_free(s->page[i]);
		else
			lost++;
	}
	if (lost)
		printf("xenbus: %u pages are still used by a backend, and lost\n", lost);
	s->pages = 0;
}

long xenbus_alloc_port(struct xenbus_device *d)
{
	return event_alloc_unbound(d->backend_id);
}

/* ---- the state machine ---- */

static void set_state(struct xenbus_device *d, XenbusState state)
{
	if (d->state == state)
		return;
	d->state = state;
	xenbus_write_number(d, "state", state);
}

static void stop(struct xenbus_device *d)
{
	if (d->published)
		d->driver->stop(d);
	d->started = false;
}

static void release(struct xenbus_device *d)
{
	stop(d);
	if (d->published)
		d->driver->release(d);
	d->published = false;
}

static void give_up(struct xenbus_device *d, const char *what, long rc)
{
	printf("xenbus: %s: %s: error %ld\n", d->path, what, -rc);
	stop(d);
	set_state(d, XenbusStateClosing);
}

static void publish(struct xenbus_device *d)
{
	long rc = d->driver->publish(d);

	/* What a failed publish() has made goes with release(), as everything else. */
	d->published = true;
	if (rc)
		give_up(d, "cannot share a ring", rc);
	else
		set_state(d, d->driver->published);
}

static void start(struct xenbus_device *d)
{
	long rc = d->driver->start(d);

	if (rc) {
		give_up(d, "cannot start", rc);
		return;
	}
	d->started = d->worked = true;
	set_state(d, XenbusStateConnected);
}

/* The backend's half is there, complete or nearly so. */
static void backend_ready(struct xenbus_device *d, bool connected)
{
	if (d->state == XenbusStateInitialising)
		publish(d);
	if (connected && d->published &&
	    (d->state == XenbusStateInitialised || d->state == XenbusStateConnected))
		start(d);
}

static void backend_closed(struct xenbus_device *d)
{
	unsigned long online;

	release(d);
	set_state(d, XenbusStateClosed);
	/* Not for good: try once more, if it ever worked, so that two failures make no circle. */
	if (d->worked && read_number(d->backend, "online", &online) && online) {
		d->worked = false;
		set_state(d, XenbusStateInitialising);
	}
}

static void follow(struct xenbus_device *d)
{
	char text[8];
	long rc = xenbus_backend_read(d, "state", text, sizeof(text));

	/* A xenstore that does not answer says nothing about the backend. */
	if (rc < 0 && rc != -XEN_ENOENT)
		return;
	switch (rc < 0 ? XenbusStateUnknown : strtoul(text, NULL, 10)) {
	case XenbusStateInitWait:
		/* A backend that begins anew while we are further has forgotten us. */
		if (d->started || d->state >= XenbusStateClosing) {
			release(d);
			set_state(d, XenbusStateInitialising);
		}
		backend_ready(d, false);
		break;
	case XenbusStateInitialised: backend_ready(d, false); break;
	case XenbusStateConnected: backend_ready(d, true); break;
	case XenbusStateClosing:
		stop(d);
		set_state(d, XenbusStateClosing);
		set_state(d, XenbusStateClosed);
		break;
	case XenbusStateClosed: backend_closed(d); break;
	case XenbusStateUnknown:
		if (d->published) {
			release(d);
			set_state(d, XenbusStateClosed);
		}
		break;
	default: break;
	}
}

/* ---- devices come and go ---- */

static struct xenbus_device *find(struct xenbus_driver *driver, unsigned long id)
{
	struct xenbus_device *d = devices;

	while (d && (d->driver != driver || d->id != id))
		d = d->next;
	return d;
}

static void add(struct xenbus_driver *driver, unsigned int id)
{
	struct xenbus_device *d = page_try_alloc();
	unsigned long backend_id, state;

	_Static_assert(sizeof(*d) <= PAGE_SIZE, "one page");
	if (!d)
		return;
	d->driver = driver;
	d->id = id;
	snprintf(d->path, sizeof(d->path), "device/%s/%u", driver->type, id);
	if (!read_number(d->path, "backend-id", &backend_id) ||
	    backend_id >= DOMID_FIRST_RESERVED ||
	    read_at(d->path, "backend", d->backend, sizeof(d->backend) - 8) <= 0)
		goto no;
	d->backend_id = (domid_t)backend_id;
	d->state = read_number(d->path, "state", &state) ? (XenbusState)state : 0;
	if (driver->probe(d))
		goto no;
	set_state(d, XenbusStateInitialising);
	d->next = devices;
	devices = d;
	d->watch.by = &waiter;
	snprintf(d->watch.path, sizeof(d->watch.path), "%s/state", d->backend);
	/* Setting it fires it: the first follow() comes from there. */
	if (xenstore_watch(&d->watch) < 0)
		printf("xenbus: %s: no watch\n", d->path);
	return;
no:
	page_free(d);
}

static void drop(struct xenbus_device **at)
{
	struct xenbus_device *d = *at;

	*at = d->next;
	xenstore_unwatch(&d->watch);
	release(d);
	d->driver->remove(d);
	page_free(d);
}

/* Compares device/TYPE with what we know. */
static void scan(struct xenbus_driver *driver)
{
	static char names[2048];
	char dir[32];
	long n;

	snprintf(dir, sizeof(dir), "device/%s", driver->type);
	n = xenstore_list(dir, names, sizeof(names));
	driver->scanned = true;
	if (n < 0 && n != -XEN_ENOENT)
		return;
	for (struct xenbus_device *d = devices; d; d = d->next)
		d->present = d->driver != driver;
	for (char *name = names; n > 0 && name < names + n; name += strlen(name) + 1) {
		char *end;
		unsigned long id = strtoul(name, &end, 10);
		struct xenbus_device *d = find(driver, id);

		if (*end || end == name || id > 0xffffffff)
			continue;
		if (!d)
			add(driver, (unsigned int)id);
		else
			d->present = true;
		d = find(driver, id);
		if (d)
			d->present = true;
	}
	for (struct xenbus_device **at = &devices; *at;) {
		if ((*at)->present)
			at = &(*at)->next;
		else
			drop(at);
	}
}

static bool all_settled(void)
{
	for (const struct xenbus_driver *driver = drivers; driver; driver = driver->next)
		if (!driver->scanned)
			return false;
	for (const struct xenbus_device *d = devices; d; d = d->next)
		if (!d->started && d->state < XenbusStateClosing)
			return false;
	return true;
}

void xenbus_wait(uint64_t patience)
{
	uint64_t deadline = time_ns() + patience;

	while (xenstore_available() && READ_ONCE(settled) != registered && time_ns() < deadline)
		thread_sleep(MSEC);
}

static void xenbus_thread(void *unused)
{
	for (;;) {
		struct watch *w = xenstore_wait_watch(&waiter);
		unsigned int known = __atomic_load_n(&registered, __ATOMIC_ACQUIRE);
		struct xenbus_driver *driver = __atomic_load_n(&drivers, __ATOMIC_ACQUIRE);
		struct xenbus_device *d = devices;

		while (driver && &driver->watch != w)
			driver = driver->next;
		while (d && &d->watch != w)
			d = d->next;
		if (driver)
			scan(driver);
		else if (d)
			follow(d);
		WRITE_ONCE(settled, all_settled() ? known : 0);
	}
}

void xenbus_register(struct xenbus_driver *driver)
{
	if (!xenstore_available())
		return;
	driver->watch.by = &waiter;
	snprintf(driver->watch.path, sizeof(driver->watch.path), "device/%s", driver->type);
	driver->next = drivers;
	__atomic_store_n(&drivers, driver, __ATOMIC_RELEASE);
	__atomic_store_n(&registered, registered + 1, __ATOMIC_RELEASE);
	if (xenstore_watch(&driver->watch) < 0)
		printf("xenbus: no watch for %s\n", driver->type);
}

void xenbus_init(void)
{
	if (xenstore_available())
		thread_create("xenbus", xenbus_thread, NULL);
}
