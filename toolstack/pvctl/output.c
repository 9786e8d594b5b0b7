/* SPDX-License-Identifier: MIT */
/* A file for a domain's process to write to: what trace and check have in common. */
#include "toolstack/pvctl/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "toolstack/pvctl/pvctl.h"
#include "toolstack/pvd/client.h"

/* What is behind the last KEY, which is cut off; NULL without one. */
static char *cut(char *spec, const char *key)
{
	char *at = NULL;

	for (char *p = spec; (p = strstr(p, key)); p++)
		at = p;
	if (!at)
		return NULL;
	*at = 0;
	return at + strlen(key);
}

static int open_empty(const char *path, const char *who)
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

void output_open(struct output_file *f, const struct output *of, const char *text)
{
	char *path = strdup(text), *value;

	if (!path)
		die("out of memory");
	value = cut(path, of->key);
	f->of = of;
	f->how = value ? of->how(value) : of->otherwise;
	f->fd = open_empty(path, of->name);
	free(path);
}

int output_begin(uint32_t domid, struct output_file *f)
{
	const int sock = pvd_connect();
	const long rc = sock < 0 ? -errno
				 : pvd_call(sock, f->of->request, (uint64_t[6]){domid, f->how},
					    NULL, 0, f->fd, NULL, 0, NULL, NULL);

	if (sock >= 0)
		close(sock);
	if (f->fd >= 0)
		close(f->fd);
	if (rc == -EOPNOTSUPP && f->of->not )
		return complain("domain %u %s", domid, f->of->not );
	if (rc < 0)
		return complain("domain %u has no %s: %s", domid, f->of->name, strerror(-rc));
	return 0;
}

int output_command(int argc, char **argv, const struct output *of)
{
	const bool asked = argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"));
	struct output_file f = {.of = of, .fd = -1};
	uint32_t domid;

	if (argc != 3 || *argv[1] == '-') {
		fputs(of->help, asked ? stdout : stderr);
		return asked ? 0 : 2;
	}
	connect_broker(false);
	domid = find_domain(argv[1]);
	if (!domid)
		die("domain 0 is the host itself: %s", of->host);
	if (strcmp(argv[2], "off"))
		output_open(&f, of, argv[2]);
	return output_begin(domid, &f) ? 1 : 0;
}
