/* SPDX-License-Identifier: MIT */
/* The code of an x86-64 ELF file of any kind, from bytes that nobody vouches for. */
#ifndef PAVANE_ELF_IMAGE_H
#define PAVANE_ELF_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ELF_NO_SECTION UINT32_MAX

struct elf_section {
	const char *name;    /* in the file, or "LOADn" for a segment */
	const uint8_t *data; /* NULL: nothing of it in the file */
	uint64_t addr, size; /* bytes; the size of `data` if there is any */
	uint32_t number;     /* in the file */
	bool alloc, exec;
};

/* A name for a place in code. */
struct elf_symbol {
	const char *name;
	uint64_t offset; /* in the section */
	uint32_t section;
	uint8_t rank; /* the best name of several for one place */
};

struct elf_image {
	struct elf_section *section;
	uint32_t sections, *by_addr, n_by_addr;
	struct elf_symbol *symbol; /* by section, offset */
	size_t symbols;
	bool relocatable;
	/* for relocations */
	const uint8_t *bytes;
	size_t size;
};

/* What a field that holds an address points to once it is relocated. */
struct elf_target {
	uint32_t section; /* ELF_NO_SECTION: nothing in the file */
	uint64_t offset;
};

/*
 * NULL, or what is wrong with the file. `bytes` must outlive the image; free it with elf_close()
 * in either case.
 */
const char *elf_open(struct elf_image *e, const uint8_t *bytes, size_t size);
void elf_close(struct elf_image *e);

/* The name at or before a place in the same section; NULL: there is none. */
const struct elf_symbol *elf_symbol_at(const struct elf_image *e, uint32_t section,
				       uint64_t offset);
/* The first symbol of the image that lies in this section behind this place, or NULL. */
const struct elf_symbol *elf_symbol_after(const struct elf_image *e, uint32_t section,
					  uint64_t offset);
uint32_t elf_section_named(const struct elf_image *e, const char *name);

/* The relocations of one section, for elf_pointer(). */
struct elf_relocs {
	struct elf_reloc {
		uint64_t offset;
		struct elf_target to;
	} * list;
	size_t n;
};

bool elf_relocs_read(struct elf_relocs *r, const struct elf_image *e, uint32_t section);
/*
 * Where the field at `offset` of a section points: 4 bytes relative to the field itself, or 8
 * bytes absolute. `r` are the section's relocations.
 */
struct elf_target elf_pointer(const struct elf_image *e, const struct elf_relocs *r,
			      uint32_t section, uint64_t offset, bool absolute);

#endif
