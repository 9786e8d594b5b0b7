/* SPDX-License-Identifier: MIT */
/*
 * A line of vif = [...]: xl-network-configuration(5), and mode=, host= and hostfwd= of ours.
 *
 * mode=slirp, the default, needs no privileges: the guest's packets leave as the host user's own
 * connections. mode=tap and mode=bridge are network interfaces of the host.
 */
#include <ctype.h>
#include <errno.h>
#include <libxlutil.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "toolstack/pvctl/device.h"
#include "toolstack/pvd/client.h"

#define MAX_VIFS 64

struct mac {
	uint8_t b[6];
};

static bool mac_parse(const char *s, struct mac *m)
{
	unsigned b[6];
	int n = -1;

	if (sscanf(s, "%2x:%2x:%2x:%2x:%2x:%2x%n", b, b + 1, b + 2, b + 3, b + 4, b + 5, &n) != 6 ||
	    n != 17 || s[n])
		return false;
	for (int i = 0; i < 6; i++)
		m->b[i] = b[i];
	return true;
}

/* Of its own if the line names none: in the space of Xen's vendor number. -1 and a line. */
static int mac_of(const struct key *keys, struct mac *m)
{
	const char *s = key_value(keys, "mac");

	if (!s || !*s) {
		*m = (struct mac){{0x00, 0x16, 0x3e}};
		if (getrandom(m->b + 3, 3, 0) != 3)
			return complain("no random numbers for a MAC: %s", strerror(errno));
		m->b[3] &= 0x7f;
		return 0;
	}
	if (!mac_parse(s, m))
		return complain("vif: mac=%s: six pairs of hexadecimal digits, as in "
				"00:16:3e:12:34:56",
				s);
	if (m->b[0] & 1)
		return complain("vif: mac=%s is a group's address: its first number must be even",
				s);
	return 0;
}

static bool dotted(const char *s, size_t n)
{
	unsigned part = 0, digits = 0, dots = 0;

	for (size_t i = 0; i <= n; i++) {
		if (i < n && isdigit((unsigned char)s[i])) {
			part = part * 10 + s[i] - '0';
			if (++digits > 3 || part > 255)
				return false;
		} else if (!digits || (i < n && s[i] != '.')) {
			return false;
		} else {
			dots += i < n;
			part = digits = 0;
		}
	}
	return dots == 3;
}

/* ADDRESS:PORT, where the address may be left out. */
static bool address_port(const char *s, size_t n)
{
	const char *colon = memchr(s, ':', n);
	unsigned long port = 0;

	if (!colon || (colon != s && !dotted(s, colon - s)))
		return false;
	for (const char *p = colon + 1; p < s + n; p++) {
		if (!isdigit((unsigned char)*p))
			return false;
		port = port * 10 + *p - '0';
		if (port > 65535)
			return false;
	}
	return port > 0;
}

/* tcp:[HOST]:PORT-[GUEST]:PORT */
static bool forward(const char *s, size_t n)
{
	const char *dash = memchr(s, '-', n), *host = s + 4;

	return n > 4 && (!strncmp(s, "tcp:", 4) || !strncmp(s, "udp:", 4)) && dash && dash > host &&
	       address_port(host, dash - host) && address_port(dash + 1, s + n - dash - 1);
}

static int check_forwards(const char *list)
{
	for (const char *p = list; p && *p;) {
		const size_t n = strcspn(p, " ");

		if (!forward(p, n))
			return complain("vif: hostfwd=%.*s: give "
					"tcp:[HOST-ADDRESS]:PORT-[GUEST-ADDRESS]:PORT or udp:..., "
					"as in tcp:127.0.0.1:8080-:80",
					(int)n, p);
		p += n + strspn(p + n, " ");
	}
	return 0;
}

/* Bytes per second, by xl's own parser. */
static int rate_of(const char *text, unsigned long *rate)
{
	libxl_device_nic nic;
	char *report = NULL;
	size_t len;
	FILE *f = open_memstream(&report, &len);
	XLU_Config *x = f ? xlu_cfg_init(f, "vif") : NULL;
	int rc;

	if (!x)
		die("out of memory");
	libxl_device_nic_init(&nic);
	rc = xlu_vif_parse_rate(x, text, &nic);
	*rate = nic.rate_interval_usecs
			? nic.rate_bytes_per_interval * 1000000 / nic.rate_interval_usecs
			: 0;
	libxl_device_nic_dispose(&nic);
	xlu_cfg_destroy(x);
	fclose(f);
	free(report);
	if (rc || !*rate)
		return complain("vif: rate=%s: give it as 10Mb/s, 250KB/s or 1MB/s@20ms", text);
	return 0;
}

static int refuse_foreign(const struct key *keys)
{
	const char *backend = key_value(keys, "backend");

	if (key_value(keys, "script"))
		return complain("vif: script=: hotplug scripts are not run here; mode=bridge with "
				"bridge=NAME puts the interface into a bridge by itself");
	if (key_value(keys, "gatewaydev") || key_value(keys, "netdev"))
		return complain("vif: gatewaydev=: routed set-ups need a script; give mode=tap and "
				"route to that interface");
	if (backend && strcmp(backend, "0") && strcmp(backend, "Domain-0"))
		return complain("vif: backend=%s: backends run in domain 0 only", backend);
	if (key_value(keys, "model") || key_value(keys, "type"))
		complain("vif: model= and type= are for emulated cards; a PV guest has none "
			 "(ignored)");
	return 0;
}

/* What mode= says, or what the other keys imply. NULL and a line. */
static const char *mode_of(const struct key *keys)
{
	const char *mode = key_value(keys, "mode"), *bridge = key_value(keys, "bridge");

	if (!mode || !*mode)
		mode = bridge ? "bridge" : "slirp";
	if (strcmp(mode, "slirp") && strcmp(mode, "tap") && strcmp(mode, "bridge")) {
		complain("vif: mode=%s: give slirp (needs no privileges), tap or bridge", mode);
		return NULL;
	}
	if (bridge && strcmp(mode, "bridge")) {
		complain("vif: bridge= needs mode=bridge, not mode=%s", mode);
		return NULL;
	}
	if (key_value(keys, "vifname") && !strcmp(mode, "slirp")) {
		complain("vif: vifname= is a host interface's name: give mode=tap or mode=bridge");
		return NULL;
	}
	if (key_value(keys, "host") && strcmp(mode, "slirp")) {
		complain("vif: host= is for mode=slirp; what a guest on a %s reaches is the "
			 "host's firewall's to say",
			 mode);
		return NULL;
	}
	if (key_value(keys, "hostfwd") && strcmp(mode, "slirp")) {
		complain("vif: hostfwd= is for mode=slirp; a guest on a %s is reached directly",
			 mode);
		return NULL;
	}
	return mode;
}

static int interface_name(const char *what, const char *name)
{
	if (name && (!*name || strlen(name) >= IF_NAMESIZE || strpbrk(name, "/ \t:")))
		return complain("vif: %s=%s: a network interface's name has 1 to %d characters",
				what, name, IF_NAMESIZE - 1);
	return 0;
}

static int number_of(const struct key *keys, const char *name, unsigned long low,
		     unsigned long high, unsigned long *n)
{
	const char *s = key_value(keys, name);
	char *end;

	if (!s)
		return 0;
	*n = strtoul(s, &end, 10);
	if (!isdigit((unsigned char)*s) || *end || *n < low || *n > high)
		return complain("vif: %s=%s: a number from %lu to %lu", name, s, low, high);
	return 0;
}

static void add(char **spec, const char *name, const char *value)
{
	char *s;

	if (!value)
		return;
	if (asprintf(&s, "%s%s%s=%s", *spec ? *spec : "", *spec ? "," : "", name, value) < 0)
		die("out of memory");
	free(*spec);
	*spec = s;
}

static int understand(const struct key *keys, unsigned index, struct device *d, char **spec)
{
	const char *mode, *bridge = key_value(keys, "bridge"), *rate_text = key_value(keys, "rate"),
			  *ifname = key_value(keys, "vifname"), *fwd = key_value(keys, "hostfwd");
	unsigned long devid = index, mtu = 0, rate = 0;
	const int host = key_bool("vif", keys, "host", true);
	struct mac m = {{0}};
	char mac[18];

	mode = mode_of(keys);
	if (!mode || host < 0 || refuse_foreign(keys) || mac_of(keys, &m) || check_forwards(fwd) ||
	    interface_name("bridge", bridge) || interface_name("vifname", ifname) ||
	    number_of(keys, "devid", 0, MAX_VIFS - 1, &devid) ||
	    number_of(keys, "mtu", 68, 65535, &mtu) || (rate_text && rate_of(rate_text, &rate)))
		return -1;
	if (!strcmp(mode, "bridge") && !bridge)
		return complain("vif: mode=bridge: which one? add bridge=NAME");
	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", m.b[0], m.b[1], m.b[2], m.b[3],
		 m.b[4], m.b[5]);
	d->type = d->backend = "vif";
	d->devid = devid;
	d->program = PVD_BACKEND_NET;
	snprintf(d->name, sizeof(d->name), "vif %lu", devid);
	node(&d->back, "handle", "%lu", devid);
	node(&d->back, "mac", "%s", mac);
	node(&d->back, "mode", "%s", mode);
	node(&d->back, "rate", "%lu", rate);
	if (fwd && *fwd)
		node(&d->back, "hostfwd", "%s", fwd);
	if (!host)
		node(&d->back, "host", "0");
	if (bridge)
		node(&d->back, "bridge", "%s", bridge);
	if (ifname)
		node(&d->back, "ifname", "%s", ifname);
	if (key_value(keys, "ip"))
		node(&d->back, "ip", "%s", key_value(keys, "ip"));
	if (mtu)
		node(&d->back, "mtu", "%lu", mtu);
	node(&d->front, "handle", "%lu", devid);
	node(&d->front, "mac", "%s", mac);
	if (mtu)
		node(&d->front, "mtu", "%lu", mtu);
	add(spec, "mac", mac);
	add(spec, "mode", mode);
	for (const struct key *k = keys; k->name; k++)
		if (strcmp(k->name, "mac") && strcmp(k->name, "mode") && strcmp(k->name, "model") &&
		    strcmp(k->name, "type") && strcmp(k->name, "devid"))
			add(spec, k->name, k->value);
	snprintf(mac, sizeof(mac), "%lu", devid);
	add(spec, "devid", mac);
	return 0;
}

int vif_parse(const char *line, unsigned index, struct device *d, char **spec)
{
	struct key keys[] = {{.name = "mac"},
			     {.name = "bridge"},
			     {.name = "ip"},
			     {.name = "model"},
			     {.name = "type"},
			     {.name = "vifname"},
			     {.name = "rate"},
			     {.name = "script"},
			     {.name = "backend"},
			     {.name = "devid"},
			     {.name = "mtu"},
			     {.name = "gatewaydev"},
			     {.name = "netdev"},
			     {.name = "mode"},
			     {.name = "host"},
			     {.name = "hostfwd", .many = true},
			     {0}};
	char *text;
	int rc;

	memset(d, 0, sizeof(*d));
	*spec = NULL;
	rc = keys_parse("vif", line, keys, &text);
	if (!rc)
		rc = understand(keys, index, d, spec);
	free(text);
	if (rc)
		device_free(d);
	return rc;
}
