/* SPDX-License-Identifier: MIT */
/* pvctl trace, and create --trace: a file for the domain's process to say what its guest does. */
#include <string.h>

#include "hypercalls/pvdom/proto.h"
#include "toolstack/pvctl/output.h"
#include "toolstack/pvctl/pvctl.h"
#include "toolstack/pvd/client.h"

static const char trace_help[] =
	"Usage: pvctl trace DOMAIN FILE[,what=KIND+KIND...]\n"
	"       pvctl trace DOMAIN off\n"
	"Write what a domain's guest does to FILE, a line each, until `off` or its end. What FILE had\n"
	"before is gone. Without what= all of it is written.\n\n"
	"  blocks    guest code as it is translated\n"
	"  exits     every time the translated code is left, and why\n"
	"  traps     exceptions, and software interrupts, that its kernel is given\n"
	"  flushes   the translator's TLB is emptied; another root of page tables\n\n"
	"A guest that is not translated has traps alone. A trace ends at 32 MiB.\n"
	"`pvctl create --trace FILE` begins with the first instruction.\n\n"
	"Example: pvctl trace demo /tmp/demo.trace,what=traps\n";

static const struct kind {
	const char *name;
	uint32_t bit;
} kinds[] = {
	{"blocks", TRACE_BLOCKS},
	{"exits", TRACE_EXITS},
	{"traps", TRACE_TRAPS},
	{"flushes", TRACE_FLUSHES},
};

static uint32_t kind_of(const char *name)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(name, kinds[i].name))
			return kinds[i].bit;
	die("trace: '%s' is not one of blocks, exits, traps, flushes", name);
}

static uint64_t kinds_of(char *names)
{
	uint64_t what = 0;
	char *word;

	while ((word = strsep(&names, "+")))
		what |= kind_of(word);
	return what;
}

const struct output trace_output = {
	.name = "trace",
	.help = trace_help,
	.key = ",what=",
	.how = kinds_of,
	.otherwise = TRACE_ALL,
	.request = PVD_TRACE,
	.host = "strace can trace its processes",
};

int cmd_trace(int argc, char **argv)
{
	return output_command(argc, argv, &trace_output);
}
