/* SPDX-License-Identifier: MIT */
/* What block-* and network-* have in common. */
#include "toolstack/pvctl/devcmd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

static void usage_exit(const char *usage, int status)
{
	fprintf(status ? stderr : stdout, "Usage: pvctl %s\n", usage);
	exit(status);
}

struct args args_parse(int argc, char **argv, int min, int max, const char *options,
		       const char *usage)
{
	struct args a = {.at = argv + 1};

	for (int i = 1; i < argc; i++) {
		const bool known = strstr(options, argv[i]) != NULL;

		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
			usage_exit(usage, 0);
		} else if (!strcmp(argv[i], "--json") && known) {
			a.json = true;
		} else if (!strcmp(argv[i], "--force") && known) {
			a.force = true;
		} else if (!strcmp(argv[i], "--shrink") && known) {
			a.shrink = true;
		} else if (!strncmp(argv[i], "--", 2)) {
			fprintf(stderr, "pvctl: unknown option %s\n", argv[i]);
			usage_exit(usage, 2);
		} else {
			a.at[a.n++] = argv[i];
		}
	}
	if (a.n < min || a.n > max)
		usage_exit(usage, 2);
	return a;
}

uint32_t the_guest(const char *who)
{
	uint32_t domid;

	connect_broker(true);
	domid = find_domain(who);
	if (!domid)
		die("domain 0 is the host itself: it has no virtual devices");
	return domid;
}

uint32_t guest_to_change(const char *who)
{
	const uint32_t domid = the_guest(who);
	char path[160];
	int fd;

	domain_path(path, domid, "change");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	while (fd >= 0 && flock(fd, LOCK_EX) && errno == EINTR)
		;
	return domid; /* the lock goes with this process */
}

char *joined(char **words, int n)
{
	size_t size = 1;
	char *s;

	for (int i = 0; i < n; i++)
		size += strlen(words[i]) + 1;
	s = calloc(1, size);
	if (!s)
		die("out of memory");
	for (int i = 0; i < n; i++)
		strcat(strcat(s, i ? "," : ""), words[i]);
	return s;
}

long front_number(uint32_t domid, const char *type, uint32_t devid, const char *key)
{
	static const char *const forms[] = {"%s", "%s0", "queue-0/%s", "queue-0/%s0"};
	char name[40], *s = NULL;
	long n;

	for (unsigned i = 0; i < 4 && !s; i++) {
		snprintf(name, sizeof(name), forms[i], key);
		s = front_read(domid, type, devid, name);
	}
	n = s ? strtol(s, NULL, 10) : -1;
	free(s);
	return n;
}

int attach(uint32_t domid, const struct device *d)
{
	if (device_exists(domid, d->type, d->devid))
		return complain("domain %u has %s already; `pvctl %s-list %u` shows which", domid,
				d->name, strcmp(d->type, "vif") ? "block" : "network", domid);
	if (!device_add(domid, d) && !device_wait(domid, d))
		return 0;
	if (device_exists(domid, d->type, d->devid))
		device_remove(domid, d->type, d->devid, true);
	return -1;
}

static struct text_list *lines_of(struct config *c, const char *type)
{
	return strcmp(type, "vif") ? &c->disk : &c->vif;
}

void remember(uint32_t domid, const char *type, const char *line)
{
	struct config c;

	if (!config_load(&c, domid))
		return;
	list_add(lines_of(&c, type), line);
	if (!config_save(&c, domid))
		complain(
			"the device is there, but a reboot will not know of it: %s/domains cannot be "
			"written",
			rundir);
	config_free(&c);
}

/* One of the line's parts before target=, whose text is a file's name. */
static bool has_word(const char *line, const char *word)
{
	const size_t n = strlen(word);

	for (const char *p = line; strncmp(p, "target=", 7); p++) {
		const size_t len = strcspn(p, ",");

		if (len == n && !strncmp(p, word, n))
			return true;
		p += len;
		if (!*p)
			break;
	}
	return false;
}

void forget(uint32_t domid, const char *type, const char *word)
{
	struct text_list *l;
	struct config c;

	if (!config_load(&c, domid))
		return;
	l = lines_of(&c, type);
	for (unsigned i = 0; i < l->n; i++)
		if (has_word(l->at[i], word)) {
			list_remove(l, i);
			if (!config_save(&c, domid))
				complain("%s/domains cannot be written: a reboot will look for the "
					 "device again",
					 rundir);
			break;
		}
	config_free(&c);
}
