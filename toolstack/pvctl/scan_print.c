/* SPDX-License-Identifier: MIT */
/* What pvctl scan found: a table for people, JSON, and a baseline for the next run. */
#include "toolstack/pvctl/pvctl.h"
#include "toolstack/pvctl/scan.h"

#include <inttypes.h>
#include <string.h>

#define WIDEST_WHERE 44
#define TEXT	     96

/* A file's names go to a terminal: no control characters, and ASCII only. */
static const char *clean(char *s)
{
	for (char *p = s; *p; p++)
		if (*p < 0x20 || *p == 0x7f)
			*p = '?';
	return s;
}

/* "function+0x1f", or "section+0x1f". */
static void place_of(const struct scan_finding *f, char *buf, size_t size)
{
	if (f->symbol)
		snprintf(buf, size, "%.*s+0x%" PRIx64, SCAN_NAME, f->symbol, f->symbol_offset);
	else
		snprintf(buf, size, "%.*s+0x%" PRIx64, SCAN_NAME, f->section, f->hit.offset);
	clean(buf);
}

void scan_symbol(const struct scan_finding *f, char *buf, size_t size)
{
	if (!f->symbol) {
		place_of(f, buf, size);
		return;
	}
	snprintf(buf, size, "%.*s", SCAN_NAME, f->symbol);
	clean(buf);
}

static void disassemble(const struct scan_finding *f, char buf[TEXT])
{
	ZydisDecoder decoder;
	ZydisFormatter formatter;
	ZydisDecodedInstruction i;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];

	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_ATT);
	if (ZYAN_FAILED(ZydisDecoderDecodeFull(&decoder, f->hit.bytes, f->hit.length, &i, op)) ||
	    ZYAN_FAILED(ZydisFormatterFormatInstruction(&formatter, &i, op, i.operand_count_visible,
							buf, TEXT, ZYDIS_RUNTIME_ADDRESS_NONE,
							NULL)))
		snprintf(buf, TEXT, "%s", f->hit.rule->name);
}

static void hex(const struct scan_finding *f, char buf[2 * ZYDIS_MAX_INSTRUCTION_LENGTH + 1])
{
	buf[0] = 0;
	for (unsigned i = 0; i < f->hit.length; i++)
		sprintf(buf + 2 * i, "%02x", f->hit.bytes[i]);
}

/* What Linux does with the place. */
static void alternative(const struct scan_finding *f, char *buf, size_t size)
{
	const struct scan_alt *a = f->alt;

	buf[0] = 0;
	if (!a)
		return;
	if (a->paravirt)
		snprintf(buf, size, "paravirt site: the kernel writes a call over it");
	else
		snprintf(buf, size, "%s CPU feature %u*32+%u%s",
			 a->inverted ? "alternative without" : "alternative for", a->feature / 32,
			 a->feature % 32,
			 f->fate == SCAN_PATCHED  ? ": replaced under Xen PV"
			 : f->fate == SCAN_UNUSED ? ": not used under Xen PV"
						  : "");
}

static const char *state(const struct scan_finding *f)
{
	if (f->accepted)
		return "accepted";
	return f->fate == SCAN_STAYS ? scan_severity_name(f->hit.rule->severity) : "patched";
}

static void line(const struct scan_finding *f, int where_width, bool verbose)
{
	char where[SCAN_NAME + 32], text[TEXT], bytes[2 * ZYDIS_MAX_INSTRUCTION_LENGTH + 1],
		alt[96];

	place_of(f, where, sizeof(where));
	if (!f->hit.rule) {
		printf("%-8s  %-*s  %" PRIu64 " bytes cannot be decoded\n", "-", where_width, where,
		       f->hit.run);
		return;
	}
	disassemble(f, text);
	hex(f, bytes);
	alternative(f, alt, sizeof(alt));
	printf("%-8s  ", state(f));
	if (verbose)
		printf("%016" PRIx64 "  ", f->address);
	printf("%-*s  %-10s  %-22s  %s", where_width, where, bytes, text, f->hit.rule->instead);
	printf(*alt ? "  [%s]\n" : "\n", alt);
}

/* Every rule that was met, worst first: how often, and what happens. */
static void legend(const struct scan_report *r)
{
	struct {
		const struct scan_rule *rule;
		size_t n;
	} met[SCAN_RULES];
	size_t rules = 0, k;

	for (size_t i = 0; i < r->n; i++) {
		const struct scan_finding *f = &r->list[i];

		if (!f->hit.rule || f->accepted || f->fate != SCAN_STAYS)
			continue;
		for (k = 0; k < rules && met[k].rule != f->hit.rule; k++)
			;
		if (k == rules && rules < SCAN_RULES) {
			met[rules].rule = f->hit.rule;
			met[rules++].n = 0;
		}
		met[k].n++;
	}
	for (int s = SCAN_SEVERITIES - 1; s >= 0; s--)
		for (k = 0; k < rules; k++)
			if ((int)met[k].rule->severity == s)
				printf("%6zu  %-8s  %-16s  %s\n", met[k].n, scan_severity_name(s),
				       met[k].rule->name, met[k].rule->fate);
}

void scan_print_table(const struct scan_report *r, const struct scan_style *style)
{
	int width = 8;

	for (size_t i = 0; i < r->n; i++) {
		char where[SCAN_NAME + 32];
		int n;

		place_of(&r->list[i], where, sizeof(where));
		n = strlen(where);
		width = n > width ? n : width;
	}
	width = width > WIDEST_WHERE ? WIDEST_WHERE : width;
	if (style->heading)
		printf("%s:\n", r->path);
	if (style->list && r->n) {
		printf("%-8s  ", "WHAT");
		if (style->verbose)
			printf("%-16s  ", "ADDRESS");
		printf("%-*s  %-10s  %-22s  %s\n", width, "WHERE", "BYTES", "INSTRUCTION",
		       "USE INSTEAD");
		for (size_t i = 0; i < r->n; i++)
			line(&r->list[i], width, style->verbose);
	}
	if (style->quiet)
		return;
	if (style->list && r->n)
		printf("\n");
	legend(r);
	if (r->left_out)
		printf("%zu more are counted and not listed\n", r->left_out);
	if (r->alts_unknown)
		printf(".altinstructions has a form that is not known: what Linux patches counts\n");
	for (int level = SCAN_SILENT; level >= (int)r->least; level--)
		printf("%zu %s%s", r->counts[level], scan_severity_name(level),
		       level > (int)r->least ? ", " : "; ");
	printf("%zu patched away under Xen PV, %zu accepted; %" PRIu64 " KiB of code, %" PRIu64
	       " bytes not decoded\n",
	       r->patched, r->accepted, r->code / 1024, r->undecoded);
}

static void json_field(const char *name, const char *value)
{
	printf(",\"%s\":", name);
	if (value)
		json_string(value);
	else
		printf("null");
}

static void json_finding(const struct scan_finding *f)
{
	char buf[SCAN_NAME + 32], text[TEXT], bytes[2 * ZYDIS_MAX_INSTRUCTION_LENGTH + 1];

	snprintf(buf, sizeof(buf), "%.*s", SCAN_NAME, f->section);
	printf("{\"address\":%" PRIu64 ",\"offset\":%" PRIu64, f->address, f->hit.offset);
	json_field("section", clean(buf));
	if (f->symbol)
		scan_symbol(f, buf, sizeof(buf));
	json_field("symbol", f->symbol ? buf : NULL);
	printf(",\"symbol_offset\":%" PRIu64, f->symbol_offset);
	if (!f->hit.rule) {
		printf(",\"severity\":null,\"undecoded\":%" PRIu64 "}", f->hit.run);
		return;
	}
	disassemble(f, text);
	hex(f, bytes);
	json_field("severity", scan_severity_name(f->hit.rule->severity));
	json_field("rule", f->hit.rule->name);
	json_field("bytes", bytes);
	json_field("instruction", text);
	json_field("fate", f->hit.rule->fate);
	json_field("instead", f->hit.rule->instead);
	printf(",\"accepted\":%s,\"patched\":%s,\"alternative\":", f->accepted ? "true" : "false",
	       f->fate == SCAN_STAYS ? "false" : "true");
	if (f->alt)
		printf("{\"feature\":%u,\"inverted\":%s,\"paravirt\":%s}}", f->alt->feature,
		       f->alt->inverted ? "true" : "false", f->alt->paravirt ? "true" : "false");
	else
		printf("null}");
}

void scan_print_json(const struct scan_report *r)
{
	printf("{\"image\":");
	json_string(r->path);
	json_field("kind", r->kind);
	for (int level = SCAN_SILENT; level >= (int)r->least; level--)
		printf(",\"%s\":%zu", scan_severity_name(level), r->counts[level]);
	printf(",\"patched\":%zu,\"accepted\":%zu,\"code\":%" PRIu64 ",\"undecoded\":%" PRIu64
	       ",\"left_out\":%zu,\"alternatives_unknown\":%s,\"findings\":[",
	       r->patched, r->accepted, r->code, r->undecoded, r->left_out,
	       r->alts_unknown ? "true" : "false");
	for (size_t i = 0; i < r->n; i++) {
		fputs(i ? ",\n" : "\n", stdout);
		json_finding(&r->list[i]);
	}
	printf("]}");
}

void scan_print_baseline(const struct scan_report *r)
{
	char symbol[SCAN_NAME + 32], last[SCAN_NAME + 32] = "";
	const struct scan_rule *last_rule = NULL;

	printf("# pvctl scan --baseline: %s\n", r->path);
	for (size_t i = 0; i < r->n; i++) {
		const struct scan_finding *f = &r->list[i];

		if (!f->hit.rule || f->fate != SCAN_STAYS)
			continue;
		scan_symbol(f, symbol, sizeof(symbol));
		if (f->hit.rule == last_rule && !strcmp(symbol, last))
			continue;
		printf("%s %s\n", symbol, f->hit.rule->name);
		strcpy(last, symbol);
		last_rule = f->hit.rule;
	}
}
