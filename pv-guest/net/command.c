/* SPDX-License-Identifier: MIT */
/* `net` and `dhcp`: what there is, and its addresses. */
#include <pv/lib.h>
#include <pv/time.h>
#include <lwip/netif.h>
#include "net.h"
#include "tools.h"

static void print_address(const char *what, const ip4_addr_t *a)
{
	printf("  %-8s %u.%u.%u.%u\n", what, ip4_addr1(a), ip4_addr2(a), ip4_addr3(a),
	       ip4_addr4(a));
}

static void print_counters(const struct netfront *f)
{
	const struct netfront_stats *s = &f->stats;

	printf("  received %lu packets, %lu bytes, %lu slots, %lu errors\n", s->rx_packets,
	       s->rx_bytes, s->rx_slots, s->rx_errors);
	printf("  sent     %lu packets, %lu bytes, %lu slots, %lu errors, %lu times full\n",
	       s->tx_packets, s->tx_bytes, s->tx_slots, s->tx_errors, s->tx_full);
	printf("  under way %u slots to send, %u to receive\n", f->tx.req_prod_pvt - f->tx.rsp_cons,
	       f->rx.req_prod_pvt - f->rx.rsp_cons);
	printf("  events   %lu in, %lu out\n", s->events, s->notifies);
}

static void print_interface(const struct netfront *f, const struct netif *n)
{
	const uint8_t *m = f->mac;

	printf("en%u: %02x:%02x:%02x:%02x:%02x:%02x %s%s%s\n", f->index, m[0], m[1], m[2], m[3],
	       m[4], m[5],
	       !f->device  ? "gone"
	       : f->broken ? "broken"
	       : f->up	   ? "up"
			   : "down",
	       f->broken ? ": " : "", f->broken ? f->broken : "");
	if (n) {
		print_address("address", netif_ip4_addr(n));
		print_address("mask", netif_ip4_netmask(n));
		print_address("gateway", netif_ip4_gw(n));
	}
	printf("  backend %s%s%s%s\n", f->gather ? " gathers" : "", f->checksums ? " sums" : "",
	       f->segments ? " cuts segments" : "", f->split ? " has two ports" : "");
	print_counters(f);
}

/* Right after the start the first one's address is on its way. */
static bool on_its_way(void)
{
	bool enabled = net_enter(), up;
	struct netfront *f = netfront_get(0);

	up = f && f->up && !f->broken;
	net_leave(enabled);
	return up;
}

static void print_all(void)
{
	bool enabled;
	struct netfront *f;

	if (on_its_way())
		iface_wait();
	enabled = net_enter();
	if (!netfront_get(0))
		printf("no interface\n");
	else
		printf("heap: %u pages\n", heap_pages());
	for (unsigned int i = 0; (f = netfront_get(i)) != NULL; i++)
		print_interface(f, iface_get(i));
	net_leave(enabled);
}

/* "10.0.2.15/24" and a gateway. */
static bool set_static(char *address, const char *gateway)
{
	char *slash = strchr(address, '/');
	unsigned long bits = slash ? strtoul(slash + 1, NULL, 10) : 24;
	ip4_addr_t a, g = {0};
	bool enabled, ok;

	if (slash)
		*slash = 0;
	if (bits > 32 || !ip4addr_aton(address, &a) || (gateway && !ip4addr_aton(gateway, &g)))
		return false;
	enabled = net_enter();
	ok = netif_default;
	if (ok)
		iface_static(netif_default, a.addr,
			     lwip_htonl((u32_t)(0xffffffff00000000ull >> bits)), g.addr);
	net_leave(enabled);
	return ok;
}

void net_command(int argc, char **argv)
{
	if (argc == 1)
		print_all();
	else if (argc >= 4 && !strcmp(argv[1], "bench"))
		net_bench(argv[2], argv[3], argc > 4 ? strtoul(argv[4], NULL, 0) : 64);
	else if (argc >= 3 && !strcmp(argv[1], "filter"))
		net_filter(argv[2]);
	else if (argc >= 3 && !strcmp(argv[1], "static"))
		printf("%s net static\n",
		       set_static(argv[2], argc > 3 ? argv[3] : NULL) ? "ok" : "FAIL");
	else
		printf("usage: net, net static ADDRESS/BITS [GATEWAY], net bench HOST PORT [MB],"
		       " net filter NAME\n");
}

/* Asks anew, and waits for what comes of it. */
void dhcp_command(int argc, char **argv)
{
	bool enabled = net_enter();
	struct netif *n = netif_default;

	if (n) {
		iface_static(n, 0, 0, 0);
		iface_dhcp(n);
	}
	net_leave(enabled);
	if (iface_wait()) {
		const ip4_addr_t *a = netif_ip4_addr(netif_default);

		printf("ok dhcp: %u.%u.%u.%u\n", ip4_addr1(a), ip4_addr2(a), ip4_addr3(a),
		       ip4_addr4(a));
	} else {
		printf("FAIL dhcp\n");
	}
}
