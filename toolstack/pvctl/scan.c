/* SPDX-License-Identifier: MIT */
/* pvctl scan: every instruction of an image that a PV guest's kernel cannot keep. */
#include "toolstack/pvctl/pvctl.h"
#include "toolstack/pvctl/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BZ_MAGIC  0x202	  /* "HdrS" (Linux Documentation/x86/boot.rst) */
#define MOST	  1000000 /* findings that are held */
#define UNTIL_SAY 1	  /* seconds before a progress line */

static const char scan_help[] =
	"Usage: pvctl scan [OPTIONS] IMAGE...\n"
	"List the instructions of a kernel or module (ELF or bzImage, x86-64) that cannot stay in a\n"
	"Xen PV guest, where they are, what becomes of them, and what to use instead.\n\n"
	"  silent    does something else, without a fault      faults   #GP or #UD\n"
	"  emulated  works, at the price of a trap             note     works, with a difference\n\n"
	"  --severity LEVEL   show and count LEVEL and worse: note, emulated, faults, silent\n"
	"                     (emulated)\n"
	"  --symbol GLOB      only functions of this name\n"
	"  --allow GLOB       accept functions of this name; again for more\n"
	"  --baseline FILE    accept what FILE lists: lines \"FUNCTION [INSTRUCTION]\", both globs\n"
	"  --print-baseline   print what is found as such a file\n"
	"  -s, --summary      counts only\n"
	"  -q, --quiet        no counts, and nothing of an image where nothing is found\n"
	"  -a, --all          also what is accepted, and what Linux patches away under Xen PV\n"
	"  -v, --verbose      also addresses, and bytes that are no code\n"
	"  --json             one array, an object for each image\n\n"
	"Exit status: 0 nothing found, 1 something found, 2 an image or file cannot be read.\n"
	"Example: pvctl scan --severity faults --allow 'native_*' drivers/foo/foo.ko\n";

enum { OPT_SEVERITY = 1, OPT_SYMBOL, OPT_ALLOW, OPT_BASELINE, OPT_PRINT, OPT_JSON };

static const struct option scan_opts[] = {
	{"severity", required_argument, 0, OPT_SEVERITY},
	{"symbol", required_argument, 0, OPT_SYMBOL},
	{"allow", required_argument, 0, OPT_ALLOW},
	{"baseline", required_argument, 0, OPT_BASELINE},
	{"print-baseline", no_argument, 0, OPT_PRINT},
	{"json", no_argument, 0, OPT_JSON},
	{"summary", no_argument, 0, 's'},
	{"quiet", no_argument, 0, 'q'},
	{"all", no_argument, 0, 'a'},
	{"verbose", no_argument, 0, 'v'},
	{"help", no_argument, 0, 'h'},
	{0},
};

struct wish {
	enum severity least;
	const char *symbol;
	struct scan_allow allow;
	bool summary, quiet, all, verbose, json, baseline;
};

/* One image on its way from a file to a report. */
struct job {
	const struct wish *wish;
	struct elf_image elf;
	struct scan_alts alts;
	struct scan_report report;
	time_t start;
	bool said;
};

/* The place that a finding is told by: of a replacement, the site that it is for. */
static void locate(const struct job *j, struct scan_finding *f)
{
	const struct elf_section *s = &j->elf.section[f->hit.section];
	uint32_t section = f->hit.section;
	uint64_t offset = f->hit.offset;
	const struct elf_symbol *sym;

	f->section = s->name;
	f->address = s->addr + offset;
	f->alt = scan_alt_at(&j->alts, section, offset, &f->fate);
	if (f->alt && !f->alt->paravirt && f->alt->new_section == section &&
	    offset - f->alt->new < f->alt->new_len) {
		section = f->alt->site_section;
		offset = f->alt->site;
	}
	sym = elf_symbol_at(&j->elf, section, offset);
	f->symbol = sym ? sym->name : NULL;
	f->symbol_offset = sym ? offset - sym->offset : 0;
}

static void keep(struct scan_report *r, const struct scan_finding *f)
{
	if (r->n == MOST) {
		r->left_out++;
		return;
	}
	if (r->n == r->room) {
		r->room = r->room ? r->room * 2 : 64;
		r->list = realloc(r->list, r->room * sizeof(*r->list));
		if (!r->list)
			scan_no_memory();
	}
	r->list[r->n++] = *f;
}

/* Of the instructions and of what cannot be decoded: is this wanted? */
static bool wanted(const struct wish *w, const struct scan_hit *h)
{
	if (!h->rule)
		return w->verbose;
	/* Behind Xen's prefix CPUID is asked for as Xen wants it. */
	return h->rule->severity >= w->least && !(h->forced && !strcmp(h->rule->name, "cpuid"));
}

static void count(struct scan_report *r, const struct scan_finding *f, enum severity s)
{
	if (f->fate != SCAN_STAYS)
		r->patched++;
	else if (f->accepted)
		r->accepted++;
	else
		r->counts[s]++;
}

static void on_hit(void *ctx, const struct scan_hit *h)
{
	struct job *j = ctx;
	const struct wish *w = j->wish;
	struct scan_finding f = {.hit = *h};
	char symbol[SCAN_NAME + 32];

	if (!h->rule)
		j->report.undecoded += h->run;
	if (!wanted(w, h))
		return;
	locate(j, &f);
	scan_symbol(&f, symbol, sizeof(symbol));
	if (w->symbol && fnmatch(w->symbol, symbol, 0))
		return;
	if (h->rule) {
		f.accepted = f.fate == SCAN_STAYS &&
			     scan_allow_has(&w->allow, symbol, h->rule->name);
		count(&j->report, &f, h->rule->severity);
	}
	if (!h->rule || w->all || (f.fate == SCAN_STAYS && !f.accepted))
		keep(&j->report, &f);
}

static void on_progress(void *ctx, uint64_t done, uint64_t all)
{
	struct job *j = ctx;

	if (time(NULL) - j->start <= UNTIL_SAY)
		return;
	fprintf(stderr, "\rscan: %s: %u%%\033[K", j->report.path, (unsigned)(done * 100 / all));
	j->said = true;
}

static size_t found(const struct scan_report *r)
{
	size_t n = 0;

	for (int s = 0; s < SCAN_SEVERITIES; s++)
		n += r->counts[s];
	return n;
}

static void print(const struct wish *w, const struct scan_report *r, bool several, bool first)
{
	const struct scan_style style = {several, !w->summary, w->quiet, w->verbose};

	if (w->json) {
		printf(first ? "[" : ",\n");
		scan_print_json(r);
	} else if (w->baseline) {
		scan_print_baseline(r);
	} else if (!w->quiet || r->n) {
		if (!first)
			printf("\n");
		scan_print_table(r, &style);
	}
}

/* The whole of a regular file, to be unmapped; NULL with a line on stderr. */
static uint8_t *map(const char *path, size_t *size)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	void *p;

	if (fd < 0 || fstat(fd, &st)) {
		complain("%s: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	if (!S_ISREG(st.st_mode) || !st.st_size) {
		close(fd);
		complain("%s: %s", path, S_ISREG(st.st_mode) ? "the file is empty" : "not a file");
		return NULL;
	}
	p = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (p == MAP_FAILED) {
		complain("%s: %s", path, strerror(errno));
		return NULL;
	}
	*size = st.st_size;
	return p;
}

static bool is_bzimage(const uint8_t *p, size_t size)
{
	return size >= BZ_MAGIC + 4 && !memcmp(p + BZ_MAGIC, "HdrS", 4);
}

/* Debian's later modules and those of others. */
static const char *packed(const uint8_t *p, size_t size)
{
	if (size > 6 && !memcmp(p,
				"\xfd"
				"7zXZ",
				5))
		return "compressed; unpack it with xz -d";
	if (size > 4 && !memcmp(p, "\x28\xb5\x2f\xfd", 4))
		return "compressed; unpack it with zstd -d";
	if (size > 2 && !memcmp(p, "\x1f\x8b", 2))
		return "compressed; unpack it with gzip -d";
	return NULL;
}

static const char *scan_bytes(struct job *j, const uint8_t *p, size_t size)
{
	struct scan_sink sink = {on_hit, isatty(STDERR_FILENO) ? on_progress : NULL, j};
	const char *wrong = elf_open(&j->elf, p, size);

	if (!wrong && !scan_alts_read(&j->alts, &j->elf))
		wrong = "out of memory";
	if (wrong)
		return wrong;
	j->report.kind = j->report.kind ?: j->elf.relocatable ? "module" : "executable";
	j->report.alts_unknown = j->alts.unknown;
	for (uint32_t i = 0; i < j->elf.sections; i++)
		if (j->elf.section[i].exec)
			j->report.code += j->elf.section[i].size;
	/* Some modules are data. */
	if (!j->report.code && !j->elf.relocatable)
		return "no code in it";
	scan_sweep(&j->elf, &sink);
	if (j->said)
		fprintf(stderr, "\r\033[K");
	return NULL;
}

/* 0 nothing found, 1 something, 2 an error. */
static int scan_file(const struct wish *w, const char *path, bool several, bool *first)
{
	struct job j = {
		.wish = w, .start = time(NULL), .report = {.path = path, .least = w->least}};
	uint8_t *file, *unpacked = NULL;
	const uint8_t *p;
	const char *wrong = NULL;
	size_t size, n;
	int rc = 2;

	file = map(path, &size);
	if (!file)
		return 2;
	p = file;
	n = size;
	if (is_bzimage(file, size)) {
		unpacked = scan_unpack(file, size, &n, &wrong);
		p = unpacked;
		j.report.kind = "bzImage";
	} else {
		wrong = packed(file, size);
	}
	if (!wrong || unpacked)
		wrong = scan_bytes(&j, p, n);
	if (wrong) {
		complain("%s: %s", path, wrong);
	} else {
		print(w, &j.report, several, *first);
		*first = false;
		rc = found(&j.report) ? 1 : 0;
	}
	free(j.report.list);
	scan_alts_free(&j.alts);
	elf_close(&j.elf);
	free(unpacked);
	munmap(file, size);
	return rc;
}

static bool severity(const char *name, enum severity *s)
{
	for (int i = 0; i < SCAN_SEVERITIES; i++)
		if (!strcmp(name, scan_severity_name(i))) {
			*s = i;
			return true;
		}
	return false;
}

/* -1: go on; else the exit status. */
static int options(int argc, char **argv, struct wish *w)
{
	int opt;

	while ((opt = getopt_long(argc, argv, "sqavh", scan_opts, NULL)) >= 0) {
		switch (opt) {
		case OPT_SEVERITY:
			if (severity(optarg, &w->least))
				break;
			complain("--severity is one of note, emulated, faults, silent");
			return 2;
		case OPT_SYMBOL: w->symbol = optarg; break;
		case OPT_ALLOW: scan_allow_add(&w->allow, optarg, NULL); break;
		case OPT_BASELINE:
			if (scan_allow_read(&w->allow, optarg))
				return 2;
			break;
		case OPT_PRINT: w->baseline = true; break;
		case OPT_JSON: w->json = true; break;
		case 's': w->summary = true; break;
		case 'q': w->quiet = true; break;
		case 'a': w->all = true; break;
		case 'v': w->verbose = true; break;
		case 'h': fputs(scan_help, stdout); return 0;
		default: fputs("Try `pvctl scan --help`.\n", stderr); return 2;
		}
	}
	if (optind < argc)
		return -1;
	complain("scan: give an image; see `pvctl scan --help`");
	return 2;
}

int cmd_scan(int argc, char **argv)
{
	struct wish w = {.least = SCAN_EMULATED};
	int status = options(argc, argv, &w);
	const bool several = argc - optind > 1;
	bool first = true;

	if (status < 0) {
		status = 0;
		for (; optind < argc; optind++) {
			const int rc = scan_file(&w, argv[optind], several, &first);

			status = rc > status ? rc : status;
		}
		if (w.json)
			printf(first ? "[]\n" : "]\n");
	}
	scan_allow_free(&w.allow);
	if (fflush(stdout) || ferror(stdout)) {
		complain("cannot write: %s", strerror(errno));
		return 2;
	}
	return status;
}
