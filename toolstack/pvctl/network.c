/* SPDX-License-Identifier: MIT */
/* network-attach, network-detach, network-list. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "toolstack/pvctl/devcmd.h"

#define NO_VIF ~0U

/* The interface of this number or MAC, or NO_VIF. */
static uint32_t find_vif(uint32_t domid, const char *word)
{
	uint32_t *devid, found = NO_VIF;
	const unsigned n = device_numbers(domid, "vif", &devid);

	for (unsigned i = 0; i < n; i++) {
		char *mac = back_read(domid, "vif", devid[i], "mac"), number[12];

		snprintf(number, sizeof(number), "%u", devid[i]);
		if (!strcmp(word, number) || (mac && !strcasecmp(word, mac)))
			found = devid[i];
		free(mac);
	}
	free(devid);
	return found;
}

static unsigned first_free(uint32_t domid)
{
	unsigned n = 0;

	while (device_exists(domid, "vif", n))
		n++;
	return n;
}

int cmd_network_attach(int argc, char **argv)
{
	struct args a = args_parse(
		argc, argv, 1, 32, "",
		"network-attach DOMAIN [KEY=VALUE...]\nGive a running domain a network interface. Keys "
		"are those of vif = [...]:\nmac, mode (slirp, tap, bridge), host, hostfwd, bridge, "
		"vifname, rate, mtu, ip, devid.\n\n"
		"Example: pvctl network-attach demo hostfwd=tcp:127.0.0.1:2222-:22");
	const uint32_t domid = guest_to_change(a.at[0]);
	char *line = joined(a.at + 1, a.n - 1), *spec;
	struct device d;
	int rc;

	rc = vif_parse(line, first_free(domid), &d, &spec);
	free(line);
	if (rc)
		return 1;
	if (find_vif(domid, node_value(&d.front, "mac")) != NO_VIF)
		rc = complain("%s: domain %u has an interface with this mac= already", d.name,
			      domid);
	else
		rc = attach(domid, &d);
	if (!rc)
		remember(domid, "vif", spec);
	device_free(&d);
	free(spec);
	return rc ? 1 : 0;
}

/* The same; dies with a line if there is none. */
static uint32_t the_vif(uint32_t domid, const char *word)
{
	const uint32_t found = find_vif(domid, word);

	if (found == NO_VIF)
		die("domain %u has no network interface '%s'; `pvctl network-list %u` shows numbers "
		    "and MACs",
		    domid, word, domid);
	return found;
}

int cmd_network_detach(int argc, char **argv)
{
	struct args a = args_parse(
		argc, argv, 2, 2, "--force",
		"network-detach DOMAIN DEVID|MAC [--force]\nTake a network interface away from a "
		"running domain: it is asked to let go first.\n--force does not wait for that.\n\n"
		"Example: pvctl network-detach demo 0");
	const uint32_t domid = guest_to_change(a.at[0]), devid = the_vif(domid, a.at[1]);
	char word[24];

	if (device_remove(domid, "vif", devid, a.force))
		return 1;
	snprintf(word, sizeof(word), "devid=%u", devid);
	forget(domid, "vif", word);
	return 0;
}

static void print(const char *key, char *value, bool json)
{
	if (json) {
		printf(", \"%s\": ", key);
		json_string(value ? value : "");
	}
	free(value);
}

static void row(uint32_t domid, uint32_t devid, bool json, bool first)
{
	char *mac = back_read(domid, "vif", devid, "mac"),
	     *state = back_read(domid, "vif", devid, "state"),
	     *mode = back_read(domid, "vif", devid, "mode");
	long port = front_number(domid, "vif", devid, "event-channel-tx");

	if (port < 0)
		port = front_number(domid, "vif", devid, "event-channel");
	if (json)
		printf("%s\n  {\"devid\": %u, \"state\": %lu", first ? "" : ",", devid,
		       state ? strtoul(state, NULL, 10) : 0);
	else
		printf("%-3u %-2d %-17s %-6u %-5s %-6s %-6ld %5ld/%-11ld "
		       "/local/domain/0/backend/vif/%u/%u\n",
		       devid, 0, mac ? mac : "?", devid, state ? state : "?", mode ? mode : "?",
		       port, front_number(domid, "vif", devid, "tx-ring-ref"),
		       front_number(domid, "vif", devid, "rx-ring-ref"), domid, devid);
	print("mac", mac, json);
	print("mode", mode, json);
	print("hostfwd", back_read(domid, "vif", devid, "hostfwd"), json);
	print("bridge", back_read(domid, "vif", devid, "bridge"), json);
	print("ifname", back_read(domid, "vif", devid, "ifname"), json);
	if (json)
		putchar('}');
	free(state);
}

int cmd_network_list(int argc, char **argv)
{
	struct args a =
		args_parse(argc, argv, 1, 1, "--json",
			   "network-list DOMAIN [--json]\nIts network interfaces. State 4 is "
			   "connected, 2 waits for the guest, 6 is closed.\n\n"
			   "Example: pvctl network-list demo");
	const uint32_t domid = the_guest(a.at[0]);
	uint32_t *devid;
	const unsigned n = device_numbers(domid, "vif", &devid);

	if (a.json)
		putchar('[');
	else
		printf("%-3s %-2s %-17s %-6s %-5s %-6s %-6s %-17s %s\n", "Idx", "BE", "Mac Addr.",
		       "handle", "state", "mode", "evt-ch", "tx-/rx-ring-ref", "BE-path");
	for (unsigned i = 0; i < n; i++)
		row(domid, devid[i], a.json, !i);
	if (a.json)
		printf("%s]\n", n ? "\n" : "");
	free(devid);
	return 0;
}
