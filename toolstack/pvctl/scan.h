/* SPDX-License-Identifier: MIT */
/* pvctl scan: which instructions of an image cannot stay in ring 3 of a PV guest. */
#ifndef PAVANE_SCAN_H
#define PAVANE_SCAN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <Zydis/Zydis.h>

#include "toolstack/pvctl/elf_image.h"

/* From harmless to worst. */
enum severity { SCAN_NOTE, SCAN_EMULATED, SCAN_FAULTS, SCAN_SILENT, SCAN_SEVERITIES };

/* An instruction's fate in a guest kernel, and what takes its place. */
struct scan_rule {
	const char *name;
	enum severity severity;
	const char *fate;
	const char *instead;
};

#define SCAN_RULES 64 /* there are fewer */

/* scan_insn.c: the rule for a decoded instruction, NULL when it may stay. */
const struct scan_rule *scan_rule(const ZydisDecodedInstruction *i);
const char *scan_severity_name(enum severity s); /* "silent" */

/* scan_alt.c: places that Linux rewrites when it boots. */
enum scan_fate {
	SCAN_STAYS,   /* the kernel does not touch it, or we cannot know */
	SCAN_PATCHED, /* under Xen PV another instruction is written over it */
	SCAN_UNUSED,  /* a replacement that is not written under Xen PV */
};

struct scan_alt {
	uint32_t site_section, new_section;
	uint64_t site, new; /* offsets in those */
	unsigned site_len, new_len;
	unsigned feature; /* X86_FEATURE_*: word * 32 + bit */
	bool inverted;	  /* applies where the feature is not there */
	bool paravirt;	  /* a .parainstructions site: no replacement in the image */
};

struct scan_alts {
	struct scan_alt *by_site, *by_new; /* the same, sorted by one and by the other */
	size_t n;
	bool unknown; /* there are alternatives, in a form that we do not know */
};

/* False: out of memory. Free with scan_alts_free() in either case. */
bool scan_alts_read(struct scan_alts *a, const struct elf_image *e);
void scan_alts_free(struct scan_alts *a);
/* The alternative that a place belongs to (NULL: none), and what becomes of the place. */
const struct scan_alt *scan_alt_at(const struct scan_alts *a, uint32_t section, uint64_t offset,
				   enum scan_fate *fate);

/* scan_sweep.c */
struct scan_hit {
	uint32_t section;
	uint64_t offset; /* in the section */
	uint8_t bytes[ZYDIS_MAX_INSTRUCTION_LENGTH], length;
	const struct scan_rule *rule; /* NULL: `length` is 0, and `run` bytes are no code */
	uint64_t run;
	bool forced; /* CPUID behind Xen's forced-emulation prefix */
};

struct scan_sink {
	void (*hit)(void *ctx, const struct scan_hit *h);
	/* Now and then, with the bytes done and all there are. NULL: not wanted. */
	void (*progress)(void *ctx, uint64_t done, uint64_t all);
	void *ctx;
};

/* Decode every executable section from end to end, anew at every symbol. */
void scan_sweep(const struct elf_image *e, const struct scan_sink *sink);

/* scan_unpack.c: the ELF file in a bzImage, malloc'ed; NULL with a reason in `why`. */
uint8_t *scan_unpack(const uint8_t *file, size_t size, size_t *out_size, const char **why);

/* scan_allow.c: what was looked at and accepted, by symbol and instruction. */
struct scan_allow {
	struct scan_allowed {
		char *symbol, *insn; /* glob patterns; insn NULL: all */
	} * list;
	size_t n;
};

void scan_no_memory(void) __attribute__((noreturn)); /* a line, and exit status 2 */
void scan_allow_add(struct scan_allow *a, const char *symbol, const char *insn);
int scan_allow_read(struct scan_allow *a, const char *path); /* -1 with a line on stderr */
bool scan_allow_has(const struct scan_allow *a, const char *symbol, const char *insn);
void scan_allow_free(struct scan_allow *a);

struct scan_finding {
	struct scan_hit hit;
	const char *section, *symbol; /* NULL: unknown */
	uint64_t symbol_offset, address;
	const struct scan_alt *alt; /* NULL: none */
	enum scan_fate fate;
	bool accepted;
};

struct scan_report {
	const char *path, *kind; /* kind: "executable", "module", "bzImage" */
	struct scan_finding *list;
	size_t n, room;
	uint64_t code, undecoded; /* bytes */
	/* All that counts for the exit status, also where the list is too long to hold them. */
	size_t counts[SCAN_SEVERITIES], patched, accepted;
	enum severity least; /* what is less is not looked at, and its count means nothing */
	bool alts_unknown;
	size_t left_out;
};

/* scan_print.c: the places of a report, one per line, or as JSON, or as a baseline. */
struct scan_style {
	bool heading; /* name each image: there are several */
	bool list;    /* not only the summary */
	bool quiet;   /* no summary */
	bool verbose; /* addresses, and bytes that are no code */
};

#define SCAN_NAME 128 /* bytes of a name that are shown */
/* The function, or "section+0x1f" where no symbol is known. Printable whatever the file says. */
void scan_symbol(const struct scan_finding *f, char *buf, size_t size);
void scan_print_table(const struct scan_report *r, const struct scan_style *style);
void scan_print_json(const struct scan_report *r);
void scan_print_baseline(const struct scan_report *r);

#endif
