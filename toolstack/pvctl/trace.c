/* SPDX-License-Identifier: MIT */
/* pvctl trace, and create --trace: a file for the domain's process to say what its guest does. */
#include "toolstack/pvctl/pvctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hypercalls/pvdom/proto.h"
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

/* Behind the last `,what=`, which is cut off. */
static uint32_t kinds_of(char *spec)
{
	char *at = NULL, *word;
	uint32_t what = 0;

	for (char *p = spec; (p = strstr(p, ",what=")); p++)
		at = p;
	if (!at)
		return TRACE_ALL;
	*at = 0;
	at += strlen(",what=");
	while ((word = strsep(&at, "+")))
		what |= kind_of(word);
	return what;
}

int output_open(const char *path, const char *who)
{
	/* A pipe without a reader is an error, and does not keep us waiting. */
	const int fd =
		open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
	struct stat st;

	if (fd < 0)
		die("%s: %s; a %s needs a file that you may write", path, strerror(errno), who);
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		die("%s: not a file; a %s needs one that you may write", path, who);
	return fd;
}

void trace_open(struct trace_file *t, const char *text)
{
	char *path = strdup(text);

	if (!path)
		die("out of memory");
	t->what = kinds_of(path);
	t->fd = output_open(path, "trace");
	free(path);
}

long output_give(uint32_t request, uint32_t domid, uint64_t how, int fd)
{
	const int sock = pvd_connect();
	const long rc = sock < 0 ? -errno
				 : pvd_call(sock, request, (uint64_t[6]){domid, how}, NULL, 0, fd,
					    NULL, 0, NULL, NULL);

	if (sock >= 0)
		close(sock);
	if (fd >= 0)
		close(fd);
	return rc;
}

int trace_begin(uint32_t domid, struct trace_file *t)
{
	const long rc = output_give(PVD_TRACE, domid, t->what, t->fd);

	if (rc < 0)
		return complain("domain %u cannot be traced: %s", domid, strerror(-rc));
	return 0;
}

int cmd_trace(int argc, char **argv)
{
	const bool asked = argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"));
	struct trace_file t = {.fd = -1};
	uint32_t domid;

	if (argc != 3 || *argv[1] == '-') {
		fputs(trace_help, asked ? stdout : stderr);
		return asked ? 0 : 2;
	}
	connect_broker(false);
	domid = find_domain(argv[1]);
	if (!domid)
		die("domain 0 is the host itself: strace can trace its processes");
	if (strcmp(argv[2], "off"))
		trace_open(&t, argv[2]);
	return trace_begin(domid, &t) ? 1 : 0;
}
