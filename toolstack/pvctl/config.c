/* SPDX-License-Identifier: MIT */
/* A domain's config: xl.cfg syntax, read by libxlutil; the same form is kept for a restart. */
#include "toolstack/pvctl/pvctl.h"

#include <ctype.h>
#include <errno.h>
#include <libxlutil.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const strings[] = {"name",  "kernel",      "ramdisk",   "cmdline",
				      "extra", "on_poweroff", "on_reboot", "on_crash",
				      "type",  "provider"};
static const char *const numbers[] = {"memory", "maxmem", "vcpus", "maxvcpus"};
static const char *const lists[] = {"disk", "vif", "vfb", "p9"};

void config_default(struct config *c)
{
	*c = (struct config){.memory = 64,
			     .vcpus = 1,
			     .provider = "auto",
			     .on_poweroff = "destroy",
			     .on_reboot = "restart",
			     .on_crash = "destroy"};
}

void list_add(struct text_list *l, const char *text)
{
	l->at = realloc(l->at, (l->n + 1) * sizeof(*l->at));
	if (!l->at || !(l->at[l->n] = strdup(text)))
		die("out of memory");
	l->n++;
}

void list_remove(struct text_list *l, unsigned i)
{
	free(l->at[i]);
	memmove(l->at + i, l->at + i + 1, (--l->n - i) * sizeof(*l->at));
}

static void list_free(struct text_list *l)
{
	while (l->n)
		free(l->at[--l->n]);
	free(l->at);
	l->at = NULL;
}

void config_free(struct config *c)
{
	list_free(&c->disk);
	list_free(&c->vif);
	list_free(&c->vfb);
	list_free(&c->p9);
}

static bool among(const char *key, size_t len, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strlen(list[i]) == len && !strncmp(key, list[i], len))
			return true;
	return false;
}

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void check_key(const char *path, unsigned line, const char *key, size_t len)
{
	if (!among(key, len, strings, COUNT(strings)) &&
	    !among(key, len, numbers, COUNT(numbers)) && !among(key, len, lists, COUNT(lists)))
		die("%s:%u: unknown key '%.*s'; see pvctl(1) for those there are", path, line,
		    (int)len, key);
}

/* To the end of a quoted string: its closing quote, or the terminating zero. */
static const char *skip_quoted(const char *p)
{
	const char quote = *p++;

	while (*p && *p != quote)
		p += *p == '\\' && p[1] ? 2 : 1;
	return p;
}

/* libxlutil cannot list the keys it read: find them in the text, whose syntax it has checked. */
static void check_text(const char *path, const char *p)
{
	unsigned line = 1, depth = 0;
	bool key_next = true;

	for (; *p; p++) {
		if (*p == '#') {
			p += strcspn(p, "\n");
			if (!*p)
				return;
		}
		if (*p == '\n')
			line++;
		if (*p == '[')
			depth++;
		if (*p == ']' && depth)
			depth--;
		if (*p == '"' || *p == '\'') {
			p = skip_quoted(p);
			if (!*p)
				return;
		} else if (!depth && (*p == '\n' || *p == ';')) {
			key_next = true;
		} else if (key_next && (isalpha((unsigned char)*p) || *p == '_')) {
			size_t len = strcspn(p, " \t=+\n;#");

			check_key(path, line, p, len);
			p += len - 1;
			key_next = false;
		}
	}
}

static void check_keys(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = NULL;
	size_t size = 0;

	if (!f)
		die("%s: %s", path, strerror(errno));
	if (getdelim(&text, &size, 0, f) > 0)
		check_text(path, text);
	free(text);
	fclose(f);
}

static void get_string(XLU_Config *x, const char *key, char *to, size_t size)
{
	const char *s;
	int rc = xlu_cfg_get_string(x, key, &s, 1);

	if (rc == ESRCH)
		return;
	if (rc)
		die("%s must be a string", key);
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

static void get_action(XLU_Config *x, const char *key, char *to, size_t size)
{
	get_string(x, key, to, size);
	if (strcmp(to, "destroy") && strcmp(to, "restart") && strcmp(to, "preserve"))
		die("%s = \"%s\": give \"destroy\", \"restart\" or \"preserve\"", key, to);
}

static void get_list(XLU_Config *x, const char *key, struct text_list *to)
{
	XLU_ConfigList *list;
	int n, rc = xlu_cfg_get_list(x, key, &list, &n, 1);

	if (rc == ESRCH)
		return;
	if (rc)
		die("%s must be a list: %s = [ '...', '...' ]", key, key);
	for (int i = 0; i < n; i++) {
		const char *text = xlu_cfg_get_listitem(list, i);

		if (!text)
			die("%s: its items must be strings: %s = [ '...', '...' ]", key, key);
		list_add(to, text);
	}
}

/* maxmem and maxvcpus are read, but a domain does not grow here. */
static void get_limit(XLU_Config *x, const char *key, const char *of, unsigned long now)
{
	unsigned long max = now;

	get_number(x, key, &max);
	if (max != now)
		die("%s = %lu: other than %s (%lu) is not supported by this version", key, max, of,
		    now);
}

static void parse(struct config *c, XLU_Config *x)
{
	char type[16] = "pv";

	get_string(x, "name", c->name, sizeof(c->name));
	get_string(x, "kernel", c->kernel, sizeof(c->kernel));
	get_string(x, "ramdisk", c->ramdisk, sizeof(c->ramdisk));
	get_string(x, "extra", c->cmdline, sizeof(c->cmdline));
	get_string(x, "cmdline", c->cmdline, sizeof(c->cmdline));
	get_string(x, "provider", c->provider, sizeof(c->provider));
	get_action(x, "on_poweroff", c->on_poweroff, sizeof(c->on_poweroff));
	get_action(x, "on_reboot", c->on_reboot, sizeof(c->on_reboot));
	get_action(x, "on_crash", c->on_crash, sizeof(c->on_crash));
	get_string(x, "type", type, sizeof(type));
	get_number(x, "memory", &c->memory);
	get_number(x, "vcpus", &c->vcpus);
	get_limit(x, "maxmem", "memory", c->memory);
	get_limit(x, "maxvcpus", "vcpus", c->vcpus);
	if (strcmp(type, "pv"))
		die("type = \"%s\": only \"pv\" guests run here", type);
	get_list(x, "disk", &c->disk);
	get_list(x, "vif", &c->vif);
	get_list(x, "vfb", &c->vfb);
	get_list(x, "p9", &c->p9);
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

/* In the quoting that libxlutil reads back to the same text. */
static void quote(FILE *f, const char *s)
{
	fputc('\'', f);
	for (; *s; s++) {
		if (*s == '\\' || *s == '\'')
			fputc('\\', f);
		if (*s == '\n')
			fputs("\\n", f);
		else
			fputc(*s, f);
	}
	fputc('\'', f);
}

static void put_string(FILE *f, const char *key, const char *s)
{
	fprintf(f, "%s = ", key);
	quote(f, s);
	fputc('\n', f);
}

static void put_list(FILE *f, const char *key, const struct text_list *l)
{
	fprintf(f, "%s = [ ", key);
	for (unsigned i = 0; i < l->n; i++) {
		fputs(i ? ", " : "", f);
		quote(f, l->at[i]);
	}
	fputs(" ]\n", f);
}

/* Whole or not at all: what was saved before may be all that a restart has. */
bool config_save(const struct config *c, uint32_t domid)
{
	char path[160], new[168];
	FILE *f;
	bool ok;
	int err;

	domain_path(path, domid, "cfg");
	snprintf(new, sizeof(new), "%s.new", path);
	f = fopen(new, "we");
	if (!f)
		return false;
	put_string(f, "name", c->name);
	put_string(f, "kernel", c->kernel);
	fprintf(f, "memory = %lu\nvcpus = %lu\n", c->memory, c->vcpus);
	put_string(f, "ramdisk", c->ramdisk);
	put_string(f, "cmdline", c->cmdline);
	put_string(f, "provider", c->provider);
	put_string(f, "on_poweroff", c->on_poweroff);
	put_string(f, "on_reboot", c->on_reboot);
	put_string(f, "on_crash", c->on_crash);
	put_list(f, "disk", &c->disk);
	put_list(f, "vif", &c->vif);
	put_list(f, "vfb", &c->vfb);
	put_list(f, "p9", &c->p9);
	ok = !ferror(f);
	ok = !fclose(f) && ok && !rename(new, path);
	err = errno;
	if (!ok)
		unlink(new);
	errno = err;
	return ok;
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

/* What a saved config says for a reason to end. It is asked at each end: without libxlutil. */
bool config_action(uint32_t domid, unsigned reason, char action[16])
{
	const char *key = reason == SHUTDOWN_poweroff ? "on_poweroff"
			  : reason == SHUTDOWN_reboot ? "on_reboot"
						      : "on_crash";
	char path[160], *line = NULL;
	const size_t n = strlen(key);
	bool found = false;
	size_t size = 0;
	FILE *f;

	domain_path(path, domid, "cfg");
	f = fopen(path, "re");
	if (!f)
		return false;
	while (!found && getline(&line, &size, f) > 0)
		found = !strncmp(line, key, n) && sscanf(line + n, " = '%15[a-z]'", action) == 1;
	free(line);
	fclose(f);
	return found;
}
