/* SPDX-License-Identifier: MIT */
/*
 * Filters for the backend to run: what they drop never reaches us (hypercalls/abi/pavane/
 * netfilter.h). A few programs, among them one that must be refused.
 */
#include <pv/grant.h>
#include <pv/lib.h>
#include <pv/thread.h>
#include <pv/time.h>
#include <pavane/netfilter.h>
#include "net.h"
#include "tools.h"

#define PATIENCE (60 * SEC)
#define KEEP	 0xffffffff

/* Drops IPv4 packets of one protocol: the frame's type, then the IP header's protocol. */
#define DROP_PROTOCOL(number)                                                      \
	{PAVANE_BPF_LD_H_ABS, 0, 0, 12}, {PAVANE_BPF_JEQ_K, 0, 2, 0x0800},         \
		{PAVANE_BPF_LD_B_ABS, 0, 0, 23}, {PAVANE_BPF_JEQ_K, 1, 0, number}, \
		{PAVANE_BPF_RET_K, 0, 0, KEEP}, {PAVANE_BPF_RET_K, 0, 0, 0},

static const struct pavane_filter_insn drop_icmp[] = {DROP_PROTOCOL(1)};
static const struct pavane_filter_insn drop_udp[] = {DROP_PROTOCOL(17)};
/* Jumps out of the program, where a kernel that believed it would go on reading. */
static const struct pavane_filter_insn bad[] = {
	{PAVANE_BPF_JA, 0, 0, 1000},
	{PAVANE_BPF_RET_K, 0, 0, KEEP},
};

static const struct program {
	const char *name;
	const struct pavane_filter_insn *insns;
	unsigned int n;
} programs[] = {
	{"none", NULL, 0},
	{"drop-icmp", drop_icmp, ARRAY_SIZE(drop_icmp)},
	{"drop-udp", drop_udp, ARRAY_SIZE(drop_udp)},
	{"bad", bad, ARRAY_SIZE(bad)},
};

/* Waits for what the backend says of this generation, and copies that without the number. */
static bool wait_status(struct xenbus_device *d, unsigned int generation, char *status, size_t size)
{
	uint64_t deadline = time_ns() + PATIENCE;
	char text[128], *rest;

	while (time_ns() < deadline) {
		if (xenbus_backend_read(d, "filter-status", text, sizeof(text)) > 0 &&
		    strtoul(text, &rest, 10) == generation && *rest == ' ') {
			strlcpy(status, rest + 1, size);
			return true;
		}
		thread_sleep(5 * MSEC);
	}
	return false;
}

/* The program is in `page`, granted as `ref`. */
static void download(struct xenbus_device *d, const struct program *p, long ref)
{
	static unsigned int generation;
	char status[112];

	/* Not one that this connection used before, also if the clock is all that is left of it. */
	generation = (unsigned int)(time_ns() / MSEC) | 1;
	xenbus_write_number(d, "filter-ref", (unsigned long)ref);
	xenbus_write_number(d, "filter-len", p->n);
	xenbus_write_number(d, "filter-gen", generation);
	if (!wait_status(d, generation, status, sizeof(status)))
		printf("FAIL net filter %s: no answer\n", p->name);
	else
		printf("%s net filter %s: %s\n", strcmp(status, "ok") ? "FAIL" : "ok", p->name,
		       status);
}

static void offer(struct xenbus_device *d, const struct program *p)
{
	void *page = page_try_alloc();
	long ref = page ? grant_access(d->backend_id, va_to_mfn(page), true) : -XEN_ENOMEM;

	if (ref < 0) {
		printf("FAIL net filter %s: no page\n", p->name);
	} else {
		memcpy(page, p->insns, p->n * sizeof(*p->insns));
		download(d, p, ref);
	}
	if (page && (ref < 0 || grant_end((grant_ref_t)ref)))
		page_free(page);
}

/* A copy of the first interface's device: the device itself may go while we wait. */
static bool find_device(struct xenbus_device *d)
{
	bool enabled = net_enter(), found;
	const struct netfront *f = netfront_get(0);

	found = f && f->device;
	if (found)
		*d = *f->device;
	net_leave(enabled);
	return found;
}

void net_filter(const char *name)
{
	struct xenbus_device d;

	if (!iface_wait() || !find_device(&d))
		return;
	if (xenbus_backend_number(&d, "feature-filter", 0) != 1) {
		printf("FAIL net filter %s: this backend takes none\n", name);
		return;
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(programs); i++) {
		if (!strcmp(programs[i].name, name)) {
			offer(&d, &programs[i]);
			return;
		}
	}
	printf("FAIL net filter %s: choose one of none, drop-icmp, drop-udp, bad\n", name);
}
