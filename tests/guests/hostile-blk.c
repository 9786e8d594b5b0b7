/* SPDX-License-Identifier: MIT */
/*
 * A block frontend that lies: in its requests, its grants, its ring's indices, in xenstore, and by
 * changing what it wrote while the backend reads it. Lies in a request get an error as the answer;
 * lies about the ring end the connection, and an honest frontend must get through again. At the
 * end everything that was not to be touched is as it was. The device is the first of
 * device/vbd/51712 and 51728 that is there, of at least 2 MiB, writable, and loses its content. The
 * command line may hold a seed. What lies behind the image's end is its owner's to look at.
 */
#include "store.h"

#include <pv/grant.h>
#define xen_mb()  mb()
#define xen_rmb() mb()
#define xen_wmb() mb()
#include <xen/io/blkif.h>
#include <xen/io/xenbus.h>

TEST("hostile-blk", "a lying block frontend gets errors, and touches nothing but its own sectors");

#define LIMIT	  (60 * SEC)
#define SHORT	  (200 * MSEC)
#define NO_ANSWER 1000
#define PER_PAGE  (PAGE_SIZE / 512)
#define KEPT	  64   /* pages at the start of the disk, written once */
#define SCRATCH	  1024 /* sector behind them, which lies may hit */
#define ROUNDS	  400

static blkif_sring_t *ring;
static grant_ref_t ring_ref;
static RING_IDX prod, cons;
static unsigned int port, entries, max_segments;
static char dir[40], backend[128];
static uint64_t sectors;

/* What the backend may use, what it may only read, and what it was never given. */
static uint8_t *buffer, *read_only, *list, *secret;
static grant_ref_t buffer_ref, read_only_ref, list_ref, ended_ref, other_ref, nowhere_ref;

/* ---- xenstore ---- */

static void say(const char *node, const char *value)
{
	char path[80];

	snprintf(path, sizeof(path), "%s/%s", dir, node);
	store_write(path, value);
}

static void say_number(const char *node, unsigned long value)
{
	char text[24];

	snprintf(text, sizeof(text), "%lu", value);
	say(node, text);
}

static unsigned long ask(const char *node)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/%s", backend, node);
	return store_number(path);
}

static bool wait_state(unsigned long a, unsigned long b, uint64_t limit)
{
	uint64_t deadline = time_ns() + limit;
	unsigned long s;

	while ((s = ask("state")) != a && s != b && time_ns() < deadline)
		HYPERVISOR_sched_op(SCHEDOP_yield, NULL);
	return s == a || s == b;
}

/* ---- an honest frontend ---- */

static void clear_ring(void)
{
	page_clear(ring);
	SHARED_RING_INIT(ring);
	prod = cons = 0;
}

static void write_nodes(void)
{
	clear_ring();
	port = (unsigned int)event_alloc_unbound(0);
	say("ring-page-order", "0");
	say("multi-queue-num-queues", "1");
	say_number("ring-ref", ring_ref);
	say_number("event-channel", port);
	say("protocol", "x86_64-abi");
	say_number("feature-persistent", rnd(2));
}

static bool connect(void)
{
	if (!wait_state(XenbusStateInitWait, XenbusStateInitWait, LIMIT))
		return false;
	write_nodes();
	say_number("state", XenbusStateInitialised);
	if (!wait_state(XenbusStateConnected, XenbusStateConnected, LIMIT))
		return false;
	say_number("state", XenbusStateConnected);
	return true;
}

/* Whatever state the device is in: down, so that it waits for a frontend. */
static bool disconnect(void)
{
	say_number("state", XenbusStateClosing);
	if (!wait_state(XenbusStateClosing, XenbusStateClosed, LIMIT))
		return false;
	say_number("state", XenbusStateClosed);
	if (!wait_state(XenbusStateClosed, XenbusStateInitWait, LIMIT))
		return false;
	event_close(port);
	say_number("state", XenbusStateInitialising);
	return wait_state(XenbusStateInitWait, XenbusStateInitWait, LIMIT);
}

static bool reconnect(void)
{
	return disconnect() && connect();
}

static blkif_request_t *slot(void)
{
	blkif_request_t *r = &ring->ring[prod % entries].req;

	memset(r, 0, sizeof(*r));
	r->id = 0x1234000000000000ul | prod;
	prod++;
	return r;
}

static void push(void)
{
	mb();
	ring->req_prod = prod;
	event_send(port);
}

/* The next answer, whatever it says; false if none comes. */
static bool await(void)
{
	uint64_t deadline = time_ns() + LIMIT;

	while (READ_ONCE(ring->rsp_prod) == cons) {
		if (time_ns() > deadline)
			return false;
		HYPERVISOR_sched_op(SCHEDOP_yield, NULL);
	}
	mb();
	cons++;
	return true;
}

/* The status of the next answer; its id must be one of ours. */
static long answer(void)
{
	blkif_response_t rsp;

	if (!await())
		return NO_ANSWER;
	rsp = ring->ring[(cons - 1) % entries].rsp;
	return rsp.id >> 48 == 0x1234 && (uint32_t)rsp.id < prod ? rsp.status : NO_ANSWER;
}

static void set_segment(blkif_request_t *r, unsigned int i, grant_ref_t ref, unsigned int first,
			unsigned int last)
{
	r->seg[i] = (struct blkif_request_segment){
		.gref = ref, .first_sect = (uint8_t)first, .last_sect = (uint8_t)last};
}

/* One request of one segment, to its answer. */
static long io(unsigned int op, uint64_t sector, grant_ref_t ref, unsigned int first,
	       unsigned int last)
{
	blkif_request_t *r = slot();

	r->operation = (uint8_t)op;
	r->nr_segments = 1;
	r->sector_number = sector;
	set_segment(r, 0, ref, first, last);
	push();
	return answer();
}

static void paint(uint8_t *page, unsigned int what)
{
	for (unsigned int i = 0; i < PAGE_SIZE; i++)
		page[i] = (uint8_t)(i * 7 + what * 31 + (i >> 8));
}

static bool is_painted(const uint8_t *page, unsigned int what)
{
	for (unsigned int i = 0; i < PAGE_SIZE; i++)
		if (page[i] != (uint8_t)(i * 7 + what * 31 + (i >> 8)))
			return false;
	return true;
}

static bool kept_page(unsigned int i)
{
	memset(buffer, 0, PAGE_SIZE);
	return !io(BLKIF_OP_READ, i * PER_PAGE, buffer_ref, 0, PER_PAGE - 1) &&
	       is_painted(buffer, i);
}

static bool honest(void)
{
	return kept_page(rnd(KEPT)) && is_painted(secret, 300) && is_painted(read_only, 301);
}

static void refused(const char *what, long status)
{
	char text[100];

	snprintf(text, sizeof(text), "%s: an error", what);
	check(text, status < 0);
	snprintf(text, sizeof(text), "%s: then an honest request is served", what);
	check(text, honest());
}

/* ---- lies in requests ---- */

static void lie_in_grants(void)
{
	/* Not 0 and 1: those are the console's and the store's, which domain 0 may use. */
	static const grant_ref_t wild[] = {2, 511, 512, 0x7fffffff, 0xffffffff};

	for (unsigned int i = 0; i < ARRAY_SIZE(wild); i++)
		refused("a reference that nobody gave",
			io(BLKIF_OP_READ, SCRATCH, wild[i], 0, PER_PAGE - 1));
	refused("one that was taken back", io(BLKIF_OP_READ, SCRATCH, ended_ref, 0, PER_PAGE - 1));
	refused("one for another domain", io(BLKIF_OP_READ, SCRATCH, other_ref, 0, PER_PAGE - 1));
	refused("one of a frame that is not ours",
		io(BLKIF_OP_READ, SCRATCH, nowhere_ref, 0, PER_PAGE - 1));
	refused("reading into a page that may only be read",
		io(BLKIF_OP_READ, SCRATCH, read_only_ref, 0, PER_PAGE - 1));
}

static void lie_in_segments(void)
{
	static const struct {
		const char *what;
		unsigned int first, last;
	} bad[] = {
		{"a segment that ends before it begins", 5, 4},
		{"a segment beyond its page", 0, 8},
		{"a segment far beyond its page", 0, 255},
		{"a segment that begins beyond its page", 8, 8},
		{"a segment at the end of a byte", 255, 255},
	};
	static const unsigned int counts[] = {0, 12, 13, 128, 255};

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		refused(bad[i].what,
			io(BLKIF_OP_READ, SCRATCH, buffer_ref, bad[i].first, bad[i].last));
		refused(bad[i].what,
			io(BLKIF_OP_WRITE, SCRATCH, buffer_ref, bad[i].first, bad[i].last));
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(counts); i++) {
		blkif_request_t *r = slot();

		r->operation = BLKIF_OP_READ;
		r->nr_segments = (uint8_t)counts[i];
		r->sector_number = SCRATCH;
		for (unsigned int s = 0; s < BLKIF_MAX_SEGMENTS_PER_REQUEST; s++)
			set_segment(r, s, buffer_ref, 0, PER_PAGE - 1);
		push();
		refused("a wrong number of segments", answer());
	}
}

static void lie_in_sectors(void)
{
	const uint64_t far[] = {sectors,    sectors - 1,	 sectors - PER_PAGE + 1, 1ull << 32,
				1ull << 54, (1ull << 55) - 4,	 (1ull << 63) - 1,	 1ull << 63,
				0ull - 1,   0ull - PER_PAGE + 1, 0ull - PER_PAGE};

	paint(buffer, 77);
	for (unsigned int i = 0; i < ARRAY_SIZE(far); i++) {
		refused("reading beyond the end",
			io(BLKIF_OP_READ, far[i], buffer_ref, 0, PER_PAGE - 1));
		refused("writing beyond the end",
			io(BLKIF_OP_WRITE, far[i], buffer_ref, 0, PER_PAGE - 1));
	}
	check("the last page can be written",
	      !io(BLKIF_OP_WRITE, sectors - PER_PAGE, buffer_ref, 0, PER_PAGE - 1));
}

static long discard(uint64_t sector, uint64_t n)
{
	blkif_request_discard_t *r = (void *)slot();

	r->operation = BLKIF_OP_DISCARD;
	r->flag = (uint8_t)rnd(256);
	r->sector_number = sector;
	r->nr_sectors = n;
	push();
	return answer();
}

static void lie_in_discards(void)
{
	refused("discarding beyond the end", discard(sectors, 1));
	refused("discarding across the end", discard(sectors - 1, 2));
	refused("discarding more than all", discard(0, sectors + 1));
	refused("discarding up to an overflow", discard(SCRATCH, 0ull - SCRATCH));
	refused("discarding across an overflow", discard(1ull << 63, (1ull << 63) + KEPT));
	refused("discarding to an overflow in bytes", discard(SCRATCH, 1ull << 55));
}

static void lie_in_operations(void)
{
	static const uint8_t ops[] = {BLKIF_OP_RESERVED_1, 7, 77, 128, 255};

	for (unsigned int i = 0; i < ARRAY_SIZE(ops); i++)
		refused("an operation that does not exist",
			io(ops[i], 0, buffer_ref, 0, PER_PAGE - 1));
}

/* ---- indirect ---- */

static long indirect(unsigned int inner, unsigned int segments, grant_ref_t ref, uint64_t sector)
{
	blkif_request_indirect_t *r = (void *)slot();

	r->operation = BLKIF_OP_INDIRECT;
	r->indirect_op = (uint8_t)inner;
	r->nr_segments = (uint16_t)segments;
	r->sector_number = sector;
	for (unsigned int i = 0; i < BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST; i++)
		r->indirect_grefs[i] = ref;
	push();
	return answer();
}

static void fill_list(grant_ref_t ref, unsigned int first, unsigned int last)
{
	struct blkif_request_segment *s = (void *)list;

	for (unsigned int i = 0; i < PAGE_SIZE / sizeof(*s); i++)
		s[i] = (struct blkif_request_segment){
			.gref = ref, .first_sect = (uint8_t)first, .last_sect = (uint8_t)last};
}

static void lie_in_indirect(void)
{
	if (max_segments < 16)
		return;
	fill_list(buffer_ref, 0, PER_PAGE - 1);
	check("an honest indirect read", !indirect(BLKIF_OP_READ, 16, list_ref, 0));
	refused("no indirect segment", indirect(BLKIF_OP_READ, 0, list_ref, SCRATCH));
	refused("one indirect segment too many",
		indirect(BLKIF_OP_READ, max_segments + 1, list_ref, SCRATCH));
	refused("4097 indirect segments", indirect(BLKIF_OP_READ, 4097, list_ref, SCRATCH));
	refused("65535 indirect segments", indirect(BLKIF_OP_READ, 65535, list_ref, SCRATCH));
	refused("segments on a page that nobody gave",
		indirect(BLKIF_OP_READ, 16, 0x7fffffff, SCRATCH));
	refused("segments on a page of another domain's",
		indirect(BLKIF_OP_READ, 16, other_ref, SCRATCH));
	refused("an indirect indirect", indirect(BLKIF_OP_INDIRECT, 16, list_ref, SCRATCH));
	refused("an indirect discard", indirect(BLKIF_OP_DISCARD, 16, list_ref, SCRATCH));
	refused("an indirect read across the end",
		indirect(BLKIF_OP_READ, 16, list_ref, sectors - 15 * PER_PAGE));
	fill_list(read_only_ref, 0, PER_PAGE - 1);
	refused("indirect reading into a page that may only be read",
		indirect(BLKIF_OP_READ, 16, list_ref, SCRATCH));
	fill_list(buffer_ref, 3, 2);
	refused("an indirect segment that ends before it begins",
		indirect(BLKIF_OP_WRITE, 16, list_ref, SCRATCH));
	fill_list(buffer_ref, 0, 255);
	refused("an indirect segment beyond its page",
		indirect(BLKIF_OP_WRITE, 16, list_ref, SCRATCH));
	for (unsigned int i = 0; i < PAGE_SIZE; i++)
		list[i] = (uint8_t)rnd(256);
	refused("a page of noise for segments", indirect(BLKIF_OP_WRITE, 200, list_ref, SCRATCH));
}

/* ---- requests that change while they are read ---- */

static const uint64_t elsewhere[] = {0, 8, 0ull - 8};

static void change(blkif_request_t *r, unsigned int round)
{
	struct blkif_request_segment *s = (void *)list;

	switch (rnd(6)) {
	case 0:
		/* Beyond the end or where it was: never to the pages that are kept. */
		WRITE_ONCE(r->sector_number, round & 1 ? SCRATCH : sectors + elsewhere[rnd(3)]);
		break;
	case 1: WRITE_ONCE(r->seg[0].last_sect, (uint8_t)rnd(256)); break;
	case 2: WRITE_ONCE(r->seg[0].gref, round & 1 ? buffer_ref : read_only_ref); break;
	case 3: WRITE_ONCE(r->nr_segments, (uint8_t)(round & 1 ? 1 : 200)); break;
	case 4: WRITE_ONCE(s[rnd(16)].last_sect, (uint8_t)rnd(256)); break;
	default: WRITE_ONCE(s[rnd(16)].gref, round & 1 ? buffer_ref : rnd(1 << 20)); break;
	}
}

static void change_while_read(void)
{
	uint64_t deadline = time_ns() + 3 * SEC;
	bool served = true;

	for (unsigned int i = 0; i < ROUNDS && served && time_ns() < deadline; i++) {
		bool far = max_segments >= 16 && rnd(2);
		blkif_request_t *r = slot();
		blkif_request_indirect_t *ind = (void *)r;

		fill_list(buffer_ref, 0, PER_PAGE - 1);
		if (far) {
			ind->operation = BLKIF_OP_INDIRECT;
			ind->indirect_op = (uint8_t)rnd(2);
			ind->nr_segments = 16;
			ind->sector_number = SCRATCH;
			ind->indirect_grefs[0] = list_ref;
		} else {
			r->operation = (uint8_t)rnd(2);
			r->nr_segments = 1;
			r->sector_number = SCRATCH;
			set_segment(r, 0, buffer_ref, 0, PER_PAGE - 1);
		}
		push();
		for (unsigned int n = 0; READ_ONCE(ring->rsp_prod) == cons && n < 100000; n++) {
			if (far)
				change((void *)&(blkif_request_t){.id = 0}, n);
			else
				change(r, n);
		}
		/* We may have written into the answer as well. */
		served = await();
	}
	check("requests that change while they are read are answered", served);
	check("then an honest request is served", honest());
}

/* ---- lies about the ring ---- */

static void lie_in_indices(void)
{
	static const uint32_t ahead[] = {1, 2, 1000, 0x7fffffff, 0x80000000, 0xffffff00};

	for (unsigned int i = 0; i < ARRAY_SIZE(ahead); i++) {
		for (unsigned int n = 0; n < entries; n++) {
			blkif_request_t *r = &ring->ring[n].req;

			memset(r, 0, sizeof(*r));
			r->operation = BLKIF_OP_WRITE;
			r->nr_segments = 1;
			r->sector_number = SCRATCH;
			set_segment(r, 0, buffer_ref, 0, PER_PAGE - 1);
		}
		mb();
		ring->req_prod = prod + entries + ahead[i];
		event_send(port);
		check("more requests than the ring holds: the backend closes",
		      wait_state(XenbusStateClosing, XenbusStateClosed, LIMIT));
		check("an honest frontend connects again", reconnect() && honest());
	}
}

/* The answers' half of the ring is the backend's: what we write there, it must not need. */
static void lie_in_answers(void)
{
	for (unsigned int i = 0; i < 20; i++) {
		ring->rsp_prod = rnd(1 << 30);
		ring->rsp_event = rnd(1 << 30);
		ring->req_event = rnd(1 << 30);
		memset(&ring->ring[rnd(entries)], (int)rnd(256), sizeof(ring->ring[0]));
		event_send(port);
	}
	check("noise in the answers' half: an honest frontend connects again",
	      reconnect() && honest());
}

/* ---- lies in xenstore ---- */

static void lie_in_nodes(void)
{
	/* What is no number at all may count as if it were not there. */
	static const struct {
		const char *node, *value;
		bool may_connect;
	} lies[] = {
		{"ring-page-order", "5", false},
		{"ring-page-order", "31", false},
		{"ring-page-order", "4294967296", true},
		{"ring-page-order", "-1", true},
		{"multi-queue-num-queues", "0", false},
		{"multi-queue-num-queues", "4000000000", false},
		{"ring-ref", "4294967295", false},
		{"ring-ref", "2", false},
		{"ring-ref", "99999999999999999999999", false},
		{"ring-ref", "one", false},
		{"ring-ref", "", false},
		{"event-channel", "0", false},
		{"event-channel", "1023", false},
		{"event-channel", "4294967295", false},
		{"event-channel", "-3", false},
		{"protocol", "x86_32-abi", false},
	};
	char text[100];

	for (unsigned int i = 0; i < ARRAY_SIZE(lies); i++) {
		bool down = disconnect(), connected;

		write_nodes();
		say(lies[i].node, lies[i].value);
		say_number("state", XenbusStateInitialised);
		connected = wait_state(XenbusStateConnected, XenbusStateConnected, SHORT);
		snprintf(text, sizeof(text), "%s = \"%s\": does not connect", lies[i].node,
			 lies[i].value);
		check(text, down && (!connected || lies[i].may_connect));
		check("an honest frontend connects again", reconnect() && honest());
	}
}

static void lie_in_states(void)
{
	static const char *const states[] = {"2",  "3",	 "4", "7",  "8",   "9",
					     "99", "-1", "",  "no", "4 4", "18446744073709551616"};

	for (unsigned int i = 0; i < ARRAY_SIZE(states); i++) {
		say("state", states[i]);
		HYPERVISOR_sched_op(SCHEDOP_yield, NULL);
		ask("state");
	}
	check("states out of any order: an honest frontend connects again",
	      reconnect() && honest());
}

/* ---- all of it ---- */

static uint8_t *granted(grant_ref_t *ref, domid_t domain, bool ro)
{
	uint8_t *page = page_alloc();
	long rc = grant_access(domain, va_to_mfn(page), ro);

	check("a grant", rc > 0);
	*ref = (grant_ref_t)rc;
	return page;
}

static void make_pages(void)
{
	secret = page_alloc();
	paint(secret, 300);
	ring = (void *)granted(&ring_ref, 0, false);
	buffer = granted(&buffer_ref, 0, false);
	list = granted(&list_ref, 0, false);
	read_only = granted(&read_only_ref, 0, true);
	paint(read_only, 301);
	granted(&other_ref, 0x7000, false);
	granted(&ended_ref, 0, false);
	check("a grant taken back", grant_end(ended_ref));
	nowhere_ref = (grant_ref_t)grant_access(0, 0xfffffff, false);
}

static bool find_device(void)
{
	static const unsigned int ids[] = {51712, 51728};
	char path[80];

	for (unsigned int i = 0; i < ARRAY_SIZE(ids); i++) {
		snprintf(dir, sizeof(dir), "device/vbd/%u", ids[i]);
		snprintf(path, sizeof(path), "%s/backend", dir);
		if (store_read(path, backend, sizeof(backend)) > 0)
			return true;
	}
	return false;
}

void test_main(void)
{
	const char *seed = (const char *)start_info->cmd_line;
	bool kept = true;

	if (!store_init() || !find_device())
		skip("no disk");
	rnd_state = 1 + strtoul(seed, NULL, 0);
	check_eq("grant_init", grant_init(), 0);
	make_pages();
	check("an honest frontend connects", connect());
	sectors = ask("sectors");
	max_segments = (unsigned int)ask("feature-max-indirect-segments");
	entries = __CONST_RING_SIZE(blkif, PAGE_SIZE);
	if (max_segments == ~0u)
		max_segments = 0;
	check("a disk of at least 2 MiB", sectors != ~0ul && sectors >= 4096);
	for (unsigned int i = 0; i < KEPT; i++) {
		paint(buffer, i);
		kept &= !io(BLKIF_OP_WRITE, i * PER_PAGE, buffer_ref, 0, PER_PAGE - 1);
	}
	check("what is to be kept is written", kept && honest());
	check("writing from a page that may only be read",
	      !io(BLKIF_OP_WRITE, SCRATCH, read_only_ref, 0, PER_PAGE - 1));
	lie_in_grants();
	lie_in_segments();
	lie_in_sectors();
	lie_in_discards();
	lie_in_operations();
	lie_in_indirect();
	change_while_read();
	lie_in_indices();
	lie_in_answers();
	lie_in_nodes();
	lie_in_states();
	for (unsigned int i = 0; i < KEPT; i++)
		kept &= kept_page(i);
	check("what was kept is as it was", kept);
	check("a page that was never granted is as it was", is_painted(secret, 300));
	check("a page that may only be read is as it was", is_painted(read_only, 301));
}
