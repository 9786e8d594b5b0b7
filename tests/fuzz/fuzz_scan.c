/* SPDX-License-Identifier: MIT */
/*
 * pvctl scan on any bytes: the input as a file, and a good file of every table with the input's
 * changes in it ({offset, byte} in three bytes each). Every hit lies in code that is in the file.
 */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "toolstack/pvctl/scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct template
{
	Elf64_Ehdr h;
	Elf64_Shdr s[9];
	Elf64_Sym sym[4];
	Elf64_Rela rela[4], pv_rela[1];
	uint8_t text[16], new[8], alt[24], pv[16];
	char names[96];
};

#define AT(member) offsetof(struct template, member), sizeof(((struct template *)0)->member)

static unsigned add_section(struct template *t, const char *name, uint32_t type, uint64_t flags,
			    size_t offset, size_t size)
{
	const unsigned n = t->h.e_shnum++;
	size_t at = 1;

	while (t->names[at])
		at += strlen(t->names + at) + 1;
	strcpy(t->names + at, name);
	t->s[n] = (Elf64_Shdr){.sh_name = at,
			       .sh_type = type,
			       .sh_flags = flags,
			       .sh_addr = t->h.e_type == ET_REL ? 0 : 0x1000 + offset,
			       .sh_offset = offset,
			       .sh_size = size};
	return n;
}

static void fill_alternatives(struct template *t, bool module, unsigned text, unsigned new)
{
	for (unsigned i = 0; i < 2; i++) {
		const int32_t site = offsetof(struct template, text) + 4 * i -
				     offsetof(struct template, alt) - 12 * i,
			      repl = offsetof(struct template, new) + 2 * i -
				     offsetof(struct template, alt) - 12 * i - 4;

		memcpy(t->alt + 12 * i, &site, 4);
		memcpy(t->alt + 12 * i + 4, &repl, 4);
		t->alt[12 * i + 8] = 16;
		t->alt[12 * i + 9] = i ? 0x81 : 1;
		t->alt[12 * i + 10] = t->alt[12 * i + 11] = 2;
		t->rela[2 * i] = (Elf64_Rela){12 * i, ELF64_R_INFO(1, R_X86_64_PC32), 4 * i};
		t->rela[2 * i + 1] =
			(Elf64_Rela){12 * i + 4, ELF64_R_INFO(2, R_X86_64_PC32), 2 * i};
	}
	t->pv_rela[0] = (Elf64_Rela){0, ELF64_R_INFO(1, R_X86_64_64), 8};
	t->pv[0] = 8;
	t->pv[9] = 6;
	t->sym[1] = (Elf64_Sym){1, STT_FUNC, 0, text, module ? 0 : t->s[text].sh_addr, 8};
	t->sym[2] = (Elf64_Sym){1, STT_NOTYPE, 0, new, module ? 0 : t->s[new].sh_addr, 8};
	t->sym[3] = (Elf64_Sym){7, STT_FUNC, 0, text, module ? 5 : t->s[text].sh_addr + 5, 8};
}

static void make(struct template *t, bool module)
{
	unsigned text, new, alt, pv, sym, names, rela;

	memset(t, 0, sizeof(*t));
	memcpy(t->h.e_ident, ELFMAG, SELFMAG);
	t->h.e_ident[EI_CLASS] = ELFCLASS64;
	t->h.e_ident[EI_DATA] = ELFDATA2LSB;
	t->h.e_machine = EM_X86_64;
	t->h.e_type = module ? ET_REL : ET_EXEC;
	t->h.e_shentsize = sizeof(Elf64_Shdr);
	t->h.e_shoff = offsetof(struct template, s);
	t->h.e_shnum = 1;
	text = add_section(t, ".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, AT(text));
	new = add_section(t, ".new", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, AT(new));
	alt = add_section(t, ".altinstructions", SHT_PROGBITS, SHF_ALLOC, AT(alt));
	pv = add_section(t, ".parainstructions", SHT_PROGBITS, SHF_ALLOC, AT(pv));
	sym = add_section(t, ".symtab", SHT_SYMTAB, 0, AT(sym));
	names = add_section(t, ".strtab", SHT_STRTAB, 0, AT(names));
	rela = add_section(t, ".rela", SHT_RELA, 0, AT(rela));
	t->s[rela].sh_info = alt;
	t->s[rela].sh_link = sym;
	t->s[rela].sh_entsize = sizeof(Elf64_Rela);
	rela = add_section(t, ".rela", SHT_RELA, 0, AT(pv_rela));
	t->s[rela].sh_info = pv;
	t->s[rela].sh_link = sym;
	t->s[rela].sh_entsize = sizeof(Elf64_Rela);
	t->s[sym].sh_link = names;
	t->s[sym].sh_entsize = sizeof(Elf64_Sym);
	t->h.e_shstrndx = names;
	memcpy(t->text, "\xfa\xb8\xfa\xfb\x9c\x90\x06\x0f\x0bxen\x0f\xa2\x0f\x01", sizeof(t->text));
	memcpy(t->new, "\x90\xfa\x0f\x01\xca\xf4\x0f\x0b", sizeof(t->new));
	fill_alternatives(t, module, text, new);
}

struct seen {
	const struct elf_image *e;
	const struct scan_alts *a;
};

static void on_hit(void *ctx, const struct scan_hit *h)
{
	const struct seen *s = ctx;
	const struct elf_section *sec = &s->e->section[h->section];
	const uint64_t n = h->rule ? h->length : h->run;
	const struct elf_symbol *sym = elf_symbol_at(s->e, h->section, h->offset);
	enum scan_fate fate;

	if (!sec->exec || h->offset > sec->size || n > sec->size - h->offset || !n)
		__builtin_trap();
	if (sec->data < s->e->bytes || sec->data + sec->size > s->e->bytes + s->e->size)
		__builtin_trap();
	if (sym && (sym->offset > h->offset || !memchr(sym->name, 0, s->e->size)))
		__builtin_trap();
	scan_alt_at(s->a, h->section, h->offset, &fate);
}

/* From a block of its own size, for ASan to see what is read behind it. */
static void scan(const void *bytes, size_t size)
{
	struct scan_alts a = {0};
	struct elf_image e;
	struct seen seen = {&e, &a};
	const struct scan_sink sink = {on_hit, NULL, &seen};
	uint8_t *copy = malloc(size);

	memcpy(copy, bytes, size);
	if (!elf_open(&e, copy, size) && scan_alts_read(&a, &e))
		scan_sweep(&e, &sink);
	scan_alts_free(&a);
	elf_close(&e);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct template t;

	if (!size)
		return 0;
	scan(data, size);
	make(&t, data[0] & 1);
	for (size_t i = 1; i + 2 < size; i += 3)
		((uint8_t *)&t)[(data[i] | data[i + 1] << 8) % sizeof(t)] = data[i + 2];
	/* The file's end is anywhere behind the header. */
	scan(&t, data[0] & 2 ? sizeof(t) : sizeof(t) - data[0] * 4);
	return 0;
}
