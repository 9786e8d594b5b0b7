/* SPDX-License-Identifier: MIT */
#include "store.h"
#include <xen/io/xs_wire.h>

#define PATIENCE (60 * SEC)

static struct xenstore_domain_interface *ring;
static uint32_t next_id;

void nap(evtchn_port_t port)
{
	struct sched_poll poll = {.nr_ports = 1, .timeout = time_ns() + MSEC};

	set_xen_guest_handle(poll.ports, &port);
	HYPERVISOR_sched_op(SCHEDOP_poll, &poll);
	event_clear(port);
}

bool store_init(void)
{
	if (!is_initial_domain() && start_info->store_mfn)
		ring = pfn_to_va(mfn_to_pfn(start_info->store_mfn));
	return ring;
}

/* Moves n bytes one way; `to` or `from` is NULL. False if the other end sleeps too long. */
static bool move(char *to, const char *from, size_t n)
{
	uint64_t deadline = time_ns() + PATIENCE;

	for (size_t i = 0; i < n;) {
		bool stuck = to ? ring->rsp_cons == READ_ONCE(ring->rsp_prod)
				: ring->req_prod - READ_ONCE(ring->req_cons) == XENSTORE_RING_SIZE;

		if (stuck) {
			if (time_ns() > deadline)
				return false;
			event_send(start_info->store_evtchn);
			nap(start_info->store_evtchn);
			continue;
		}
		mb();
		if (to)
			to[i++] = ring->rsp[MASK_XENSTORE_IDX(ring->rsp_cons)];
		else
			ring->req[MASK_XENSTORE_IDX(ring->req_prod)] = from[i++];
		mb();
		if (to)
			WRITE_ONCE(ring->rsp_cons, ring->rsp_cons + 1);
		else
			WRITE_ONCE(ring->req_prod, ring->req_prod + 1);
	}
	event_send(start_info->store_evtchn);
	return true;
}

static long call(uint32_t type, const char *body, size_t n, char *reply, size_t size)
{
	struct xsd_sockmsg msg = {.type = type, .req_id = ++next_id, .len = (uint32_t)n};
	static char scratch[XENSTORE_PAYLOAD_MAX];
	size_t keep;

	if (!move(NULL, (char *)&msg, sizeof(msg)) || !move(NULL, body, n) ||
	    !move((char *)&msg, NULL, sizeof(msg)) || msg.len > sizeof(scratch) ||
	    !move(scratch, NULL, msg.len) || msg.req_id != next_id || msg.type == XS_ERROR)
		return -1;
	keep = msg.len < size ? msg.len : size - 1;
	memcpy(reply, scratch, keep);
	reply[keep] = 0;
	return (long)keep;
}

long store_read(const char *path, char *buf, size_t size)
{
	return call(XS_READ, path, strlen(path) + 1, buf, size);
}

bool store_write(const char *path, const char *value)
{
	char body[256], reply[8];
	size_t n = strlcpy(body, path, sizeof(body)) + 1, len = strlen(value);

	if (n + len > sizeof(body))
		return false;
	memcpy(body + n, value, len);
	return call(XS_WRITE, body, n + len, reply, sizeof(reply)) >= 0;
}

unsigned long store_number(const char *path)
{
	char text[24], *end;
	unsigned long value;

	if (store_read(path, text, sizeof(text)) <= 0)
		return ~0ul;
	value = strtoul(text, &end, 10);
	return *end ? ~0ul : value;
}
