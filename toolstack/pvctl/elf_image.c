/* SPDX-License-Identifier: MIT */
/*
 * ELF sections, symbols and relocations, read from a file in memory. Every offset and count is
 * checked against the file before it is used. System V ABI, chapters 4 and 5; psABI for
 * x86-64, 4.4.
 */
#include "toolstack/pvctl/elf_image.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

/* The n bytes at `offset`, or NULL if not all of them are in the file. */
static const uint8_t *range(const struct elf_image *e, uint64_t offset, uint64_t n)
{
	return offset <= e->size && n <= e->size - offset ? e->bytes + offset : NULL;
}

/* A string of a table, or "". What ends the table ends every string in it. */
static const char *string(const uint8_t *table, uint64_t size, uint64_t at)
{
	if (!table || at >= size || table[size - 1])
		return "";
	return (const char *)table + at;
}

static Elf64_Shdr header(const struct elf_image *e, uint32_t i)
{
	Elf64_Ehdr h;
	Elf64_Shdr s;

	memcpy(&h, e->bytes, sizeof(h));
	memcpy(&s, e->bytes + h.e_shoff + (uint64_t)i * sizeof(s), sizeof(s));
	return s;
}

static const uint8_t *contents(const struct elf_image *e, const Elf64_Shdr *s)
{
	return s->sh_type == SHT_NOBITS ? NULL : range(e, s->sh_offset, s->sh_size);
}

static const char *read_sections(struct elf_image *e, const Elf64_Ehdr *h)
{
	const uint8_t *names;
	Elf64_Shdr str;

	if (h->e_shentsize != sizeof(Elf64_Shdr))
		return "its section headers have a wrong size";
	if (!range(e, h->e_shoff, (uint64_t)h->e_shnum * sizeof(Elf64_Shdr)))
		return "the file is truncated";
	if (h->e_shstrndx >= h->e_shnum)
		return "its section names are not there";
	e->section = calloc(h->e_shnum, sizeof(*e->section));
	if (!e->section)
		return "out of memory";
	str = header(e, h->e_shstrndx);
	names = contents(e, &str);
	for (uint32_t i = 0; i < h->e_shnum; i++) {
		const Elf64_Shdr s = header(e, i);
		struct elf_section *to = &e->section[e->sections++];

		to->number = i;
		to->name = string(names, str.sh_size, s.sh_name);
		to->addr = s.sh_addr;
		to->alloc = i && s.sh_flags & SHF_ALLOC;
		to->exec = to->alloc && s.sh_flags & SHF_EXECINSTR && s.sh_type == SHT_PROGBITS;
		to->data = contents(e, &s);
		to->size = to->data ? s.sh_size : 0;
		if (s.sh_flags & SHF_COMPRESSED && to->exec)
			return "its code is compressed";
		if (s.sh_flags & SHF_EXECINSTR && s.sh_type == SHT_NOBITS && s.sh_size)
			return "its code is in another file; this one has the debug information";
		if (to->exec && s.sh_size && !to->data)
			return "the file is truncated";
	}
	return NULL;
}

/* Without section headers: the segments. */
static const char *read_segments(struct elf_image *e, const Elf64_Ehdr *h)
{
	static const char *const names[] = {"LOAD0", "LOAD1", "LOAD2", "LOAD3"};

	if (!h->e_phnum || e->relocatable)
		return "neither sections nor segments in it";
	if (h->e_phentsize != sizeof(Elf64_Phdr) ||
	    !range(e, h->e_phoff, (uint64_t)h->e_phnum * sizeof(Elf64_Phdr)))
		return "the file is truncated";
	e->section = calloc(h->e_phnum, sizeof(*e->section));
	if (!e->section)
		return "out of memory";
	for (uint32_t i = 0; i < h->e_phnum; i++) {
		struct elf_section *to = &e->section[e->sections];
		Elf64_Phdr p;

		memcpy(&p, e->bytes + h->e_phoff + (uint64_t)i * sizeof(p), sizeof(p));
		if (p.p_type != PT_LOAD)
			continue;
		to->number = e->sections++;
		to->name = to->number < 4 ? names[to->number] : "LOAD";
		to->addr = p.p_vaddr;
		to->alloc = true;
		to->exec = p.p_flags & PF_X;
		to->data = range(e, p.p_offset, p.p_filesz);
		to->size = to->data ? p.p_filesz : 0;
		if (!to->data)
			return "the file is truncated";
	}
	return NULL;
}

static int by_address(const void *a, const void *b, void *sections)
{
	const struct elf_section *all = sections, *x = &all[*(const uint32_t *)a],
				 *y = &all[*(const uint32_t *)b];

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

static bool index_sections(struct elf_image *e)
{
	e->by_addr = calloc(e->sections + 1, sizeof(*e->by_addr));
	if (!e->by_addr)
		return false;
	for (uint32_t i = 0; i < e->sections; i++)
		if (e->section[i].alloc && e->section[i].size)
			e->by_addr[e->n_by_addr++] = i;
	qsort_r(e->by_addr, e->n_by_addr, sizeof(*e->by_addr), by_address, e->section);
	return true;
}

static struct elf_target target(const struct elf_image *e, uint64_t addr)
{
	struct elf_target t = {ELF_NO_SECTION, 0};
	uint32_t lo = 0, hi = e->n_by_addr;

	while (lo < hi) {
		const uint32_t mid = lo + (hi - lo) / 2;

		if (e->section[e->by_addr[mid]].addr <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo &&
	    addr - e->section[e->by_addr[lo - 1]].addr < e->section[e->by_addr[lo - 1]].size) {
		t.section = e->by_addr[lo - 1];
		t.offset = addr - e->section[t.section].addr;
	}
	return t;
}

static int by_place(const void *a, const void *b)
{
	const struct elf_symbol *x = a, *y = b;

	if (x->section != y->section)
		return x->section < y->section ? -1 : 1;
	if (x->offset != y->offset)
		return x->offset < y->offset ? -1 : 1;
	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return x->name < y->name ? -1 : x->name > y->name;
}

static bool nameable(const Elf64_Sym *s, const char *name)
{
	const unsigned type = ELF64_ST_TYPE(s->st_info);

	return *name && strncmp(name, ".L", 2) && (type == STT_FUNC || type == STT_NOTYPE);
}

static const char *read_symbols(struct elf_image *e, uint32_t table)
{
	const Elf64_Shdr s = header(e, table);
	const uint8_t *data = contents(e, &s), *names;
	Elf64_Shdr str;
	size_t n;

	if (!data || s.sh_entsize != sizeof(Elf64_Sym) || s.sh_link >= e->sections)
		return "its symbol table is broken";
	str = header(e, s.sh_link);
	names = contents(e, &str);
	n = s.sh_size / sizeof(Elf64_Sym);
	e->symbol = calloc(n + 1, sizeof(*e->symbol));
	if (!e->symbol)
		return "out of memory";
	for (size_t i = 1; i < n; i++) {
		struct elf_symbol *to = &e->symbol[e->symbols];
		Elf64_Sym sym;

		memcpy(&sym, data + i * sizeof(sym), sizeof(sym));
		to->name = string(names, str.sh_size, sym.st_name);
		if (!nameable(&sym, to->name) || sym.st_shndx >= e->sections ||
		    !e->section[sym.st_shndx].exec)
			continue;
		to->section = sym.st_shndx;
		to->offset = sym.st_value - (e->relocatable ? 0 : e->section[sym.st_shndx].addr);
		if (to->offset >= e->section[sym.st_shndx].size)
			continue;
		to->rank = (ELF64_ST_TYPE(sym.st_info) != STT_FUNC) * 2 +
			   (ELF64_ST_BIND(sym.st_info) == STB_LOCAL);
		e->symbols++;
	}
	qsort(e->symbol, e->symbols, sizeof(*e->symbol), by_place);
	return NULL;
}

/* Code that is in the file once is decoded once, however many headers name it. */
static const char *check_code(const struct elf_image *e)
{
	uint64_t code = 0;

	for (uint32_t i = 0; i < e->sections; i++)
		if (e->section[i].exec)
			code += e->section[i].size;
	return code > e->size ? "its sections overlap" : NULL;
}

const char *elf_open(struct elf_image *e, const uint8_t *bytes, size_t size)
{
	const char *wrong;
	Elf64_Ehdr h;

	*e = (struct elf_image){.bytes = bytes, .size = size};
	if (size < SELFMAG || memcmp(bytes, ELFMAG, SELFMAG))
		return "not an ELF file";
	if (size < sizeof(h))
		return "the file is truncated";
	memcpy(&h, bytes, sizeof(h));
	if (h.e_ident[EI_CLASS] != ELFCLASS64 || h.e_ident[EI_DATA] != ELFDATA2LSB ||
	    h.e_machine != EM_X86_64)
		return "built for another machine; give an x86-64 one";
	if (h.e_type != ET_REL && h.e_type != ET_EXEC && h.e_type != ET_DYN)
		return "neither an executable nor an object file";
	e->relocatable = h.e_type == ET_REL;
	if (h.e_shoff && !h.e_shnum)
		return "more sections than this program reads";
	wrong = h.e_shnum ? read_sections(e, &h) : read_segments(e, &h);
	for (uint32_t i = 0; !wrong && h.e_shnum && i < e->sections; i++)
		if (header(e, i).sh_type == SHT_SYMTAB) {
			wrong = read_symbols(e, i);
			break;
		}
	if (!wrong && !index_sections(e))
		wrong = "out of memory";
	return wrong ? wrong : check_code(e);
}

void elf_close(struct elf_image *e)
{
	free(e->section);
	free(e->symbol);
	free(e->by_addr);
	*e = (struct elf_image){0};
}

/* How many symbols lie at or before a place, in the order of by_place(). */
static size_t symbols_to(const struct elf_image *e, uint32_t section, uint64_t offset)
{
	size_t lo = 0, hi = e->symbols;

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;
		const struct elf_symbol *s = &e->symbol[mid];

		if (s->section < section || (s->section == section && s->offset <= offset))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct elf_symbol *elf_symbol_at(const struct elf_image *e, uint32_t section, uint64_t offset)
{
	size_t i = symbols_to(e, section, offset);

	if (!i || e->symbol[i - 1].section != section)
		return NULL;
	offset = e->symbol[--i].offset;
	while (i && e->symbol[i - 1].section == section && e->symbol[i - 1].offset == offset)
		i--;
	return &e->symbol[i];
}

const struct elf_symbol *elf_symbol_after(const struct elf_image *e, uint32_t section,
					  uint64_t offset)
{
	const size_t i = symbols_to(e, section, offset);

	return i < e->symbols && e->symbol[i].section == section ? &e->symbol[i] : NULL;
}

uint32_t elf_section_named(const struct elf_image *e, const char *name)
{
	for (uint32_t i = 0; i < e->sections; i++)
		if (!strcmp(e->section[i].name, name))
			return i;
	return ELF_NO_SECTION;
}

static int by_offset(const void *a, const void *b)
{
	const struct elf_reloc *x = a, *y = b;

	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Section and offset that a relocation names: symbol plus addend. */
static struct elf_target named(const struct elf_image *e, uint32_t symtab, const Elf64_Rela *rela)
{
	struct elf_target t = {ELF_NO_SECTION, 0};
	const uint64_t index = ELF64_R_SYM(rela->r_info);
	const uint8_t *data;
	Elf64_Shdr s;
	Elf64_Sym sym;

	if (symtab >= e->sections)
		return t;
	s = header(e, symtab);
	data = contents(e, &s);
	if (!data || s.sh_entsize != sizeof(sym) || index >= s.sh_size / sizeof(sym))
		return t;
	memcpy(&sym, data + index * sizeof(sym), sizeof(sym));
	if (sym.st_shndx == SHN_UNDEF || sym.st_shndx >= e->sections)
		return t;
	t.section = sym.st_shndx;
	t.offset = sym.st_value + rela->r_addend;
	return t;
}

static bool append(struct elf_relocs *r, const struct elf_image *e, const Elf64_Shdr *s)
{
	const uint8_t *data = contents(e, s);
	const size_t n = data && s->sh_entsize == sizeof(Elf64_Rela) ? s->sh_size / s->sh_entsize
								     : 0;
	struct elf_reloc *list;

	if (!n)
		return true;
	list = realloc(r->list, (r->n + n) * sizeof(*list));
	if (!list)
		return false;
	r->list = list;
	for (size_t i = 0; i < n; i++) {
		Elf64_Rela rela;

		memcpy(&rela, data + i * sizeof(rela), sizeof(rela));
		list[r->n++] = (struct elf_reloc){rela.r_offset, named(e, s->sh_link, &rela)};
	}
	return true;
}

bool elf_relocs_read(struct elf_relocs *r, const struct elf_image *e, uint32_t section)
{
	*r = (struct elf_relocs){0};
	if (!e->relocatable)
		return true;
	for (uint32_t i = 0; i < e->sections; i++) {
		const Elf64_Shdr s = header(e, i);

		if (s.sh_type != SHT_RELA || s.sh_info != section)
			continue;
		/* One table for a section: more of them would cost a broken file's size each. */
		if (!append(r, e, &s))
			return false;
		break;
	}
	if (r->n)
		qsort(r->list, r->n, sizeof(*r->list), by_offset);
	return true;
}

struct elf_target elf_pointer(const struct elf_image *e, const struct elf_relocs *r,
			      uint32_t section, uint64_t offset, bool absolute)
{
	const struct elf_section *s = &e->section[section];
	const unsigned width = absolute ? 8 : 4;
	const struct elf_reloc key = {.offset = offset}, *found;
	uint64_t value = 0;

	if (e->relocatable) {
		found = r->n ? bsearch(&key, r->list, r->n, sizeof(key), by_offset) : NULL;
		return found ? found->to : (struct elf_target){ELF_NO_SECTION, 0};
	}
	if (!s->data || offset > s->size || width > s->size - offset)
		return (struct elf_target){ELF_NO_SECTION, 0};
	memcpy(&value, s->data + offset, width);
	if (!absolute)
		value = s->addr + offset + (uint64_t)(int64_t)(int32_t)value;
	return target(e, value);
}
