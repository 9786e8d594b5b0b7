/* SPDX-License-Identifier: MIT */
/* A backend's view of the store, with a store of four nodes that says what the test wants. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/io/xenbus.h>
#include <xenstore.h>

#include "toolstack/backends/common/backend.h"
#include "toolstack/pvd/client.h"

static struct {
	char path[100], value[100];
} nodes[16];
static unsigned nr_events, looks, disconnects;
static uint64_t instance;
static bool was_connected, forgotten;

static char *node(const char *path)
{
	for (unsigned i = 0; i < 16; i++)
		if (!strcmp(nodes[i].path, path))
			return nodes[i].value;
	return NULL;
}

static void set(const char *path, const char *value)
{
	char *at = node(path);
	unsigned i = 0;

	if (!at) {
		while (nodes[i].path[0])
			i++;
		snprintf(nodes[i].path, sizeof(nodes[i].path), "%s", path);
		at = nodes[i].value;
	}
	snprintf(at, sizeof(nodes[i].value), "%s", value);
}

void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned *len)
{
	const char *v = node(path);

	if (!v) {
		errno = ENOENT;
		return NULL;
	}
	*len = strlen(v);
	return strdup(v);
}

bool xs_write(struct xs_handle *h, xs_transaction_t t, const char *path, const void *v, unsigned n)
{
	set(path, v);
	return true;
}

char **xs_check_watch(struct xs_handle *h)
{
	static const char path[] = "/local/domain/1/device/vif/0/asked";
	char **w;

	errno = EAGAIN;
	if (!nr_events)
		return NULL;
	nr_events--;
	w = malloc(sizeof(*w) + sizeof(path));
	w[XS_WATCH_PATH] = memcpy(w + 1, path, sizeof(path));
	return w;
}

struct xs_handle *xs_open(unsigned long flags)
{
	return (struct xs_handle *)&nodes;
}

void xs_close(struct xs_handle *h)
{
}

bool xs_watch(struct xs_handle *h, const char *path, const char *token)
{
	return true;
}

int xs_fileno(struct xs_handle *h)
{
	return 0;
}

void pvd_rundir(char *buf, size_t size)
{
	snprintf(buf, size, "/nowhere");
}

void dev_log(struct dev *d, const char *fmt, ...)
{
}

int dev_fail(struct dev *d, const char *fmt, ...)
{
	d->failed = true;
	return -1;
}

int dev_watch_fd(struct dev *d, struct dev_fd *f, uint32_t events)
{
	return 0;
}

void dev_unwatch_fd(struct dev *d, struct dev_fd *f)
{
}

void state_connected(struct dev *d, bool connected)
{
	was_connected = connected;
}

bool state_was_connected(const struct dev *d)
{
	return was_connected;
}

uint64_t state_instance(const struct dev *d)
{
	return instance;
}

void state_begin(struct dev *d, uint64_t new)
{
	instance = new;
	was_connected = false;
	forgotten = true;
}

static void look(struct dev *d)
{
	looks++;
}

static int ok(struct dev *d)
{
	return 0;
}

static void let_go(struct dev *d)
{
	disconnects++;
}

static const struct backend be = {.name = "test",
				  .class = "vif",
				  .connect_at = 4,
				  .features = ok,
				  .connect = ok,
				  .disconnect = let_go,
				  .front_node = "asked",
				  .front_changed = look};

#define OWN   "/local/domain/0/backend/vif/1/0/"
#define FRONT "/local/domain/1/device/vif/0/"

/* The toolstack's nodes of a new device. */
static void new_device(void)
{
	memset(nodes, 0, sizeof(nodes));
	set(OWN "frontend", "/local/domain/1/device/vif/0");
	set(OWN "frontend-id", "1");
	set(OWN "online", "1");
	set(OWN "state", "1");
	set(FRONT "state", "1");
}

static struct dev connected(void)
{
	struct dev d = {.be = &be, .domid = 1};

	instance = looks = disconnects = 0;
	was_connected = forgotten = false;
	new_device();
	assert_int_equal(store_open(&d), 0);
	store_step(&d);
	set(FRONT "state", "4");
	store_step(&d);
	assert_true(d.connected && was_connected && !d.gone);
	return d;
}

/* A guest writes its node 10000 times before it is looked at: that costs one look. */
static void test_flood(void **state)
{
	struct dev d = connected();

	nr_events = 10000;
	store_event(&d);
	assert_int_equal(nr_events, 0);
	assert_int_equal(looks, 1);
}

/* A process serves the device it began with, and none that has its number later. */
static void test_another_device(void **state)
{
	struct dev d = connected();

	store_step(&d);
	assert_false(d.gone);
	new_device();
	store_step(&d);
	assert_true(d.gone && !d.connected);
	assert_int_equal(disconnects, 1);
	assert_string_equal(node(OWN "state"), "1"); /* the new one's, untouched */
}

static void test_successor(void **state)
{
	struct dev d = connected(), next = {.be = &be, .domid = 1};

	forgotten = false;
	assert_int_equal(store_open(&next), 0); /* of the same device: it has what was saved */
	assert_true(was_connected && !forgotten);
	next = (struct dev){.be = &be, .domid = 1};
	new_device();
	assert_int_equal(store_open(&next), 0);
	assert_true(!was_connected && forgotten);
	assert_true(d.connected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_another_device),
		cmocka_unit_test(test_successor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
