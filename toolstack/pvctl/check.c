/* SPDX-License-Identifier: MIT */
/* pvctl check, and create --check: a domain's translator compares what it makes of guest code. */
#include "toolstack/pvctl/pvctl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "toolstack/pvd/client.h"

static const char check_help[] =
	"Usage: pvctl check DOMAIN FILE[,times=N]\n"
	"       pvctl check DOMAIN off\n"
	"Before the guest of a translated domain runs a block of code, run it on copies of its\n"
	"memory, translated and one instruction at a time, and compare: registers, flags, x87, SSE\n"
	"and AVX state, memory, exceptions. At the first difference the domain is crashed, and FILE\n"
	"has the code, its translation, and what both made of the state before. With times= a block\n"
	"is compared only the first N times that it runs.\n\n"
	"When the domain stands still, for its end or for somebody, and at `off`, FILE is told how\n"
	"much has been compared. The guest is far slower meanwhile, and else runs as ever.\n"
	"`pvctl create --check FILE` begins with the first instruction; with -c or -w its exit status\n"
	"is 1 after a difference.\n\n"
	"Example: pvctl create --kernel build/guest/pv-guest --provider translate -c \\\n"
	"             --cmdline 'cmd=selftest;halt' --check /tmp/check\n";

/* Behind the last `,times=`, which is cut off. */
static uint64_t times_of(char *spec)
{
	char *at = NULL, *end;
	unsigned long n;

	for (char *p = spec; (p = strstr(p, ",times=")); p++)
		at = p;
	if (!at)
		return 0;
	*at = 0;
	at += strlen(",times=");
	errno = 0;
	n = strtoul(at, &end, 10);
	if (*end || *at < '0' || *at > '9' || !n || errno)
		die("check: times='%s' is not a number from 1 on", at);
	return n;
}

void check_open(struct check_file *f, const char *text)
{
	char *path = strdup(text);

	if (!path)
		die("out of memory");
	f->times = times_of(path);
	f->fd = output_open(path, "check");
	free(path);
}

int check_begin(uint32_t domid, struct check_file *f)
{
	const long rc = output_give(PVD_CHECK, domid, f->times, f->fd);

	if (rc == -EOPNOTSUPP)
		return complain("domain %u is not translated: there is nothing to check; "
				"`--provider translate` makes one that is",
				domid);
	if (rc < 0)
		return complain("domain %u cannot be checked: %s", domid, strerror(-rc));
	return 0;
}

int cmd_check(int argc, char **argv)
{
	const bool asked = argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"));
	struct check_file f = {.fd = -1};
	uint32_t domid;

	if (argc != 3 || *argv[1] == '-') {
		fputs(check_help, asked ? stdout : stderr);
		return asked ? 0 : 2;
	}
	connect_broker(false);
	domid = find_domain(argv[1]);
	if (!domid)
		die("domain 0 is the host itself: no code of it is translated");
	if (strcmp(argv[2], "off"))
		check_open(&f, argv[2]);
	return check_begin(domid, &f) ? 1 : 0;
}
