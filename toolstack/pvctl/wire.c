/* SPDX-License-Identifier: MIT */
/*
 * Devices in the store, as libxl lays them out: a folder for the frontend, which the guest owns,
 * and one for the backend, which domain 0 owns; each may read the other's. Both appear in one
 * transaction. The rest is the conversation of xen/io/xenbus.h between the two.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <xen/io/xenbus.h>

#include "toolstack/pvctl/device.h"
#include "toolstack/pvd/client.h"

#define READY_MS  60000 /* for a backend to be ready */
#define CLOSE_MS  10000 /* for a guest to let go */
#define PATH_SIZE 160	/* as domain_path() has */

static void front_path(char *path, uint32_t domid, const char *type, uint32_t devid)
{
	snprintf(path, PATH_SIZE, "/local/domain/%u/device/%s/%u", domid, type, devid);
}

static void back_path(char *path, uint32_t domid, const char *backend, uint32_t devid)
{
	snprintf(path, PATH_SIZE, "/local/domain/0/backend/%s/%u/%u", backend, domid, devid);
}

static bool put(xs_transaction_t t, const char *folder, const char *key, const char *value)
{
	char path[PATH_SIZE + 40];

	snprintf(path, sizeof(path), "%s/%s", folder, key);
	return xs_write(xsh, t, path, value, strlen(value));
}

static bool put_number(xs_transaction_t t, const char *folder, const char *key, unsigned long n)
{
	char value[24];

	snprintf(value, sizeof(value), "%lu", n);
	return put(t, folder, key, value);
}

/* A new folder that one of the two owns and the other may read; so may it what is made in it. */
static bool folder(xs_transaction_t t, const char *path, uint32_t owner, uint32_t reader)
{
	struct xs_permissions perms[2] = {{owner, XS_PERM_NONE}, {reader, XS_PERM_READ}};

	xs_rm(xsh, t, path);
	return xs_mkdir(xsh, t, path) && xs_set_permissions(xsh, t, path, perms, 2);
}

/* The guest may look for its devices, but not make any. */
static bool parents(xs_transaction_t t, uint32_t domid, const char *type)
{
	struct xs_permissions perms[2] = {{0, XS_PERM_NONE}, {domid, XS_PERM_READ}};
	char path[PATH_SIZE];
	int n = snprintf(path, sizeof(path), "/local/domain/%u/device", domid);

	if (!xs_mkdir(xsh, t, path) || !xs_set_permissions(xsh, t, path, perms, 2))
		return false;
	snprintf(path + n, sizeof(path) - n, "/%s", type);
	return xs_mkdir(xsh, t, path) && xs_set_permissions(xsh, t, path, perms, 2);
}

static bool write_back(xs_transaction_t t, uint32_t domid, const struct device *d, const char *back,
		       const char *front)
{
	const char *mode = node_value(&d->back, "mode");
	char name[40];
	bool ok = folder(t, back, 0, domid) && put(t, back, "frontend", front) &&
		  put_number(t, back, "frontend-id", domid) && put(t, back, "online", "1") &&
		  put_number(t, back, "state", XenbusStateInitialising);

	for (unsigned i = 0; ok && i < d->back.n; i++)
		ok = put(t, back, d->back.at[i].key, d->back.at[i].value);
	if (strcmp(d->type, "vif") || !mode || !strcmp(mode, "slirp") ||
	    node_value(&d->back, "ifname"))
		return ok;
	/* the name that xl gives it, unless it was given one */
	snprintf(name, sizeof(name), "vif%u.%u", domid, d->devid);
	return ok && put(t, back, "ifname", name);
}

static bool write_front(xs_transaction_t t, uint32_t domid, const struct device *d,
			const char *back, const char *front)
{
	bool ok = folder(t, front, domid, 0) && put(t, front, "backend", back) &&
		  put(t, front, "backend-id", "0") &&
		  put_number(t, front, "state", XenbusStateInitialising);

	for (unsigned i = 0; ok && i < d->front.n; i++)
		ok = put(t, front, d->front.at[i].key, d->front.at[i].value);
	return ok;
}

static int store_failed(const struct device *d)
{
	return complain("%s: the store does not take it: %s", d->name, strerror(errno));
}

static int write_nodes(uint32_t domid, const struct device *d)
{
	char front[PATH_SIZE], back[PATH_SIZE];
	xs_transaction_t t;
	bool ok;

	front_path(front, domid, d->type, d->devid);
	back_path(back, domid, d->backend, d->devid);
	do {
		t = xs_transaction_start(xsh);
		if (t == XBT_NULL)
			return store_failed(d);
		ok = parents(t, domid, d->type) && write_back(t, domid, d, back, front) &&
		     write_front(t, domid, d, back, front);
		if (!ok) {
			int err = errno;

			xs_transaction_end(xsh, t, true);
			errno = err;
			return store_failed(d);
		}
		ok = xs_transaction_end(xsh, t, false);
	} while (!ok && errno == EAGAIN);
	return ok ? 0 : store_failed(d);
}

/* Ask the broker for the process behind it. */
static int start_program(uint32_t domid, const struct device *d)
{
	/* one QEMU serves all that a domain has of it */
	const uint64_t arg[6] = {domid, d->program, d->program == PVD_BACKEND_QEMU ? 0 : d->devid};
	static const char *const programs[] = {"", "pvblk", "pvnet", "pvqemu"};
	int sock = pvd_connect();
	long rc;

	if (sock < 0)
		return complain("the broker does not answer: %s", strerror(errno));
	rc = pvd_call(sock, PVD_BACKEND, arg, NULL, 0, -1, NULL, 0, NULL, NULL);
	close(sock);
	if (rc == -ENOENT)
		return complain("%s: its backend, %s, is not installed beside pvctl", d->name,
				programs[d->program]);
	if (rc)
		return complain("%s: its backend cannot be started: %s", d->name, strerror(-rc));
	return 0;
}

int device_add(uint32_t domid, const struct device *d)
{
	/* ours first, then a look at the others': of two that come at once, one or both give up */
	return write_nodes(domid, d) || image_only_ours(domid, d) || start_program(domid, d) ? -1
											     : 0;
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static enum xenbus_state state_in(xs_transaction_t t, const char *folder)
{
	char path[PATH_SIZE + 8], *s;
	enum xenbus_state n;
	unsigned len;

	snprintf(path, sizeof(path), "%s/state", folder);
	s = xs_read(xsh, t, path, &len);
	n = s ? strtoul(s, NULL, 10) : XenbusStateUnknown;
	free(s);
	return n;
}

static bool error_in(const char *folder, char *text, size_t size)
{
	char *s = store_read("%s/error", folder);

	snprintf(text, size, "%s", s ? s : "");
	free(s);
	return *text;
}

/* Wait until a node under `folder` changes, for `ms` at the most. */
static void next_change(int64_t ms)
{
	struct pollfd p = {xs_fileno(xsh), POLLIN, 0};
	char **w;

	if (ms <= 0 || poll(&p, 1, ms > 200 ? 200 : ms) <= 0)
		return;
	while ((w = xs_check_watch(xsh)))
		free(w);
}

/* One of the signals that domain_build() holds back until it is done. */
static bool asked_to_end(void)
{
	sigset_t set;

	return !sigpending(&set) && (sigismember(&set, SIGINT) || sigismember(&set, SIGTERM) ||
				     sigismember(&set, SIGHUP));
}

int device_wait(uint32_t domid, const struct device *d)
{
	const int64_t limit = now_ms() + READY_MS;
	char back[PATH_SIZE], text[200];
	enum xenbus_state state;
	xc_domaininfo_t info;
	int rc = 0;

	back_path(back, domid, d->backend, d->devid);
	if (!xs_watch(xsh, back, "ready"))
		return store_failed(d);
	for (;;) {
		state = state_in(XBT_NULL, back);
		if (state >= XenbusStateInitWait && state <= XenbusStateConnected)
			break;
		if (error_in(back, text, sizeof(text))) {
			rc = complain("%s: %s", d->name, text);
			break;
		}
		if (asked_to_end() || !domain_alive(domid, &info)) {
			rc = complain("%s: given up before its backend was ready", d->name);
			break;
		}
		if (now_ms() > limit) {
			rc = complain("%s: its backend is not ready after %d s; see %s/pvd.log",
				      d->name, READY_MS / 1000, rundir);
			break;
		}
		next_change(limit - now_ms());
	}
	xs_unwatch(xsh, back, "ready");
	return rc;
}

int devices_add(uint32_t domid, const struct device_list *l)
{
	for (unsigned i = 0; i < l->n; i++)
		if (device_add(domid, &l->at[i]))
			return -1;
	for (unsigned i = 0; i < l->n; i++)
		if (device_wait(domid, &l->at[i]))
			return -1;
	return 0;
}

/*
 * Where a device's backend is. The frontend's folder says so too, but the guest may write there:
 * what is looked for is what domain 0 wrote. False: there is none.
 */
static bool find_back(uint32_t domid, const char *type, uint32_t devid, char *path)
{
	const char *const kinds[] = {type, strcmp(type, "vbd") ? NULL : "qdisk"};

	for (unsigned i = 0; i < 2 && kinds[i]; i++) {
		char *s;

		back_path(path, domid, kinds[i], devid);
		s = store_read("%s/frontend-id", path);
		free(s);
		if (s)
			return true;
	}
	return false;
}

bool device_exists(uint32_t domid, const char *type, uint32_t devid)
{
	char back[PATH_SIZE];

	return find_back(domid, type, devid, back);
}

char *front_read(uint32_t domid, const char *type, uint32_t devid, const char *key)
{
	return store_read("/local/domain/%u/device/%s/%u/%s", domid, type, devid, key);
}

char *back_read(uint32_t domid, const char *type, uint32_t devid, const char *key)
{
	char back[PATH_SIZE];

	return find_back(domid, type, devid, back) ? store_read("%s/%s", back, key) : NULL;
}

bool back_write(uint32_t domid, const char *type, uint32_t devid, const char *key,
		const char *value)
{
	char back[PATH_SIZE];

	return find_back(domid, type, devid, back) && put(XBT_NULL, back, key, value);
}

static int ascending(const void *a, const void *b)
{
	const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

unsigned device_numbers(uint32_t domid, const char *type, uint32_t **devid)
{
	const char *const kinds[] = {type, strcmp(type, "vbd") ? NULL : "qdisk"};
	unsigned total = 0;

	*devid = NULL;
	for (unsigned i = 0; i < 2 && kinds[i]; i++) {
		char path[PATH_SIZE], **names;
		unsigned n = 0;

		snprintf(path, sizeof(path), "/local/domain/0/backend/%s/%u", kinds[i], domid);
		names = xs_directory(xsh, XBT_NULL, path, &n);
		*devid = realloc(*devid, (total + n + 1) * sizeof(**devid));
		if (!*devid)
			die("out of memory");
		for (unsigned k = 0; k < n; k++)
			(*devid)[total++] = strtoul(names[k], NULL, 10);
		free(names);
	}
	qsort(*devid, total, sizeof(**devid), ascending);
	return total;
}

/* Remove a folder, and the one it is in if nothing else is there. */
static bool tidy(xs_transaction_t t, char *path, unsigned levels)
{
	bool ok = xs_rm(xsh, t, path);

	while (ok && levels--) {
		unsigned n = 0;
		char **names;

		*strrchr(path, '/') = 0;
		names = xs_directory(xsh, t, path, &n);
		free(names);
		if (!names || n)
			break;
		ok = xs_rm(xsh, t, path);
	}
	return ok;
}

static void remove_nodes(uint32_t domid, const char *type, uint32_t devid)
{
	char front[PATH_SIZE], back[PATH_SIZE];
	xs_transaction_t t;

	do {
		t = xs_transaction_start(xsh);
		if (t == XBT_NULL)
			return;
		front_path(front, domid, type, devid);
		if (find_back(domid, type, devid, back))
			tidy(t, back, 2);
		xs_rm(xsh, t, front);
	} while (!xs_transaction_end(xsh, t, false) && errno == EAGAIN);
}

/* True once the backend has closed, or its folder is gone. */
static bool closed(xs_transaction_t t, const char *back)
{
	const enum xenbus_state s = state_in(t, back);

	return s == XenbusStateClosed || s == XenbusStateUnknown;
}

/* Both at once: a backend that acts on the first has its say after the second. */
static void ask_to_close(const char *back)
{
	xs_transaction_t t;

	do {
		t = xs_transaction_start(xsh);
		if (t == XBT_NULL)
			return;
		put(t, back, "online", "0");
		if (!closed(t, back))
			put_number(t, back, "state", XenbusStateClosing);
	} while (!xs_transaction_end(xsh, t, false) && errno == EAGAIN);
}

/* The backend tells the guest, which lets go. False: it did not. */
static bool close_orderly(const char *back, int64_t limit)
{
	bool done;

	if (!xs_watch(xsh, back, "closed"))
		return false;
	ask_to_close(back);
	while (!(done = closed(XBT_NULL, back)) && now_ms() < limit)
		next_change(limit - now_ms());
	xs_unwatch(xsh, back, "closed");
	return done;
}

/* As a person calls it: disk xvda, vif 0. */
static void call_it(char name[64], uint32_t domid, const char *type, uint32_t devid)
{
	char *dev = back_read(domid, type, devid, "dev");

	if (dev)
		snprintf(name, 64, "disk %.50s", dev);
	else
		snprintf(name, 64, "%s %u", type, devid);
	free(dev);
}

int device_remove(uint32_t domid, const char *type, uint32_t devid, bool force)
{
	char back[PATH_SIZE], name[64];

	if (!find_back(domid, type, devid, back))
		return complain("domain %u has no %s %u", domid, type, devid);
	if (!close_orderly(back, force ? 0 : now_ms() + CLOSE_MS) && !force) {
		call_it(name, domid, type, devid);
		return complain(
			"domain %u does not let go of %s within %d s; --force takes it away", domid,
			name, CLOSE_MS / 1000);
	}
	remove_nodes(domid, type, devid);
	return 0;
}

static void forget_backends(const char *kind, const char *domid)
{
	char path[PATH_SIZE];
	xs_transaction_t t;

	do {
		t = xs_transaction_start(xsh);
		if (t == XBT_NULL)
			return;
		snprintf(path, sizeof(path), "/local/domain/0/backend/%.40s/%.20s", kind, domid);
		tidy(t, path, 1);
	} while (!xs_transaction_end(xsh, t, false) && errno == EAGAIN);
}

/* Those of domains that ended otherwise, by xl, go as well: xl knows nothing of them. */
void devices_forget(void)
{
	unsigned n = 0, ids;
	char **kinds = xs_directory(xsh, XBT_NULL, "/local/domain/0/backend", &n), path[PATH_SIZE];
	xc_domaininfo_t info;

	for (unsigned i = 0; i < n; i++) {
		char **domid;

		snprintf(path, sizeof(path), "/local/domain/0/backend/%.40s", kinds[i]);
		domid = xs_directory(xsh, XBT_NULL, path, &ids);
		for (unsigned k = 0; domid && k < ids; k++)
			if (!domain_alive(strtoul(domid[k], NULL, 10), &info))
				forget_backends(kinds[i], domid[k]);
		free(domid);
	}
	free(kinds);
}
