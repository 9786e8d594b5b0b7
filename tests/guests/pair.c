/* SPDX-License-Identifier: MIT */
#include "common.h"
#include <pv/grant.h>

TEST("pair", "two guests share a page and an event channel, and nothing else");

#define HELLO 0x1234567
#define REPLY 0x7654321
#define LIMIT (60 * SEC)

/* The shared page, as both see it. */
struct shared {
	volatile uint32_t hello, port, ro_ref, table_ref, reply, ack;
};

static domid_t peer;
static unsigned long events;

static void on_event(unsigned int port, void *data)
{
	events++;
}

static bool wait_for(volatile uint32_t *word, uint32_t value)
{
	uint64_t start = time_ns();

	while (*word != value && time_ns() - start < LIMIT)
		HYPERVISOR_sched_op(SCHEDOP_yield, NULL);
	return *word == value;
}

static bool end_soon(long ref)
{
	uint64_t start = time_ns();

	while (!grant_end((grant_ref_t)ref))
		if (time_ns() - start > LIMIT)
			return false;
		else
			HYPERVISOR_sched_op(SCHEDOP_yield, NULL);
	return true;
}

static void offer(void)
{
	struct shared *s = page_alloc();
	uint32_t *secret = page_alloc();
	uint64_t *table = page_alloc();
	long port = event_alloc_unbound(peer), rw, ro;

	memset(s, 0, PAGE_SIZE);
	secret[0] = HELLO + 1;
	event_bind((unsigned int)port, on_event, NULL);
	rw = grant_access(peer, va_to_mfn(s), false);
	ro = grant_access(peer, va_to_mfn(secret), true);
	printf("offer: grant %ld\n", rw);
	s->port = (uint32_t)port;
	s->ro_ref = (uint32_t)ro;
	check_eq("a page table", page_set_ro(table, true), 0);
	check_eq("pinned", mmuext(MMUEXT_PIN_L1_TABLE, va_to_mfn(table)), 0);
	s->table_ref = (uint32_t)grant_access(peer, va_to_mfn(table), false);
	s->hello = HELLO;
	upcalls_enable();
	check("the peer's reply is seen here", wait_for(&s->reply, REPLY));
	for (uint64_t start = time_ns(); !events && time_ns() - start < LIMIT;)
		HYPERVISOR_sched_op(SCHEDOP_yield, NULL);
	check("its event came", events > 0);
	check_eq("nobody writes to a page table", (long)table[1], 0);
	check("a page in use does not end", !grant_end((grant_ref_t)rw));
	s->ack = 1;
	check("both grants end after the unmapping", end_soon(rw) && end_soon(ro));
	check_eq("the page keeps what the peer wrote", s->reply, REPLY);
	s->hello = 1;
	check_eq("and is ours again", s->hello, 1);
	check_eq("the read-only one is as it was", secret[0], HELLO + 1);
}

static long map(unsigned long va, uint32_t ref, uint32_t flags, uint32_t *handle)
{
	struct gnttab_map_grant_ref op = {.host_addr = va, .flags = flags, .ref = ref, .dom = peer};

	map_mfn(va, va_to_mfn(page_alloc()), PTE_KERN); /* makes the tables exist */
	unmap_va(va);
	HYPERVISOR_grant_table_op(GNTTABOP_map_grant_ref, &op, 1);
	*handle = op.handle;
	return op.status;
}

static long unmap(unsigned long va, uint32_t handle)
{
	struct gnttab_unmap_grant_ref op = {.host_addr = va, .handle = handle};

	HYPERVISOR_grant_table_op(GNTTABOP_unmap_grant_ref, &op, 1);
	return op.status;
}

static void copy(uint32_t ref)
{
	uint32_t *page = page_alloc();
	struct gnttab_copy op = {.flags = GNTCOPY_source_gref, .len = 8};

	op.source.u.ref = ref;
	op.source.domid = peer;
	op.dest.u.gmfn = va_to_mfn(page);
	op.dest.domid = DOMID_SELF;
	check_eq("copy: hypercall", grant_copy(&op), 0);
	check_eq("a copy of a page that is mapped", page[0], HELLO);
}

/* A grant to write to it does not make it other than it is. */
static void copy_to_table(uint32_t ref)
{
	uint64_t *page = page_alloc();
	struct gnttab_copy op = {.flags = GNTCOPY_dest_gref, .len = 8};

	*page = HELLO & ~1ul; /* not a present entry */
	op.source.u.gmfn = va_to_mfn(page);
	op.source.domid = DOMID_SELF;
	op.dest.u.ref = ref;
	op.dest.domid = peer;
	op.dest.offset = 8;
	check_eq("copy to the peer's page table", grant_copy(&op), GNTST_general_error);
}

static void use(uint32_t ref)
{
	struct shared *s = (struct shared *)va_alloc(1);
	unsigned long ro = va_alloc(1), other = va_alloc(1);
	struct evtchn_bind_interdomain bind;
	uint32_t rw_handle, ro_handle, none;
	uint64_t pte;

	check_eq("map", map((unsigned long)s, ref, GNTMAP_host_map, &rw_handle), GNTST_okay);
	check("the peer's words", wait_for(&s->hello, HELLO));
	copy(ref);
	copy_to_table(s->table_ref);
	check_eq("read-only for writing", map(ro, s->ro_ref, GNTMAP_host_map, &none),
		 GNTST_general_error);
	check_eq("read-only", map(ro, s->ro_ref, GNTMAP_host_map | GNTMAP_readonly, &ro_handle),
		 GNTST_okay);
	check_eq("read-only: reads", *(volatile uint32_t *)ro, HELLO + 1);
	check_eq("read-only: does not write", vector_of(do_write, (void *)ro), 14);
	check("its number", pt_find((unsigned long)s, 1, NULL, &pte));
	check("the number maps nothing by itself",
	      map_mfn(other, (pte & PTE_MFN) >> PAGE_SHIFT, PTE_KERN) < 0);

	bind = (struct evtchn_bind_interdomain){.remote_dom = peer, .remote_port = s->port};
	check_eq("bind", HYPERVISOR_event_channel_op(EVTCHNOP_bind_interdomain, &bind), 0);
	s->reply = REPLY;
	check_eq("send", event_send(bind.local_port), 0);
	check("the peer acknowledges", wait_for(&s->ack, 1));
	check_eq("unmap", unmap((unsigned long)s, rw_handle), GNTST_okay);
	check_eq("unmap: gone", vector_of(do_read, s), 14);
	check_eq("unmap read-only", unmap(ro, ro_handle), GNTST_okay);
}

/* The words offer=DOMID, or map=DOMID,REF, on the command line; the runner starts both. */
void test_main(void)
{
	const char *words = (const char *)start_info->cmd_line, *p;

	check_eq("set up", grant_init(), 0);
	if ((p = strstr(words, "offer="))) {
		peer = (domid_t)strtoul(p + 6, NULL, 10);
		offer();
	} else if ((p = strstr(words, "map="))) {
		char *comma;

		peer = (domid_t)strtoul(p + 4, &comma, 10);
		use((uint32_t)strtoul(comma + 1, NULL, 10));
	} else {
		skip("it takes two: tests/guests/run-pair");
	}
}
