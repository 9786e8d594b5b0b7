/* SPDX-License-Identifier: MIT */
/* pvctl check, and create --check: a domain's translator compares what it makes of guest code. */
#include <errno.h>
#include <stdlib.h>

#include "toolstack/pvctl/output.h"
#include "toolstack/pvctl/pvctl.h"
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

static uint64_t times_of(char *text)
{
	unsigned long n;
	char *end;

	errno = 0;
	n = strtoul(text, &end, 10);
	if (*end || *text < '0' || *text > '9' || !n || errno)
		die("check: times='%s' is not a number from 1 on", text);
	return n;
}

const struct output check_output = {
	.name = "check",
	.help = check_help,
	.key = ",times=",
	.how = times_of,
	.request = PVD_CHECK,
	.host = "no code of it is translated",
	.not = "is not translated: there is nothing to check; "
	       "`--provider translate` makes one that is",
};

int cmd_check(int argc, char **argv)
{
	return output_command(argc, argv, &check_output);
}
