/* SPDX-License-Identifier: MIT */
/* pv-guest: a small PV kernel with a shell. */
#include <pv/disk.h>
#include <pv/mm.h>
#include <pv/netfront.h>
#include <pv/process.h>
#include <pv/time.h>
#include <pv/xenbus.h>
#include <pv/xenstore.h>
#include "kernel.h"

#define DEVICES_PATIENCE (60 * SEC)

const char *xen_version_string(void)
{
	static char text[XEN_EXTRAVERSION_LEN + 16];
	xen_extraversion_t extra = "";
	long v = HYPERVISOR_xen_version(XENVER_version, NULL);

	HYPERVISOR_xen_version(XENVER_extraversion, extra);
	extra[sizeof(extra) - 1] = 0;
	snprintf(text, sizeof(text), "%ld.%ld%s", v >> 16, v & 0xffff, extra);
	return text;
}

/* The rest of the command line after "word", or NULL. Words are separated by spaces. */
static const char *option(const char *word)
{
	const char *line = (const char *)start_info->cmd_line;
	size_t n = strlen(word);

	for (const char *p = line; (p = strstr(p, word)) != NULL; p += n)
		if (p == line || p[-1] == ' ')
			return p + n;
	return NULL;
}

static bool word(const char *text)
{
	const char *rest = option(text);

	return rest && (!*rest || *rest == ' ');
}

int guest_main(void)
{
	const char *rest;
	char line[1024];

	printf("pv-guest: " PV_GUEST_VERSION " on Xen %s, %s, %lu MiB\n", xen_version_string(),
	       is_initial_domain() ? "initial domain" : "guest domain",
	       start_info->nr_pages >> (20 - PAGE_SHIFT));
	mm_init();
	threads_init();
	process_init();
	smp_init();
	xenstore_init();
	xenbus_init();
	blkfront_init();
	edit_init();
	upcalls_enable();

	if (word("selftest")) {
		selftest_run();
		return 0;
	}
	if (word("usertest")) {
		usertest_run();
		return 0;
	}
	power_init();
	netfront_init();
	xenbus_wait(DEVICES_PATIENCE); /* the first command finds what is there */
	rest = option("cmd=");
	if (rest) {
		strlcpy(line, rest, sizeof(line));
		shell_command(line);
	}
	shell_run();
}
