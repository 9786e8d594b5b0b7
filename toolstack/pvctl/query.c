/* SPDX-License-Identifier: MIT */
/* list, info, vcpu-list, dmesg, domid, domname, uptime. */
#include "toolstack/pvctl/pvctl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>
#include <xenctrl.h>

#include "toolstack/pvd/client.h"

static bool json;

/* Options that all of these take; the rest of argv is left behind argv[0]. */
static int options(int argc, char **argv, const char *usage)
{
	int n = 1;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--json")) {
			json = true;
		} else if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
			printf("Usage: pvctl %s\n", usage);
			exit(0);
		} else if (*argv[i] == '-' && argv[i][1]) {
			fprintf(stderr, "pvctl: unknown option %s\nUsage: pvctl %s\n", argv[i],
				usage);
			exit(2);
		} else {
			argv[n++] = argv[i];
		}
	}
	connect_broker(false);
	return n;
}

static void state(const xc_domaininfo_t *i, char s[7])
{
	const unsigned reason = (i->flags >> XEN_DOMINF_shutdownshift) & XEN_DOMINF_shutdownmask;

	s[0] = i->flags & XEN_DOMINF_running ? 'r' : '-';
	s[1] = i->flags & XEN_DOMINF_blocked ? 'b' : '-';
	s[2] = i->flags & XEN_DOMINF_paused ? 'p' : '-';
	s[3] = i->flags & XEN_DOMINF_shutdown ? 's' : '-';
	s[4] = i->flags & XEN_DOMINF_shutdown && reason == SHUTDOWN_crash ? 'c' : '-';
	s[5] = i->flags & XEN_DOMINF_dying ? 'd' : '-';
	s[6] = 0;
}

int cmd_list(int argc, char **argv)
{
	struct domain_row *rows;
	unsigned n, shown = 0;
	uint32_t only = ~0U;

	argc = options(argc, argv,
		       "list [--json] [DOMAIN]\nThe domains: state is r(unning) "
		       "b(locked) p(aused) s(hut down) c(rashed) d(ying).\n\n"
		       "Example: pvctl list --json");
	if (argc > 1)
		only = find_domain(argv[1]);
	n = domains(&rows);
	if (json)
		printf("[");
	else
		printf("%-32s %5s %6s %5s %7s %9s\n", "Name", "ID", "Mem", "VCPUs", "State",
		       "Time(s)");
	for (unsigned i = 0; i < n; i++) {
		const xc_domaininfo_t *d = &rows[i].info;
		unsigned long mib = d->tot_pages >> 8;
		char s[7];

		if (only != ~0U && d->domain != only)
			continue;
		state(d, s);
		if (!json) {
			printf("%-32s %5u %6lu %5u %7s %9.1f\n", rows[i].name, d->domain, mib,
			       d->nr_online_vcpus, s, d->cpu_time / 1e9);
			continue;
		}
		printf("%s\n  {\"domid\": %u, \"name\": ", shown++ ? "," : "", d->domain);
		json_string(rows[i].name);
		printf(", \"memory_mib\": %lu, \"vcpus\": %u, \"state\": \"%s\", "
		       "\"cpu_seconds\": %.3f}",
		       mib, d->nr_online_vcpus, s, d->cpu_time / 1e9);
	}
	if (json)
		printf("%s]\n", shown ? "\n" : "");
	free(rows);
	return 0;
}

/* `key : `, or what JSON has there. */
static void field_name(const char *key)
{
	static bool any;

	if (!json) {
		printf("%-20s : ", key);
		return;
	}
	printf("%s\n  ", any ? "," : "{");
	any = true;
	json_string(key);
	printf(": ");
}

static void field(const char *key, const char *value)
{
	field_name(key);
	if (json)
		json_string(value);
	else
		puts(value);
}

static void number(const char *key, unsigned long n)
{
	field_name(key);
	printf(json ? "%lu" : "%lu\n", n);
}

/* What no Xen interface tells: provider, sandbox, process. */
static void domain_stats(uint32_t domid)
{
	struct pvd_domain_stats st = {0};
	const uint64_t arg[6] = {domid};
	int sock = pvd_connect();

	if (sock < 0 ||
	    pvd_call(sock, PVD_DOMAIN_STATS, arg, NULL, 0, -1, &st, sizeof(st), NULL, NULL) < 0)
		return;
	close(sock);
	st.provider[sizeof(st.provider) - 1] = st.sandbox[sizeof(st.sandbox) - 1] = 0;
	st.why[sizeof(st.why) - 1] = 0;
	field("provider", st.provider);
	st.provider_why[sizeof(st.provider_why) - 1] = 0;
	if (*st.provider_why)
		field("not_vtx", st.provider_why);
	field("sandbox", st.sandbox);
	number("pid", st.pid);
	if (*st.why)
		field("crash", st.why);
}

/* Where its frame buffer is shown. */
static void vnc_info(uint32_t domid)
{
	char *port = store_read("/local/domain/%u/console/vnc-port", domid),
	     *address = store_read("/local/domain/%u/console/vnc-listen", domid), text[80];

	if (port && address) {
		snprintf(text, sizeof(text), "%.60s:%.8s", address, port);
		field("vnc", text);
	}
	free(port);
	free(address);
}

static void domain_info(uint32_t domid)
{
	xc_domaininfo_t d;
	char s[7], *name = store_read("/local/domain/%u/name", domid);

	if (!domain_alive(domid, &d))
		die("domain %u is gone", domid);
	state(&d, s);
	field("name", name ? name : "(no name)");
	number("domid", domid);
	field("state", s);
	number("memory_mib", d.tot_pages >> 8);
	number("vcpus", d.nr_online_vcpus);
	domain_stats(domid);
	vnc_info(domid);
	free(name);
}

static void host_info(void)
{
	xc_physinfo_t phys = {0};
	struct utsname u;
	struct domain_row *rows;

	uname(&u);
	if (xc_physinfo(xch, &phys))
		die("the broker does not answer: %s", strerror(errno));
	field("host", u.nodename);
	field("release", u.release);
	number("nr_cpus", phys.nr_cpus);
	number("total_memory_mib", phys.total_pages >> 8);
	number("free_memory_mib", phys.free_pages >> 8);
	field("xen_version", "4.17");
	field("providers", access("/dev/pvhost", R_OK | W_OK)
				   ? "process (direct, translated)"
				   : "vtx, process (direct, translated)");
	field("runtime_dir", rundir);
	number("domains", domains(&rows));
	free(rows);
}

int cmd_info(int argc, char **argv)
{
	argc = options(argc, argv,
		       "info [--json] [DOMAIN]\nThe host, or one domain: its provider, "
		       "its sandbox, its process.\n\n"
		       "Example: pvctl info demo");
	if (argc > 1)
		domain_info(find_domain(argv[1]));
	else
		host_info();
	if (json)
		printf("\n}\n");
	return 0;
}

int cmd_vcpu_list(int argc, char **argv)
{
	struct domain_row *rows;
	unsigned n, shown = 0;
	uint32_t only = ~0U;
	int rc = 0;

	argc = options(argc, argv,
		       "vcpu-list [--json] [DOMAIN]\nEvery virtual CPU.\n\n"
		       "Example: pvctl vcpu-list demo");
	if (argc > 1)
		only = find_domain(argv[1]);
	n = domains(&rows);
	if (json)
		printf("[");
	else
		printf("%-32s %5s %5s %5s %5s %9s\n", "Name", "ID", "VCPU", "CPU", "State",
		       "Time(s)");
	for (unsigned i = 0; i < n; i++) {
		if (only != ~0U && rows[i].info.domain != only)
			continue;
		for (unsigned v = 0; v <= rows[i].info.max_vcpu_id; v++) {
			xc_vcpuinfo_t vi;
			char s[4] = "---";

			if (xc_vcpu_getinfo(xch, rows[i].info.domain, v, &vi)) {
				if (errno == ESRCH) /* it has ended since */
					break;
				complain("domain %u: its virtual CPUs: %s", rows[i].info.domain,
					 errno == EIO ? "its process does not answer"
						      : strerror(errno));
				rc = 1;
				break;
			}
			s[0] = vi.running ? 'r' : '-';
			s[1] = vi.blocked ? 'b' : '-';
			s[2] = vi.online ? '-' : 'o';
			if (!json) {
				printf("%-32s %5u %5u %5u %5s %9.1f\n", rows[i].name,
				       rows[i].info.domain, v, vi.cpu, s, vi.cpu_time / 1e9);
				continue;
			}
			printf("%s\n  {\"domid\": %u, \"vcpu\": %u, \"state\": \"%s\", "
			       "\"cpu_seconds\": %.3f}",
			       shown++ ? "," : "", rows[i].info.domain, v, s, vi.cpu_time / 1e9);
		}
	}
	if (json)
		printf("%s]\n", shown ? "\n" : "");
	free(rows);
	return rc;
}

int cmd_dmesg(int argc, char **argv)
{
	char buf[16384];
	unsigned n = sizeof(buf);
	uint32_t index = 0;

	options(argc, argv,
		"dmesg\nThe broker's log, and what guests wrote to console_io.\n\n"
		"Example: pvctl dmesg | tail");
	while (!xc_readconsolering(xch, buf, &n, 0, 1, &index) && n) {
		fwrite(buf, 1, n, stdout);
		n = sizeof(buf);
	}
	return 0;
}

int cmd_domid(int argc, char **argv)
{
	argc = options(argc, argv, "domid NAME\nA domain's number.\n\nExample: pvctl domid demo");
	if (argc != 2) {
		fputs("Usage: pvctl domid NAME\n", stderr);
		return 2;
	}
	printf("%u\n", find_domain(argv[1]));
	return 0;
}

int cmd_domname(int argc, char **argv)
{
	char *name;

	argc = options(argc, argv, "domname DOMID\nA domain's name.\n\nExample: pvctl domname 1");
	if (argc != 2) {
		fputs("Usage: pvctl domname DOMID\n", stderr);
		return 2;
	}
	name = store_read("/local/domain/%u/name", find_domain(argv[1]));
	if (!name)
		die("domain %s has no name in the store", argv[1]);
	puts(name);
	free(name);
	return 0;
}

/* Seconds since the domain was made; of domain 0, since the host was. -1: nobody wrote it down. */
static long up_seconds(uint32_t domid)
{
	char *vm, *start;
	long up = -1;

	if (!domid) {
		struct timespec t;

		clock_gettime(CLOCK_BOOTTIME, &t);
		return t.tv_sec;
	}
	vm = store_read("/local/domain/%u/vm", domid);
	start = vm ? store_read("%s/start_time", vm) : NULL;
	if (start)
		up = time(NULL) - strtol(start, NULL, 10);
	free(vm);
	free(start);
	return up;
}

int cmd_uptime(int argc, char **argv)
{
	struct domain_row *rows;
	uint32_t only = ~0U;
	unsigned n, shown = 0;

	argc = options(argc, argv,
		       "uptime [--json] [DOMAIN]\nHow long each domain has been there.\n\n"
		       "Example: pvctl uptime demo");
	if (argc > 1)
		only = find_domain(argv[1]);
	n = domains(&rows);
	printf(json ? "[" : "%-32s %5s %s\n", "Name", "ID", "Uptime");
	for (unsigned i = 0; i < n; i++) {
		const uint32_t domid = rows[i].info.domain;
		const long up = up_seconds(domid);

		if (only != ~0U && domid != only)
			continue;
		if (json) {
			printf("%s\n  {\"domid\": %u, \"name\": ", shown++ ? "," : "", domid);
			json_string(rows[i].name);
			printf(", \"uptime_seconds\": %ld}", up);
			continue;
		}
		printf("%-32s %5u ", rows[i].name, domid);
		if (up < 0)
			puts("unknown");
		else if (up >= 86400)
			printf("%ld days, %2ld:%02ld:%02ld\n", up / 86400, up / 3600 % 24,
			       up / 60 % 60, up % 60);
		else
			printf("%ld:%02ld:%02ld\n", up / 3600, up / 60 % 60, up % 60);
	}
	if (json)
		printf("%s]\n", shown ? "\n" : "");
	free(rows);
	return 0;
}
