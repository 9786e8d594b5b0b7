/* SPDX-License-Identifier: MIT */
/* The guests' headers, hypercalls/abi/pavane/, with a store, a backend and a hypervisor of our own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <pavane/event.h>
#include <pavane/grant.h>
#include <pavane/ring.h>
#include <pavane/xenbus.h>
#include <xen/io/blkif.h>

/* ---- the hypervisor: a page of entries that lead to one function ---- */

static unsigned int hypercalls;
static unsigned long last_nr;

long fake_hypercall(unsigned long a1, unsigned long a2, unsigned long a3, unsigned long a4,
		    unsigned long a5, unsigned long nr);
long fake_hypercall(unsigned long a1, unsigned long a2, unsigned long a3, unsigned long a4,
		    unsigned long a5, unsigned long nr)
{
	hypercalls++;
	last_nr = nr;
	return 0;
}

__asm__(".text\n"
	".balign 32\n"
	"hypercall_page:\n"
	".set nr, 0\n"
	".rept 64\n"
	"	movl $nr, %eax\n"
	"	jmp 1f\n"
	"	.balign 32\n"
	"	.set nr, nr + 1\n"
	".endr\n"
	"1:	pushq %rbp\n"
	"	movq %rsp, %rbp\n"
	"	andq $-16, %rsp\n"
	"	movq %r10, %rcx\n"
	"	movl %eax, %r9d\n"
	"	call fake_hypercall\n"
	"	movq %rbp, %rsp\n"
	"	popq %rbp\n"
	"	ret\n");

/* ---- the store: one node, and an answer to everything ---- */

static struct store {
	struct xenstore_domain_interface ring;
	char in[2 * XENSTORE_PAYLOAD_MAX], out[4 * XENSTORE_PAYLOAD_MAX];
	size_t nr_in, nr_out;
	size_t chunk; /* bytes it gives at once */
	char value[XENSTORE_PAYLOAD_MAX + 1];
	const char *error;	   /* instead of the next answer */
	unsigned int events;	   /* in front of the next answer */
	unsigned int waits_to_end; /* then it gives up, 0: never */
	unsigned int notified;
	char path[64], token[64]; /* of the last event */
} st;
static struct pv_xs xs;

static void answer(uint32_t type, uint32_t id, const void *body, size_t len)
{
	struct xsd_sockmsg msg = {.type = type, .req_id = id, .len = (uint32_t)len};

	assert_true(st.nr_out + sizeof(msg) + len <= sizeof(st.out));
	memcpy(st.out + st.nr_out, &msg, sizeof(msg));
	memcpy(st.out + st.nr_out + sizeof(msg), body, len);
	st.nr_out += sizeof(msg) + len;
}

static void serve(const struct xsd_sockmsg *msg, const char *body)
{
	size_t path = strnlen(body, msg->len) + 1;

	for (; st.events; st.events--)
		answer(XS_WATCH_EVENT, 0, "a/path\0a-token", 15);
	if (st.error) {
		answer(XS_ERROR, msg->req_id, st.error, strlen(st.error) + 1);
		st.error = NULL;
	} else if (msg->type == XS_READ || msg->type == XS_DIRECTORY) {
		answer(msg->type, msg->req_id, st.value, strlen(st.value));
	} else {
		if (msg->type == XS_WRITE) {
			memcpy(st.value, body + path, msg->len - path);
			st.value[msg->len - path] = 0;
		}
		answer(msg->type, msg->req_id, "OK", 3);
	}
}

static bool store_wait(void *os)
{
	struct xsd_sockmsg msg;
	size_t n;

	assert_ptr_equal(os, &st);
	if (st.waits_to_end && !--st.waits_to_end)
		return false;
	while (st.ring.req_cons != st.ring.req_prod && st.nr_in < sizeof(st.in))
		st.in[st.nr_in++] = st.ring.req[MASK_XENSTORE_IDX(st.ring.req_cons++)];
	memcpy(&msg, st.in, sizeof(msg));
	n = sizeof(msg) + msg.len;
	if (st.nr_in >= sizeof(msg) && st.nr_in >= n) {
		serve(&msg, st.in + sizeof(msg));
		st.nr_in -= n;
		memmove(st.in, st.in + n, st.nr_in);
	}
	for (n = 0; n < st.nr_out && n < st.chunk &&
		    st.ring.rsp_prod - st.ring.rsp_cons < XENSTORE_RING_SIZE;
	     n++)
		st.ring.rsp[MASK_XENSTORE_IDX(st.ring.rsp_prod++)] = st.out[n];
	st.nr_out -= n;
	memmove(st.out, st.out + n, st.nr_out);
	return true;
}

static void store_notify(void *os)
{
	st.notified++;
}

static void watched(void *os, const char *path, const char *token)
{
	snprintf(st.path, sizeof(st.path), "%s", path);
	snprintf(st.token, sizeof(st.token), "%s", token);
}

static int setup(void **state)
{
	memset(&st, 0, sizeof(st));
	st.chunk = 1024;
	/* Indices count on, and wrap. */
	st.ring.req_cons = st.ring.req_prod = st.ring.rsp_cons = st.ring.rsp_prod = -100;
	memset(&xs, 0, sizeof(xs));
	xs.ring = &st.ring;
	xs.notify = store_notify;
	xs.wait = store_wait;
	xs.watched = watched;
	xs.os = &st;
	hypercalls = 0;
	return 0;
}

static void xs_any_place(void **state)
{
	char buf[64], value[32];

	for (unsigned int i = 0; i < 2000; i++) {
		st.chunk = 1 + i % 37;
		snprintf(value, sizeof(value), "%0*u", 1 + i % 29, i % 10);
		assert_int_equal(pv_xs_write(&xs, "device/vbd/51712/state", value), 0);
		assert_int_equal(pv_xs_read(&xs, "x", buf, sizeof(buf)), strlen(value));
		assert_string_equal(buf, value);
	}
	assert_true(st.notified >= 4000);
}

/* Longer than the ring, there and back. */
static void xs_long(void **state)
{
	static char value[XENSTORE_PAYLOAD_MAX + 2], buf[XENSTORE_PAYLOAD_MAX + 1];

	memset(value, 'v', sizeof(value) - 1);
	assert_int_equal(pv_xs_write(&xs, "p", value), -PV_E2BIG);
	value[XENSTORE_PAYLOAD_MAX - 2] = 0;
	assert_int_equal(pv_xs_write(&xs, "p", value), 0);
	assert_int_equal(pv_xs_read(&xs, "p", buf, sizeof(buf)), XENSTORE_PAYLOAD_MAX - 2);
	assert_string_equal(buf, value);
	assert_int_equal(pv_xs_read(&xs, "p", buf, 10), -PV_E2BIG);
	assert_int_equal(pv_xs_remove(&xs, "p"), 0);
	assert_int_equal(pv_xs_read(&xs, "p", buf, XENSTORE_PAYLOAD_MAX - 2), -PV_E2BIG);
	assert_int_equal(pv_xs_read(&xs, "p", buf, XENSTORE_PAYLOAD_MAX - 1),
			 XENSTORE_PAYLOAD_MAX - 2);
}

static void xs_errors(void **state)
{
	char buf[8];

	st.error = "ENOENT";
	assert_int_equal(pv_xs_read(&xs, "p", buf, sizeof(buf)), -PV_ENOENT);
	st.error = "EACCES";
	assert_int_equal(pv_xs_write(&xs, "p", "v"), -PV_EACCES);
	st.error = "EACCESS";
	assert_int_equal(pv_xs_write(&xs, "p", "v"), -PV_EIO);
	st.error = "an error whose name is longer than any that there is";
	assert_int_equal(pv_xs_write(&xs, "p", "v"), -PV_EIO);
	assert_int_equal(pv_xs_write(&xs, "p", "v"), 0);
}

static void xs_watches(void **state)
{
	char buf[8];

	assert_int_equal(pv_xs_watch(&xs, "a", "a-token"), 0);
	st.events = 3;
	assert_int_equal(pv_xs_write(&xs, "p", "v"), 0);
	assert_string_equal(st.path, "a/path");
	assert_string_equal(st.token, "a-token");
	assert_int_equal(pv_xs_wait_watch(&xs), 0); /* they came by the way */
	st.waits_to_end = 3;
	assert_int_equal(pv_xs_wait_watch(&xs), -PV_ETIMEDOUT);
	answer(XS_WATCH_EVENT, 0, "b\0c", 4);
	assert_int_equal(pv_xs_wait_watch(&xs), 0);
	assert_string_equal(st.path, "b");
	assert_string_equal(st.token, "c");
	memset(st.value, 'l', 600);
	answer(XS_WATCH_EVENT, 0, st.value, 600);
	assert_int_equal(pv_xs_wait_watch(&xs), 0);
	assert_string_equal(st.path, "");
	assert_string_equal(st.token, "");
	answer(XS_WATCH_EVENT, 0, "no end", 6); /* nor a token */
	assert_int_equal(pv_xs_wait_watch(&xs), 0);
	assert_string_equal(st.token, "");
	strcpy(st.value, "ok");
	assert_int_equal(pv_xs_read(&xs, "p", buf, sizeof(buf)), 2);
}

static void xs_timeouts(void **state)
{
	char buf[8];

	strcpy(st.value, "one");
	st.waits_to_end = 1;
	assert_int_equal(pv_xs_read(&xs, "p", buf, sizeof(buf)), -PV_ETIMEDOUT);
	/* The answer comes late, and is not taken for that of the next. */
	st.chunk = 0;
	store_wait(&st);
	strcpy(st.value, "two");
	st.chunk = 1024;
	assert_int_equal(pv_xs_read(&xs, "p", buf, sizeof(buf)), 3);
	assert_string_equal(buf, "two");
	/* In the middle of a message: for good. */
	st.chunk = 5;
	st.waits_to_end = 3;
	assert_int_equal(pv_xs_read(&xs, "p", buf, sizeof(buf)), -PV_EIO);
	st.chunk = 1024;
	assert_int_equal(pv_xs_read(&xs, "p", buf, sizeof(buf)), -PV_EIO);
	assert_int_equal(pv_xs_wait_watch(&xs), -PV_EIO);
}

static void xs_nonsense(void **state)
{
	struct xsd_sockmsg msg = {.type = XS_READ, .len = XENSTORE_PAYLOAD_MAX + 1};
	char buf[8];

	st.ring.rsp_prod = st.ring.rsp_cons + XENSTORE_RING_SIZE + 1;
	assert_int_equal(pv_xs_read(&xs, "p", buf, sizeof(buf)), -PV_EIO);
	setup(state);
	st.ring.req_cons = st.ring.req_prod + 1;
	assert_int_equal(pv_xs_read(&xs, "p", buf, sizeof(buf)), -PV_EIO);
	setup(state);
	memcpy(st.out, &msg, sizeof(msg));
	st.nr_out = sizeof(msg);
	assert_int_equal(pv_xs_read(&xs, "p", buf, sizeof(buf)), -PV_EIO);
	assert_int_equal(pv_xs_write(&xs, "p", "v"), -PV_EIO);
}

static void xenbus(void **state)
{
	static const char *const bad[] = {"", "-1", " 1", "1 ", "0x1", "9223372036854775808", "a"};
	char dir[PV_XENBUS_PATH + 1], buf[8];
	uint64_t v = 7;

	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		strcpy(st.value, bad[i]);
		assert_int_equal(pv_xenbus_read_number(&xs, "d", "n", &v), -PV_EINVAL);
		assert_int_equal(v, 7);
	}
	assert_int_equal(pv_xenbus_write_number(&xs, "d", "n", 0), 0);
	assert_string_equal(st.value, "0");
	assert_int_equal(pv_xenbus_write_number(&xs, "d", "n", UINT64_MAX), 0);
	assert_string_equal(st.value, "18446744073709551615");
	assert_int_equal(pv_xenbus_write_number(&xs, "d", "n", 9223372036854775799), 0);
	assert_int_equal(pv_xenbus_read_number(&xs, "d", "n", &v), 0);
	assert_true(v == 9223372036854775799);
	memset(dir, 'd', sizeof(dir) - 1);
	dir[sizeof(dir) - 1] = 0;
	assert_int_equal(pv_xenbus_read(&xs, dir, "n", buf, sizeof(buf)), -PV_E2BIG);
	dir[PV_XENBUS_PATH - 2] = 0;
	assert_int_equal(pv_xenbus_read(&xs, dir, "n", buf, sizeof(buf)), -PV_E2BIG);
	dir[PV_XENBUS_PATH - 3] = 0;
	assert_int_equal(pv_xenbus_write(&xs, dir, "n", "4"), 0);
	assert_int_equal(pv_xenbus_watch(&xs, "d"), 0);
	assert_int_equal(pv_xenbus_wait(&xs, "d", 1u << 4 | 1u << 5), 4);
	st.waits_to_end = 4;
	assert_int_equal(pv_xenbus_wait(&xs, "d", 1u << 5), -PV_ETIMEDOUT);
	st.error = "ENOENT";
	assert_int_equal(pv_xenbus_wait(&xs, "d", 1u << 0), 0);
	strcpy(st.value, "64");
	st.waits_to_end = 4;
	assert_int_equal(pv_xenbus_wait(&xs, "d", 1u << 0), -PV_ETIMEDOUT);
}

static void grants(void **state)
{
	static struct grant_entry_v1 table[PV_GRANTS_PER_PAGE];
	static grant_ref_t next[PV_GRANTS_PER_PAGE];
	const unsigned int nr = PV_GRANTS_PER_PAGE - GNTTAB_NR_RESERVED_ENTRIES;
	struct pv_grants g;
	grant_ref_t ref;

	pv_grants_init(&g, table, next, PV_GRANTS_PER_PAGE);
	assert_int_equal(pv_grant(&g, 0, 1ul << 32, false), PV_GRANT_NONE);
	for (unsigned int i = 0; i < nr; i++) {
		ref = pv_grant(&g, 3, i, i & 1);
		assert_in_range(ref, GNTTAB_NR_RESERVED_ENTRIES, PV_GRANTS_PER_PAGE - 1);
		assert_int_equal(table[ref].flags, GTF_permit_access | (i & 1 ? GTF_readonly : 0));
		assert_int_equal(table[ref].domid, 3);
		assert_int_equal(table[ref].frame, i);
	}
	for (ref = 0; ref < GNTTAB_NR_RESERVED_ENTRIES; ref++)
		assert_int_equal(table[ref].flags, 0);
	assert_int_equal(pv_grant(&g, 3, 1, false), PV_GRANT_NONE);
	table[100].flags |= GTF_reading;
	assert_false(pv_grant_end(&g, 100));
	table[100].flags ^= GTF_reading | GTF_writing;
	assert_false(pv_grant_end(&g, 100));
	assert_int_equal(pv_grant(&g, 3, 1, false), PV_GRANT_NONE);
	table[100].flags ^= GTF_writing;
	assert_true(pv_grant_end(&g, 100));
	assert_int_equal(table[100].flags, 0);
	assert_int_equal(pv_grant(&g, 3, 1, false), 100);
}

/* ---- events ---- */

static struct shared_info shared;
static unsigned int got[8], nr_got;
static struct vcpu_info *const v = &shared.vcpu_info[0];

static void raise_event(evtchn_port_t port)
{
	shared.evtchn_pending[port / 64] |= PV_EVENT_BIT(port);
	if (!(shared.evtchn_mask[port / 64] & PV_EVENT_BIT(port))) {
		v->evtchn_pending_sel |= PV_EVENT_BIT(port / 64);
		v->evtchn_upcall_pending = 1;
	}
}

static void handler(evtchn_port_t port, void *arg)
{
	assert_ptr_equal(arg, &got);
	assert_false(pv_event_is_pending(&shared, port));
	got[nr_got++] = port;
	if (port == 5 && nr_got == 1) { /* while it is handled */
		raise_event(5);
		raise_event(700);
		pv_event_mask(&shared, 6);
	}
}

static void events(void **state)
{
	static const unsigned int order[] = {5, 5, 4095, 700};
	xen_ulong_t mine[PV_EVENT_WORDS] = {~0x20ul};

	raise_event(5);
	raise_event(6);
	raise_event(4095);
	pv_event_deliver(&shared, v, NULL, handler, &got);
	assert_int_equal(nr_got, 4);
	assert_memory_equal(got, order, sizeof(order));
	assert_int_equal(v->evtchn_upcall_pending, 0);
	assert_true(pv_event_is_pending(&shared, 6));
	pv_event_unmask(&shared, v, 6);
	assert_int_equal(v->evtchn_upcall_pending, 1);
	raise_event(5);
	pv_event_deliver(&shared, v, mine, handler, &got);
	assert_int_equal(nr_got, 5);
	assert_int_equal(got[4], 6);
	pv_event_mask(&shared, 9);
	pv_event_unmask(&shared, v, 9);
	assert_int_equal(v->evtchn_upcall_pending, 0);
}

static void upcalls(void **state)
{
	bool enabled;

	v->evtchn_upcall_mask = 0;
	v->evtchn_upcall_pending = 0;
	enabled = pv_upcalls_save(v);
	assert_true(enabled);
	assert_int_equal(v->evtchn_upcall_mask, 1);
	assert_false(pv_upcalls_save(v));
	pv_upcalls_restore(v, false);
	assert_int_equal(v->evtchn_upcall_mask, 1);
	pv_upcalls_restore(v, enabled);
	assert_int_equal(v->evtchn_upcall_mask, 0);
	assert_int_equal(hypercalls, 0);
	pv_upcalls_disable(v);
	v->evtchn_upcall_pending = 1;
	pv_upcalls_enable(v);
	assert_int_equal(hypercalls, 1);
	assert_int_equal(last_nr, __HYPERVISOR_xen_version);
	pv_block();
	assert_int_equal(last_nr, __HYPERVISOR_sched_op);
}

static void ring(void **state)
{
	static union {
		blkif_sring_t ring;
		char page[4096];
	} page;
	blkif_front_ring_t r;
	RING_IDX n;
	bool notify;

	memset(&page, 0xff, sizeof(page));
	PV_FRONT_RING_INIT(&r, &page.ring, sizeof(page));
	assert_int_equal(RING_SIZE(&r), 32);
	assert_int_equal(page.page[4095], 0);
	PV_FRONT_RING_RESPONSES(&r, &n);
	assert_int_equal(n, 0);
	page.ring.rsp_prod = 1;
	PV_FRONT_RING_RESPONSES(&r, &n);
	assert_true(n == PV_RING_LIE);
	r.req_prod_pvt += 2;
	RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(&r, notify);
	assert_true(notify);
	PV_FRONT_RING_RESPONSES(&r, &n);
	assert_int_equal(n, 1);
	page.ring.rsp_prod = 3;
	PV_FRONT_RING_RESPONSES(&r, &n);
	assert_true(n == PV_RING_LIE);
	page.ring.rsp_prod = -1;
	PV_FRONT_RING_RESPONSES(&r, &n);
	assert_true(n == PV_RING_LIE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(xs_any_place, setup),
		cmocka_unit_test_setup(xs_long, setup),
		cmocka_unit_test_setup(xs_errors, setup),
		cmocka_unit_test_setup(xs_watches, setup),
		cmocka_unit_test_setup(xs_timeouts, setup),
		cmocka_unit_test_setup(xs_nonsense, setup),
		cmocka_unit_test_setup(xenbus, setup),
		cmocka_unit_test_setup(grants, setup),
		cmocka_unit_test_setup(events, setup),
		cmocka_unit_test_setup(upcalls, setup),
		cmocka_unit_test_setup(ring, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
