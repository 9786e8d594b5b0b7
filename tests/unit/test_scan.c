/* SPDX-License-Identifier: MIT */
/* pvctl scan on images made here: rules, symbols, alternatives, and files that are broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <elf.h>
#include <string.h>

#include "toolstack/pvctl/scan.h"

#define BASE 0xffffffff81000000UL

/* A file: header, section headers, then what each test puts in. */
static struct file {
	uint8_t bytes[8192];
	size_t size;
	Elf64_Ehdr *h;
	Elf64_Shdr *s;
} f;

static const char names[] = "\0.text\0.altinstructions\0.altinstr_replacement\0.symtab\0.strtab";
enum { NAME_TEXT = 1, NAME_ALT = 7, NAME_NEW = 24, NAME_SYM = 46, NAME_STR = 54 };

static void begin(uint16_t type)
{
	memset(&f, 0, sizeof(f));
	f.h = (Elf64_Ehdr *)f.bytes;
	memcpy(f.h->e_ident, ELFMAG, SELFMAG);
	f.h->e_ident[EI_CLASS] = ELFCLASS64;
	f.h->e_ident[EI_DATA] = ELFDATA2LSB;
	f.h->e_machine = EM_X86_64;
	f.h->e_type = type;
	f.h->e_shentsize = sizeof(Elf64_Shdr);
	f.h->e_shoff = sizeof(Elf64_Ehdr);
	f.h->e_shnum = 1;
	f.s = (Elf64_Shdr *)(f.bytes + f.h->e_shoff);
	f.size = f.h->e_shoff + 8 * sizeof(Elf64_Shdr);
}

static unsigned section(unsigned name, uint32_t type, uint64_t flags, const void *data, size_t n)
{
	Elf64_Shdr *s = &f.s[f.h->e_shnum];

	*s = (Elf64_Shdr){.sh_name = name,
			  .sh_type = type,
			  .sh_flags = flags,
			  .sh_addr = BASE + f.size,
			  .sh_offset = f.size,
			  .sh_size = n};
	memcpy(f.bytes + f.size, data, n);
	f.size = (f.size + n + 15) & ~15UL;
	return f.h->e_shnum++;
}

static unsigned code(const void *bytes, size_t n)
{
	return section(NAME_TEXT, SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, bytes, n);
}

static void end(void)
{
	f.h->e_shstrndx = section(NAME_STR, SHT_STRTAB, 0, names, sizeof(names));
}

/* What a sweep finds. */
static struct scan_hit hits[64];
static size_t n_hits;

static void on_hit(void *ctx, const struct scan_hit *h)
{
	assert_true(n_hits < 64);
	hits[n_hits++] = *h;
}

static void sweep(const struct elf_image *e)
{
	const struct scan_sink sink = {on_hit, NULL, NULL};

	n_hits = 0;
	scan_sweep(e, &sink);
}

static void scan(const void *bytes, size_t n)
{
	struct elf_image e;

	begin(ET_EXEC);
	code(bytes, n);
	end();
	assert_null(elf_open(&e, f.bytes, f.size));
	sweep(&e);
	elf_close(&e);
}

static void rules_by_bytes(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
		const char *rule; /* NULL: may stay */
		enum severity severity;
	} cases[] = {
#define CASE(bytes, rule, severity) {bytes, sizeof(bytes) - 1, rule, severity}
		CASE("\xfa", "cli", SCAN_SILENT),
		CASE("\xfb", "sti", SCAN_SILENT),
		CASE("\x9c", "pushf", SCAN_SILENT),
		CASE("\x66\x9d", "popf", SCAN_SILENT),
		CASE("\xf4", "hlt", SCAN_FAULTS),
		CASE("\x48\xcf", "iret", SCAN_SILENT),
		CASE("\x48\x0f\x07", "sysret", SCAN_FAULTS),
		CASE("\x0f\x05", "syscall", SCAN_NOTE),
		CASE("\xcd\x80", "int", SCAN_NOTE),
		CASE("\x0f\x01\xf8", "swapgs", SCAN_FAULTS),
		CASE("\x0f\x01\x10", "lgdt", SCAN_FAULTS),
		CASE("\x0f\x01\x00", "sgdt", SCAN_SILENT),
		CASE("\x0f\x01\xe0", "smsw", SCAN_SILENT),
		CASE("\x0f\x00\xc8", "str", SCAN_SILENT),
		CASE("\x0f\x00\xe8", "verw", SCAN_NOTE),
		CASE("\x0f\x06", "clts", SCAN_EMULATED),
		CASE("\x0f\x30", "wrmsr", SCAN_EMULATED),
		CASE("\x0f\x31", "rdtsc", SCAN_NOTE),
		CASE("\x0f\xa2", "cpuid", SCAN_SILENT),
		CASE("\x0f\x01\x38", "invlpg", SCAN_FAULTS),
		CASE("\x0f\x20\xc0", "mov cr0", SCAN_EMULATED),
		CASE("\x0f\x22\xd8", "mov cr3", SCAN_EMULATED),
		CASE("\x44\x0f\x20\xc0", "mov cr8", SCAN_FAULTS),
		CASE("\x0f\x23\xf8", "mov dr", SCAN_EMULATED),
		CASE("\x8c\xc8", "segment register", SCAN_NOTE),
		CASE("\x8e\xd8", "segment register", SCAN_NOTE),
		CASE("\x0f\xa0", "segment register", SCAN_NOTE),
		CASE("\xee", "in/out", SCAN_EMULATED),
		CASE("\xf3\x6c", "ins/outs", SCAN_FAULTS),
		CASE("\x0f\x01\xca", "stac/clac", SCAN_FAULTS),
		CASE("\x48\xcb", "far branch", SCAN_FAULTS),
		CASE("\xff\x28", "far branch", SCAN_FAULTS),
		CASE("\xf3\x48\x0f\xae\xc0", "fs/gs base", SCAN_NOTE),
		CASE("\x0f\x01\xc1", "vmx/svm", SCAN_FAULTS),
		CASE("\xc3", NULL, 0),
		CASE("\x90", NULL, 0),
		CASE("\xcc", NULL, 0),
		CASE("\x48\x89\xc3", NULL, 0), /* mov %rax, %rbx */
		CASE("\x53", NULL, 0),
		CASE("\xe8\0\0\0\0", NULL, 0),
		CASE("\x0f\x01\xd0", NULL, 0), /* xgetbv */
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		scan(cases[i].bytes, cases[i].n);
		if (!cases[i].rule) {
			assert_int_equal(n_hits, 0);
			continue;
		}
		assert_int_equal(n_hits, 1);
		assert_non_null(hits[0].rule);
		assert_string_equal(hits[0].rule->name, cases[i].rule);
		assert_int_equal(hits[0].rule->severity, cases[i].severity);
		assert_int_equal(hits[0].length, cases[i].n);
		assert_true(*hits[0].rule->fate && *hits[0].rule->instead);
	}
}

/* Xen's prefix is UD2, three letters and the instruction: not UD2, JS, OUTSB. */
static void forced_emulation(void **state)
{
	scan("\x0f\x0bxen\x0f\xa2\x0f\xa2", 9);
	assert_int_equal(n_hits, 2);
	assert_true(hits[0].forced);
	assert_int_equal(hits[0].offset, 5);
	assert_false(hits[1].forced);
}

static void what_is_no_code(void **state)
{
	scan("\x90\x06\x06\x06\xfa", 5); /* PUSH ES does not exist in 64-bit mode */
	assert_int_equal(n_hits, 2);
	assert_null(hits[0].rule);
	assert_int_equal(hits[0].offset, 1);
	assert_int_equal(hits[0].run, 3);
	assert_string_equal(hits[1].rule->name, "cli");
	scan("\x90\x0f", 2); /* cut off */
	assert_int_equal(n_hits, 1);
	assert_int_equal(hits[0].run, 1);
}

static void symbols(unsigned strings, const Elf64_Sym *sym, size_t n)
{
	const unsigned t = section(NAME_SYM, SHT_SYMTAB, 0, sym, n * sizeof(*sym));

	f.s[t].sh_entsize = sizeof(*sym);
	f.s[t].sh_link = strings;
}

/* MOV $imm32 swallows a CLI; the symbol on it brings it out. What runs over it is shown as well. */
static void decoding_starts_anew_at_a_symbol(void **state)
{
	static const char strings[] = "\0first\0second\0label";
	struct elf_image e;
	unsigned text, str;

	begin(ET_EXEC);
	text = code("\xb8\xfa\x90\x90\x90\xc3", 6);
	str = section(NAME_STR, SHT_STRTAB, 0, strings, sizeof(strings));
	const Elf64_Sym sym[] = {
		{0},
		{1, ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), 0, text, f.s[text].sh_addr, 1},
		{14, ELF64_ST_INFO(STB_LOCAL, STT_NOTYPE), 0, text, f.s[text].sh_addr + 1, 0},
		{7, ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), 0, text, f.s[text].sh_addr + 1, 0},
		{7, ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), 0, text, 5, 0}, /* nowhere */
	};
	symbols(str, sym, 5);
	end();
	assert_null(elf_open(&e, f.bytes, f.size));
	sweep(&e);
	assert_int_equal(n_hits, 1);
	assert_int_equal(hits[0].offset, 1);
	assert_int_equal(e.symbols, 3);
	assert_string_equal(elf_symbol_at(&e, text, 0)->name, "first");
	assert_string_equal(elf_symbol_at(&e, text, 4)->name, "second"); /* functions win */
	assert_null(elf_symbol_after(&e, text, 1));
	elf_close(&e);
}

/* A site of two bytes at 0 with CLI in the replacement; the entry of `size` bytes. */
static const struct scan_alt *alternative(struct elf_image *e, struct scan_alts *a, size_t size,
					  unsigned feature, bool inverted, bool replacement,
					  enum scan_fate *fate)
{
	uint8_t entry[16] = {0};
	unsigned text, new, table;
	int32_t to;

	begin(ET_EXEC);
	text = code("\xfa\x90", 2);
	new = section(NAME_NEW, SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, "\x90\xfa", 2);
	to = f.s[text].sh_offset - f.size;
	memcpy(entry, &to, 4);
	to = f.s[new].sh_offset - f.size - 4;
	memcpy(entry + 4, &to, 4);
	entry[8] = feature;
	entry[9] = feature >> 8 | (inverted && size != 14 ? 0x80 : 0);
	entry[10] = size == 14 ? inverted : 2;
	entry[11] = size == 14 ? 0 : 2;
	entry[12] = entry[13] = size == 14 ? 2 : 0;
	table = section(NAME_ALT, SHT_PROGBITS, SHF_ALLOC, entry, size);
	end();
	assert_int_equal(table, 3);
	assert_null(elf_open(e, f.bytes, f.size));
	assert_true(scan_alts_read(a, e));
	return replacement ? scan_alt_at(a, new, 1, fate) : scan_alt_at(a, text, 0, fate);
}

static void alternatives(void **state)
{
	static const size_t sizes[] = {12, 13, 14};
	const unsigned xenpv = 8 * 32 + 16, smap = 9 * 32 + 20, other = 3 * 32 + 1;
	static const struct {
		unsigned feature;
		bool inverted;
		enum scan_fate site, replacement;
	} cases[] = {
		{xenpv, false, SCAN_PATCHED, SCAN_STAYS}, {xenpv, true, SCAN_STAYS, SCAN_UNUSED},
		{smap, false, SCAN_STAYS, SCAN_UNUSED},	  {smap, true, SCAN_PATCHED, SCAN_STAYS},
		{other, false, SCAN_STAYS, SCAN_STAYS},	  {other, true, SCAN_STAYS, SCAN_STAYS},
	};

	for (size_t s = 0; s < 3; s++)
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
			for (int r = 0; r < 2; r++) {
				struct scan_alts a;
				struct elf_image e;
				enum scan_fate fate;
				const struct scan_alt *found =
					alternative(&e, &a, sizes[s], cases[i].feature,
						    cases[i].inverted, r, &fate);

				assert_false(a.unknown);
				assert_non_null(found);
				assert_int_equal(found->feature, cases[i].feature);
				assert_int_equal(found->inverted, cases[i].inverted);
				assert_int_equal(fate, r ? cases[i].replacement : cases[i].site);
				scan_alts_free(&a);
				elf_close(&e);
			}
}

static void alternatives_of_no_known_form(void **state)
{
	struct scan_alts a;
	struct elf_image e;
	enum scan_fate fate;

	assert_null(alternative(&e, &a, 11, 8 * 32 + 16, false, false, &fate));
	assert_true(a.unknown);
	assert_int_equal(fate, SCAN_STAYS);
	scan_alts_free(&a);
	elf_close(&e);
}

static void says(const char *word)
{
	struct elf_image e;
	const char *wrong = elf_open(&e, f.bytes, f.size);

	assert_non_null(wrong);
	assert_non_null(strstr(wrong, word));
	elf_close(&e);
}

static void good(void)
{
	begin(ET_EXEC);
	code("\xfa", 1);
	end();
}

static void broken_files(void **state)
{
	good();
	f.size = 3;
	says("not an ELF");
	good();
	f.size = 20;
	says("truncated");
	good();
	f.h->e_machine = EM_AARCH64;
	says("another machine");
	good();
	f.h->e_type = ET_CORE;
	says("neither");
	good();
	f.h->e_shoff = -8UL;
	says("truncated");
	good();
	f.h->e_shnum = 0xfe00;
	says("truncated");
	good();
	f.h->e_shstrndx = 40;
	says("names");
	good();
	f.s[1].sh_offset = -1UL;
	says("truncated");
	good();
	f.s[1].sh_size = 1UL << 40;
	says("truncated");
	good();
	f.h->e_shnum = 0;
	says("more sections");
	good();
	f.h->e_shnum = f.h->e_shoff = 0;
	says("neither sections nor");
	good();
	f.s[1].sh_size = f.size - f.s[1].sh_offset;
	f.s[2] = f.s[1];
	f.s[3] = f.s[1];
	f.h->e_shnum = 8;
	f.s[1].sh_offset = f.s[2].sh_offset = 0;
	f.s[1].sh_size = f.s[2].sh_size = f.size;
	says("overlap");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules_by_bytes),
		cmocka_unit_test(forced_emulation),
		cmocka_unit_test(what_is_no_code),
		cmocka_unit_test(decoding_starts_anew_at_a_symbol),
		cmocka_unit_test(alternatives),
		cmocka_unit_test(alternatives_of_no_known_form),
		cmocka_unit_test(broken_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
