/* SPDX-License-Identifier: MIT */
/* A domain's config: xl.cfg syntax, read by libxlutil; the same form is kept for a restart. */
#include "toolstack/pvctl/pvctl.h"

#include <ctype.h>
#include <errno.h>
#include <libxlutil.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const strings[] = {"name",	     "kernel",	  "ramdisk",  "cmdline", "extra",
				      "on_poweroff", "on_reboot", "on_crash", "type"};
static const char *const numbers[] = {"memory", "maxmem", "vcpus", "maxvcpus"};
/* Keys of later versions: an empty value is fine. */
static const char *const lists[] = {"disk", "vif", "vfb"};

void config_default(struct config *c)
{
	*c = (struct config){.memory = 64,
			     .vcpus = 1,
			     .on_poweroff = "destroy",
			     .on_reboot = "restart",
			     .on_crash = "destroy"};
}

static bool among(const char *key, size_t len, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strlen(list[i]) == len && !strncmp(key, list[i], len))
			return true;
	return false;
}

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* libxlutil cannot list the keys it read: look at the lines' beginnings ourselves. */
static void check_keys(const char *path)
{
	FILE *f = fopen(path, "r");
	char line[4096];
	unsigned n = 0;

	if (!f)
		die("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), f)) {
		char *p = line + strspn(line, " \t");
		size_t len = strcspn(p, " \t=+\n#");
		char *eq = p + len + strspn(p + len, " \t");

		n++;
		if (!len || (!isalpha((unsigned char)*p) && *p != '_') || *eq != '=')
			continue;
		if (!among(p, len, strings, COUNT(strings)) &&
		    !among(p, len, numbers, COUNT(numbers)) && !among(p, len, lists, COUNT(lists)))
			die("%s:%u: unknown key '%.*s'; see pvctl(1) for those there are", path, n,
			    (int)len, p);
	}
	fclose(f);
}

static void get_string(XLU_Config *x, const char *key, char *to, size_t size)
{
	const char *s;

	if (xlu_cfg_get_string(x, key, &s, 1))
		return;
	if (strlen(s) >= size)
		die("%s is too long (at most %zu characters)", key, size - 1);
	strcpy(to, s);
}

static void get_number(XLU_Config *x, const char *key, unsigned long *to)
{
	long n;
	int rc = xlu_cfg_get_long(x, key, &n, 1);

	if (rc == ESRCH)
		return;
	if (rc || n < 0)
		die("%s must be a number", key);
	*to = n;
}

static void parse(struct config *c, XLU_Config *x)
{
	char type[16] = "pv";
	int n;

	get_string(x, "name", c->name, sizeof(c->name));
	get_string(x, "kernel", c->kernel, sizeof(c->kernel));
	get_string(x, "ramdisk", c->ramdisk, sizeof(c->ramdisk));
	get_string(x, "extra", c->cmdline, sizeof(c->cmdline));
	get_string(x, "cmdline", c->cmdline, sizeof(c->cmdline));
	get_string(x, "on_poweroff", c->on_poweroff, sizeof(c->on_poweroff));
	get_string(x, "on_reboot", c->on_reboot, sizeof(c->on_reboot));
	get_string(x, "on_crash", c->on_crash, sizeof(c->on_crash));
	get_string(x, "type", type, sizeof(type));
	get_number(x, "memory", &c->memory);
	get_number(x, "vcpus", &c->vcpus);
	if (strcmp(type, "pv"))
		die("type = \"%s\": only \"pv\" guests run here", type);
	for (size_t i = 0; i < COUNT(lists); i++)
		if (!xlu_cfg_get_list(x, lists[i], NULL, &n, 1) && n)
			die("%s: not supported by this version; leave it empty", lists[i]);
}

void config_read(struct config *c, const char *path)
{
	XLU_Config *x;
	FILE *quiet;
	char *report = NULL;
	size_t len;

	if (access(path, R_OK))
		die("%s: %s", path, strerror(errno));
	quiet = open_memstream(&report, &len);
	x = xlu_cfg_init(quiet, path);
	if (!quiet || !x)
		die("out of memory");
	if (xlu_cfg_readfile(x, path)) {
		fflush(quiet);
		report[strcspn(report, "\n")] = 0;
		die("%s", *report ? report : "cannot read the config file");
	}
	check_keys(path);
	parse(c, x);
	xlu_cfg_destroy(x);
	fclose(quiet);
	free(report);
}

void config_save(const struct config *c, uint32_t domid)
{
	char path[160];
	FILE *f;

	domain_path(path, domid, "cfg");
	f = fopen(path, "w");
	if (!f)
		die("%s: %s", path, strerror(errno));
	fprintf(f, "name = '%s'\nkernel = '%s'\nmemory = %lu\nvcpus = %lu\n", c->name, c->kernel,
		c->memory, c->vcpus);
	if (*c->ramdisk)
		fprintf(f, "ramdisk = '%s'\n", c->ramdisk);
	if (*c->cmdline)
		fprintf(f, "cmdline = '%s'\n", c->cmdline);
	fprintf(f, "on_poweroff = '%s'\non_reboot = '%s'\non_crash = '%s'\n", c->on_poweroff,
		c->on_reboot, c->on_crash);
	if (fclose(f))
		die("%s: %s", path, strerror(errno));
}

bool config_load(struct config *c, uint32_t domid)
{
	char path[160];

	domain_path(path, domid, "cfg");
	if (access(path, R_OK))
		return false;
	config_default(c);
	config_read(c, path);
	return true;
}
