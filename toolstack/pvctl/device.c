/* SPDX-License-Identifier: MIT */
/* All of a config's devices: parsed, told apart by their numbers, shown. */
#include "toolstack/pvctl/device.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void node(struct nodes *to, const char *key, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (to->n == MAX_NODES || vasprintf(&to->at[to->n].value, fmt, ap) < 0)
		die("out of memory");
	va_end(ap);
	to->at[to->n++].key = key;
}

const char *node_value(const struct nodes *in, const char *key)
{
	for (unsigned i = 0; i < in->n; i++)
		if (!strcmp(in->at[i].key, key))
			return in->at[i].value;
	return NULL;
}

static void nodes_free(struct nodes *l)
{
	for (unsigned i = 0; i < l->n; i++)
		free(l->at[i].value);
	l->n = 0;
}

void device_free(struct device *d)
{
	nodes_free(&d->front);
	nodes_free(&d->back);
}

void devices_free(struct device_list *l)
{
	for (unsigned i = 0; i < l->n; i++)
		device_free(&l->at[i]);
	free(l->at);
	*l = (struct device_list){0};
}

static int same(const struct device *a, const struct device *b)
{
	const char *mac = node_value(&a->front, "mac"), *other = node_value(&b->front, "mac");

	if (strcmp(a->type, b->type))
		return 0;
	if (a->devid == b->devid)
		return complain(
			"%s and %s have the same number (%u); give one of them another name",
			a->name, b->name, a->devid);
	if (mac && !strcmp(mac, other))
		return complain("%s and %s have the same mac=%s", a->name, b->name, mac);
	return 0;
}

/* It becomes the list's, unless another there is in its way: a line and -1. */
static int append(struct device_list *l, const struct device *d)
{
	for (unsigned i = 0; i < l->n; i++)
		if (same(&l->at[i], d))
			return -1;
	l->at = realloc(l->at, (l->n + 1) * sizeof(*l->at));
	if (!l->at)
		die("out of memory");
	l->at[l->n++] = *d;
	return 0;
}

/* The devices of one line: how many, or -1 and a line. */
typedef int parser(const char *line, unsigned index, struct device d[2], char **spec);

static int disk_line(const char *line, unsigned index, struct device d[2], char **spec)
{
	return disk_parse(line, d, spec) ? -1 : 1;
}

static int vif_line(const char *line, unsigned index, struct device d[2], char **spec)
{
	return vif_parse(line, index, d, spec) ? -1 : 1;
}

static int vfb_line(const char *line, unsigned index, struct device d[2], char **spec)
{
	return vfb_parse(line, index, d, spec) ? -1 : 2;
}

static int p9_line(const char *line, unsigned index, struct device d[2], char **spec)
{
	return p9_parse(line, index, d, spec) ? -1 : 1;
}

static int parse_lines(struct text_list *lines, parser *parse, struct device_list *out)
{
	for (unsigned i = 0; i < lines->n; i++) {
		struct device d[2];
		char *spec;
		int n = parse(lines->at[i], i, d, &spec);

		if (n < 0)
			return -1;
		free(lines->at[i]);
		lines->at[i] = spec;
		for (int k = 0; k < n; k++)
			if (append(out, &d[k])) {
				while (k < n)
					device_free(&d[k++]);
				return -1;
			}
	}
	return 0;
}

int devices_of(struct config *c, struct device_list *out)
{
	*out = (struct device_list){0};
	if (!parse_lines(&c->disk, disk_line, out) && !parse_lines(&c->vif, vif_line, out) &&
	    !parse_lines(&c->vfb, vfb_line, out) && !parse_lines(&c->p9, p9_line, out))
		return 0;
	devices_free(out);
	return -1;
}

static void print_nodes(const char *name, const struct nodes *l)
{
	printf("\"%s\": {", name);
	for (unsigned i = 0; i < l->n; i++) {
		fputs(i ? ", " : "", stdout);
		json_string(l->at[i].key);
		fputs(": ", stdout);
		json_string(l->at[i].value);
	}
	putchar('}');
}

static void print_text(const char *key, const char *value)
{
	printf("  \"%s\": ", key);
	json_string(value);
	puts(",");
}

void devices_print(const struct config *c, const struct device_list *l)
{
	static const char *const programs[] = {"", "pvblk", "pvnet", "pvqemu"};

	puts("{");
	print_text("name", c->name);
	print_text("kernel", c->kernel);
	print_text("ramdisk", c->ramdisk);
	print_text("cmdline", c->cmdline);
	print_text("provider", c->provider);
	printf("  \"memory_mib\": %lu,\n  \"vcpus\": %lu,\n  \"devices\": [", c->memory, c->vcpus);
	for (unsigned i = 0; i < l->n; i++) {
		const struct device *d = &l->at[i];

		printf("%s\n    {\"type\": \"%s\", \"devid\": %u, \"served_by\": \"%s\",\n     ",
		       i ? "," : "", d->type, d->devid, programs[d->program]);
		printf("\"backend_type\": \"%s\", ", d->backend);
		print_nodes("backend", &d->back);
		printf(",\n     ");
		print_nodes("frontend", &d->front);
		putchar('}');
	}
	printf("%s]\n}\n", l->n ? "\n  " : "");
}
