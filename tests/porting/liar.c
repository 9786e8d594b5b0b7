/* SPDX-License-Identifier: MIT */
/*
 * A block backend that does not keep to the protocol, on libxengnttab and libxenevtchn:
 *	liar DOMID RING-REF PORT index|number|keep
 *   index	says that there are more responses than requests
 *   number	answers a request that nobody made
 *   keep	answers well (with zeros), and never lets go of a page it has seen
 * Runs until it is killed.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <pavane/ring.h>
#include <xen/io/blkif.h>
#include <xenevtchn.h>
#include <xengnttab.h>

static blkif_back_ring_t ring;

static void answer(uint64_t id, uint8_t operation)
{
	struct blkif_response *rsp = RING_GET_RESPONSE(&ring, ring.rsp_prod_pvt++);

	memset(rsp, 0, sizeof(*rsp));
	rsp->id = id;
	rsp->operation = operation;
}

static void serve(xengnttab_handle *gnt, uint32_t domid, const char *mode)
{
	struct blkif_request req;

	while (ring.req_cons != PV_READ(&ring.sring->req_prod)) {
		xen_rmb();
		RING_COPY_REQUEST(&ring, ring.req_cons++, &req);
		if (!strcmp(mode, "keep") && req.nr_segments)
			xengnttab_map_grant_ref(gnt, domid, req.seg[0].gref, PROT_READ);
		answer(strcmp(mode, "number") ? req.id : 9999, req.operation);
	}
	if (!strcmp(mode, "index"))
		ring.rsp_prod_pvt += 40;
	RING_PUSH_RESPONSES(&ring);
	ring.sring->req_event = ring.req_cons + 1;
	xen_mb();
}

int main(int argc, char **argv)
{
	xengnttab_handle *gnt = xengnttab_open(NULL, 0);
	xenevtchn_handle *ev = xenevtchn_open(NULL, 0);
	uint32_t domid = argc == 5 ? (uint32_t)atoi(argv[1]) : 0;
	xenevtchn_port_or_error_t port;
	blkif_sring_t *page;

	if (!gnt || !ev || argc != 5)
		return 1;
	page = xengnttab_map_grant_ref(gnt, domid, (uint32_t)atoi(argv[2]), PROT_READ | PROT_WRITE);
	port = xenevtchn_bind_interdomain(ev, domid, (evtchn_port_t)atoi(argv[3]));
	if (!page || port < 0) {
		perror("liar");
		return 1;
	}
	BACK_RING_INIT(&ring, page, 4096);
	for (;;) {
		struct pollfd fd = {.fd = xenevtchn_fd(ev), .events = POLLIN};

		/* A request may have come before the port was bound. */
		if (poll(&fd, 1, 100) > 0) {
			xenevtchn_unmask(ev, (evtchn_port_t)xenevtchn_pending(ev));
		}
		serve(gnt, domid, argv[4]);
		xenevtchn_notify(ev, (evtchn_port_t)port);
	}
}
