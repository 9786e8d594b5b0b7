/* SPDX-License-Identifier: MIT */
/*
 * Xenstore: one request at a time, its reply found by request id. Watch events come unasked, also
 * between a request and its reply: whoever reads the ring notes them, and their owners find them.
 */
#include <pv/event.h>
#include <pv/lib.h>
#include <pv/mm.h>
#include <pv/thread.h>
#include <pv/time.h>
#include <pv/xenstore.h>
#include <xen/io/xs_wire.h>

#define TIMEOUT (60 * SEC)
#define WATCHES 64
#define TOKEN	16

static struct lock ring_lock;
static struct xenstore_domain_interface *ring;
static unsigned int port;
static uint32_t next_id;
static bool busy;
static struct watch *watches[WATCHES];

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

/* The body of a watch event is a path and the token, both terminated: the token is our index. */
static void note_watch(const char *body, size_t len)
{
	size_t path = strnlen(body, len) + 1;
	unsigned long i;
	char *end;

	if (path >= len)
		return;
	i = strtoul(body + path, &end, 10);
	if (*end || i >= WATCHES || !watches[i])
		return;
	watches[i]->fired = true;
	thread_wake(&ring);
}

static bool receive_event(uint32_t len, uint64_t deadline)
{
	/* As long as a message may be; only the one who is `busy` gets here. */
	static char body[XENSTORE_PAYLOAD_MAX + 1];

	if (len > XENSTORE_PAYLOAD_MAX || !receive(body, sizeof(body), len, deadline))
		return false;
	body[len] = 0;
	note_watch(body, len);
	return true;
}

static long request(uint32_t type, const void *body, size_t len, char *reply, size_t size)
{
	struct xsd_sockmsg msg = {.type = type, .req_id = ++next_id, .len = (uint32_t)len};
	uint64_t deadline = time_ns() + TIMEOUT;
	char scratch[64];

	if (!reply) {
		reply = scratch;
		size = sizeof(scratch);
	}
	if (!send_bytes(&msg, sizeof(msg), deadline) || !send_bytes(body, len, deadline))
		return -XEN_EBUSY;
	do {
		if (!receive(&msg, sizeof(msg), sizeof(msg), deadline) ||
		    !(msg.type == XS_WATCH_EVENT ? receive_event(msg.len, deadline)
						 : receive(reply, size - 1, msg.len, deadline)))
			return -XEN_EBUSY;
	} while (msg.req_id != next_id || msg.type == XS_WATCH_EVENT);
	len = msg.len < size - 1 ? msg.len : size - 1;
	reply[len] = 0;
	return msg.type == XS_ERROR ? error_number(reply) : (long)len;
}

static void release_ring(void)
{
	busy = false;
	thread_wake(&busy);
	/* Those who wait for watches: what is in the ring now is theirs to read. */
	thread_wake(&ring);
}

/* While nobody expects a reply: nothing but watch events comes unasked. */
static void read_events(void)
{
	uint64_t deadline = time_ns() + TIMEOUT;
	struct xsd_sockmsg msg;

	busy = true;
	while (ring->rsp_cons != READ_ONCE(ring->rsp_prod))
		if (!receive(&msg, sizeof(msg), sizeof(msg), deadline) ||
		    !receive_event(msg.len, deadline))
			break;
	release_ring();
}

static struct watch *next_fired(const void *by)
{
	for (unsigned int i = 0; i < WATCHES; i++) {
		struct watch *w = watches[i];

		if (w && w->by == by && w->fired) {
			w->fired = false;
			return w;
		}
	}
	return NULL;
}

struct watch *xenstore_wait_watch(const void *by)
{
	bool enabled = lock(&ring_lock);
	struct watch *w;

	while ((w = next_fired(by)) == NULL) {
		if (!busy && ring->rsp_cons != READ_ONCE(ring->rsp_prod))
			read_events();
		else
			thread_wait(&ring, ~0ull, &ring_lock);
	}
	unlock(&ring_lock, enabled);
	return w;
}

/* One caller at a time, for the lock is let go while a request waits for its reply. */
static long call(uint32_t type, const void *body, size_t len, char *reply, size_t size)
{
	bool enabled;
	long rc;

	if (!ring)
		return -XEN_ENOSYS;
	enabled = lock(&ring_lock);
	while (busy)
		thread_wait(&busy, ~0ull, &ring_lock);
	busy = true;
	rc = request(type, body, len, reply, size);
	release_ring();
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

static long two_strings(uint32_t type, const char *first, const char *second)
{
	char body[XENSTORE_PATH + TOKEN];
	size_t n = strlcpy(body, first, sizeof(body)) + 1, len = strlen(second) + 1;

	if (n + len > sizeof(body))
		return -XEN_EINVAL;
	memcpy(body + n, second, len);
	return call(type, body, n + len, NULL, 0);
}

/* Takes a slot or gives it back, if it is still as the caller believes. */
static bool slot_change(unsigned int i, struct watch *from, struct watch *to)
{
	bool enabled = lock(&ring_lock), ours = watches[i] == from;

	if (ours)
		watches[i] = to;
	unlock(&ring_lock, enabled);
	return ours;
}

long xenstore_watch(struct watch *w)
{
	unsigned int i = 0;
	char token[TOKEN];
	long rc;

	w->fired = false;
	while (i < WATCHES && !slot_change(i, NULL, w))
		i++;
	if (i == WATCHES)
		return -XEN_EBUSY;
	snprintf(token, sizeof(token), "%u", i);
	rc = two_strings(XS_WATCH, w->path, token);
	if (rc < 0)
		slot_change(i, w, NULL);
	return rc;
}

void xenstore_unwatch(struct watch *w)
{
	char token[TOKEN];

	for (unsigned int i = 0; i < WATCHES; i++) {
		if (!slot_change(i, w, NULL))
			continue;
		/* An event on its way will at worst seem to be of the slot's next owner. */
		snprintf(token, sizeof(token), "%u", i);
		two_strings(XS_UNWATCH, w->path, token);
	}
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
