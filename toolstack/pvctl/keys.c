/* SPDX-License-Identifier: MIT */
/* key=value,key=value: the lines of vif, vfb and p9. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "toolstack/pvctl/device.h"

static char *trim(char *s)
{
	size_t n;

	s += strspn(s, " \t");
	n = strlen(s);
	while (n && isspace((unsigned char)s[n - 1]))
		s[--n] = 0;
	return s;
}

static int unknown(const char *what, const struct key *keys, const char *name)
{
	char known[400] = "";

	for (const struct key *k = keys; k->name; k++) {
		strncat(known, k == keys ? "" : ", ", sizeof(known) - strlen(known) - 1);
		strncat(known, k->name, sizeof(known) - strlen(known) - 1);
	}
	return complain("%s: unknown key '%s'; there are: %s", what, name, known);
}

/* Values of a key that may be given again are put together in `joined`. */
static int one(const char *what, char *item, struct key *keys, char *joined)
{
	char *value = strchr(item, '=');
	struct key *k = keys;

	if (value)
		*value++ = 0;
	item = trim(item);
	for (; k->name && strcmp(k->name, item); k++)
		;
	if (!k->name)
		return unknown(what, keys, item);
	if (!value)
		return complain("%s: '%s' needs a value: %s=...", what, item, item);
	value = trim(value);
	if (k->value && !k->many)
		return complain("%s: '%s' is given twice", what, item);
	if (k->many) {
		strcat(strcat(joined, *joined ? " " : ""), value);
		value = joined;
	}
	k->value = value;
	return 0;
}

int keys_parse(const char *what, const char *line, struct key *keys, char **text)
{
	const size_t size = strlen(line) + 1;
	char *save = NULL, *item;

	*text = calloc(2, size); /* the line, and what is joined of it */
	if (!*text)
		return complain("out of memory");
	strcpy(*text, line);
	for (item = strtok_r(*text, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
		item = trim(item);
		if (*item && one(what, item, keys, *text + size))
			return -1;
	}
	return 0;
}

const char *key_value(const struct key *keys, const char *name)
{
	while (keys->name && strcmp(keys->name, name))
		keys++;
	return keys->name ? keys->value : NULL;
}

int key_bool(const char *what, const struct key *keys, const char *name, bool unset)
{
	const char *v = key_value(keys, name);

	if (!v || !*v)
		return unset;
	if (!strcmp(v, "1") || !strcmp(v, "yes") || !strcmp(v, "true"))
		return 1;
	if (!strcmp(v, "0") || !strcmp(v, "no") || !strcmp(v, "false"))
		return 0;
	return complain("%s: %s=%s: give 0 or 1", what, name, v);
}
