/* SPDX-License-Identifier: MIT */
/* pvctl check, and create --check: a domain's translator compares what it makes of guest code. */
#include "toolstack/pvctl/pvctl.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "toolstack/pvd/client.h"

static const char check_help[] =
	"Usage: pvctl check DOMAIN FILE\n"
	"       pvctl check DOMAIN off\n"
	"Before a translated domain's guest runs a block of code, run it on copies of its memory,\n"
	"translated and one instruction at a time, and compare: registers, flags, x87, SSE and AVX\n"
	"state, memory, exceptions. At the first difference the domain is crashed, and FILE has the\n"
	"code, its translation, and what both made of the state before.\n\n"
	"Whenever the domain stands still, for its end or for `off`, FILE is told how much has been\n"
	"compared. The guest runs far slower meanwhile, and else as ever.\n"
	"`pvctl create --check FILE` begins with the first instruction; with -c or -w its exit status\n"
	"is 1 after a difference.\n\n"
	"Example: pvctl create --kernel build/guest/pv-guest --provider translate -c \\\n"
	"             --cmdline 'cmd=selftest;halt' --check /tmp/check\n";

int check_begin(uint32_t domid, int fd)
{
	const int sock = pvd_connect();
	long rc = sock < 0 ? -errno
			   : pvd_call(sock, PVD_CHECK, (uint64_t[6]){domid}, NULL, 0, fd, NULL, 0,
				      NULL, NULL);

	if (sock >= 0)
		close(sock);
	if (fd >= 0)
		close(fd);
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
	uint32_t domid;

	if (argc != 3 || *argv[1] == '-') {
		fputs(check_help, asked ? stdout : stderr);
		return asked ? 0 : 2;
	}
	connect_broker(false);
	domid = find_domain(argv[1]);
	if (!domid)
		die("domain 0 is the host itself: no code of it is translated");
	return check_begin(domid, strcmp(argv[2], "off") ? output_open(argv[2], "check") : -1) ? 1
											       : 0;
}
