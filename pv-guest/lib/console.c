/* SPDX-License-Identifier: MIT */
/* Console output and input, over the shared ring or, in the initial domain, over console_io. */
#include <pv/arch.h>
#include <pv/event.h>
#include <pv/lib.h>
#include <pv/lock.h>
#include <pv/mm.h>
#include <pv/time.h>
#include <xen/io/console.h>

static struct lock console_lock;
static struct xencons_interface *ring;
static unsigned int port;

void console_init(void)
{
	if (is_initial_domain())
		return;
	port = start_info->console.domU.evtchn;
	if (start_info->console.domU.mfn)
		ring = pfn_to_va(mfn_to_pfn(start_info->console.domU.mfn));
}

unsigned int console_port(void)
{
	return port;
}

/*
 * Lets the other end run. A poll of no port is a nap that works with upcalls masked; polling the
 * console's port would not sleep at all while input waits to be noticed.
 */
static void wait_for_ring(void)
{
	struct sched_poll poll = {.nr_ports = 0, .timeout = time_ns() + MSEC / 10};

	HYPERVISOR_sched_op(SCHEDOP_poll, &poll);
}

/* Console clients keep their terminal raw, so a line ends with both characters, as Xen's own do. */
static void ring_write(const char *s, size_t n)
{
	static char last;

	while (n) {
		XENCONS_RING_IDX prod = ring->out_prod;
		size_t sent = 0;

		while (sent < n && prod - READ_ONCE(ring->out_cons) < sizeof(ring->out)) {
			last = s[sent] == '\n' && last != '\r' ? '\r' : s[sent++];
			ring->out[MASK_XENCONS_IDX(prod++, ring->out)] = last;
		}
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		WRITE_ONCE(ring->out_prod, prod);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		event_send(port);
		s += sent;
		n -= sent;
		if (n)
			wait_for_ring();
	}
}

void console_write(const char *s, size_t n)
{
	bool enabled = lock(&console_lock);

	if (is_initial_domain())
		HYPERVISOR_console_io(CONSOLEIO_write, (unsigned int)n, (char *)s);
	else if (ring)
		ring_write(s, n);
	unlock(&console_lock, enabled);
}

size_t console_read(char *buf, size_t n)
{
	XENCONS_RING_IDX cons, prod;
	size_t got = 0;
	bool enabled;

	if (is_initial_domain()) {
		long rc = HYPERVISOR_console_io(CONSOLEIO_read, (unsigned int)n, buf);

		return rc > 0 ? (size_t)rc : 0;
	}
	if (!ring)
		return 0;
	enabled = lock(&console_lock);
	cons = ring->in_cons;
	prod = READ_ONCE(ring->in_prod);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	while (got < n && cons != prod)
		buf[got++] = ring->in[MASK_XENCONS_IDX(cons++, ring->in)];
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (got) {
		WRITE_ONCE(ring->in_cons, cons);
		event_send(port);
	}
	unlock(&console_lock, enabled);
	return got;
}

void console_flush(void)
{
	if (!ring)
		return;
	/* Bounded: a console nobody reads must not keep a domain from shutting down. */
	for (int i = 0; i < 20000 && READ_ONCE(ring->out_cons) != ring->out_prod; i++)
		wait_for_ring();
}
