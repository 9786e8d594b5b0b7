/* SPDX-License-Identifier: MIT */
/* Xenstore: one request at a time, its reply found by request id; watch events are dropped. */
#include <pv/event.h>
#include <pv/lib.h>
#include <pv/mm.h>
#include <pv/thread.h>
#include <pv/time.h>
#include <pv/xenstore.h>
#include <xen/io/xs_wire.h>

#define TIMEOUT (5 * SEC)

static struct lock ring_lock;
static struct xenstore_domain_interface *ring;
static unsigned int port;
static uint32_t next_id;
static bool busy, watch_seen;

bool xenstore_available(void)
{
	return ring;
}

static void ring_event(unsigned int p, void *data)
{
	bool enabled = lock(&ring_lock);

	thread_wake(&ring);
	unlock(&ring_lock, enabled);
}

void xenstore_init(void)
{
	if (is_initial_domain() || !start_info->store_mfn)
		return;
	ring = pfn_to_va(mfn_to_pfn(start_info->store_mfn));
	port = start_info->store_evtchn;
	event_bind(port, ring_event, NULL);
}

static bool send_bytes(const void *data, size_t n, uint64_t deadline)
{
	const char *s = data;

	while (n) {
		XENSTORE_RING_IDX prod = ring->req_prod;

		if (prod - READ_ONCE(ring->req_cons) >= XENSTORE_RING_SIZE) {
			if (time_ns() > deadline)
				return false;
			thread_wait(&ring, deadline, &ring_lock);
			continue;
		}
		ring->req[MASK_XENSTORE_IDX(prod)] = *s++;
		n--;
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		WRITE_ONCE(ring->req_prod, prod + 1);
		if (!n || prod + 1 - READ_ONCE(ring->req_cons) >= XENSTORE_RING_SIZE)
			event_send(port);
	}
	return true;
}

/* Takes n bytes, keeps what fits. */
static bool receive(void *data, size_t size, size_t n, uint64_t deadline)
{
	char *d = data;

	for (size_t i = 0; i < n;) {
		XENSTORE_RING_IDX cons = ring->rsp_cons;

		if (cons == READ_ONCE(ring->rsp_prod)) {
			if (time_ns() > deadline)
				return false;
			thread_wait(&ring, deadline, &ring_lock);
			continue;
		}
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (i < size)
			d[i] = ring->rsp[MASK_XENSTORE_IDX(cons)];
		i++;
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		WRITE_ONCE(ring->rsp_cons, cons + 1);
		if (i == n)
			event_send(port);
	}
	return true;
}

static long error_number(const char *name)
{
	static const struct {
		const char *name;
		int nr;
	} errors[] = {
		{"ENOENT", 2}, {"EACCES", 13}, {"EINVAL", 22}, {"EEXIST", 17}, {"ENOSYS", 38}};

	for (unsigned int i = 0; i < ARRAY_SIZE(errors); i++)
		if (!strcmp(errors[i].name, name))
			return -errors[i].nr;
	return -5;
}

static long request(uint32_t type, const void *body, size_t len, char *reply, size_t size)
{
	struct xsd_sockmsg msg = {.type = type, .req_id = ++next_id, .len = (uint32_t)len};
	uint64_t deadline = time_ns() + TIMEOUT;
	char scratch[64];

	if (!ring)
		return -XEN_ENOSYS;
	if (!reply) {
		reply = scratch;
		size = sizeof(scratch);
	}
	if (!send_bytes(&msg, sizeof(msg), deadline) || !send_bytes(body, len, deadline))
		return -XEN_EBUSY;
	do {
		if (!receive(&msg, sizeof(msg), sizeof(msg), deadline) ||
		    !receive(reply, size - 1, msg.len, deadline))
			return -XEN_EBUSY;
		watch_seen |= msg.type == XS_WATCH_EVENT;
	} while (msg.req_id != next_id || msg.type == XS_WATCH_EVENT);
	len = msg.len < size - 1 ? msg.len : size - 1;
	reply[len] = 0;
	return msg.type == XS_ERROR ? error_number(reply) : (long)len;
}

/* Besides those that requests read past: nothing but a watch event comes unasked. */
static bool watch_fired(void)
{
	bool seen = watch_seen;

	watch_seen = false;
	return seen || (!busy && ring->rsp_cons != READ_ONCE(ring->rsp_prod));
}

void xenstore_wait_watch(void)
{
	bool enabled = lock(&ring_lock);

	while (!watch_fired())
		thread_wait(&ring, ~0ull, &ring_lock);
	unlock(&ring_lock, enabled);
}

/* One caller at a time, for the lock is let go while a request waits for its reply. */
static long call(uint32_t type, const void *body, size_t len, char *reply, size_t size)
{
	bool enabled = lock(&ring_lock);
	long rc;

	while (busy)
		thread_wait(&busy, ~0ull, &ring_lock);
	busy = true;
	rc = request(type, body, len, reply, size);
	busy = false;
	thread_wake(&busy);
	unlock(&ring_lock, enabled);
	return rc;
}

long xenstore_read(const char *path, char *buf, size_t size)
{
	return call(XS_READ, path, strlen(path) + 1, buf, size);
}

long xenstore_list(const char *path, char *buf, size_t size)
{
	return call(XS_DIRECTORY, path, strlen(path) + 1, buf, size);
}

long xenstore_remove(const char *path)
{
	return call(XS_RM, path, strlen(path) + 1, NULL, 0);
}

long xenstore_watch(const char *path, const char *token)
{
	char body[256];
	size_t n = strlcpy(body, path, sizeof(body)) + 1, len = strlen(token) + 1;

	if (n + len > sizeof(body))
		return -XEN_EINVAL;
	memcpy(body + n, token, len);
	return call(XS_WATCH, body, n + len, NULL, 0);
}

long xenstore_write(const char *path, const char *value)
{
	char body[512];
	size_t n = strlcpy(body, path, sizeof(body)) + 1, len = strlen(value);

	if (n + len > sizeof(body))
		return -XEN_EINVAL;
	memcpy(body + n, value, len);
	return call(XS_WRITE, body, n + len, NULL, 0);
}
