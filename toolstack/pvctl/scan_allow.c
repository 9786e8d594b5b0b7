/* SPDX-License-Identifier: MIT */
/* Findings that somebody has looked at: by function and instruction, from options and files. */
#include "toolstack/pvctl/pvctl.h"
#include "toolstack/pvctl/scan.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

void scan_no_memory(void)
{
	complain("out of memory");
	exit(2);
}

static char *copy(const char *s)
{
	char *p = strdup(s);

	if (!p)
		scan_no_memory();
	return p;
}

void scan_allow_add(struct scan_allow *a, const char *symbol, const char *insn)
{
	a->list = realloc(a->list, (a->n + 1) * sizeof(*a->list));
	if (!a->list)
		scan_no_memory();
	a->list[a->n].symbol = copy(symbol);
	a->list[a->n++].insn = insn ? copy(insn) : NULL;
}

int scan_allow_read(struct scan_allow *a, const char *path)
{
	FILE *f = fopen(path, "r");
	char *line = NULL, *rest;
	size_t room = 0;

	if (!f)
		return complain("%s: %s", path, strerror(errno));
	while (getline(&line, &room, f) >= 0) {
		char *symbol, *insn;

		line[strcspn(line, "#\n")] = 0;
		symbol = strtok_r(line, " \t", &rest);
		if (!symbol)
			continue;
		insn = strtok_r(NULL, "", &rest);
		if (insn) {
			insn += strspn(insn, " \t");
			for (size_t n = strlen(insn); n && strchr(" \t", insn[n - 1]); n--)
				insn[n - 1] = 0;
		}
		scan_allow_add(a, symbol, insn && *insn ? insn : NULL);
	}
	free(line);
	if (ferror(f)) {
		fclose(f);
		return complain("%s: cannot read it", path);
	}
	fclose(f);
	return 0;
}

bool scan_allow_has(const struct scan_allow *a, const char *symbol, const char *insn)
{
	for (size_t i = 0; i < a->n; i++)
		if (!fnmatch(a->list[i].symbol, symbol, 0) &&
		    (!a->list[i].insn || !fnmatch(a->list[i].insn, insn, 0)))
			return true;
	return false;
}

void scan_allow_free(struct scan_allow *a)
{
	for (size_t i = 0; i < a->n; i++) {
		free(a->list[i].symbol);
		free(a->list[i].insn);
	}
	free(a->list);
	*a = (struct scan_allow){0};
}
