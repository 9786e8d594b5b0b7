/* SPDX-License-Identifier: MIT */
/*
 * Instructions of real code, one of each form: mnemonic, operands by kind and size, prefixes, and
 * what a translator may treat differently (the registers it takes for itself, rsp, high bytes).
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/translate/filter.h"
#include "toolstack/pvctl/elf_image.h"
#include "toolstack/pvctl/scan.h"

#define MAX_FORMS 65536
#define BUCKETS	  (4 * MAX_FORMS)

static struct form {
	uint8_t byte[15], len;
} forms[MAX_FORMS];
static unsigned nr_forms;
static uint64_t seen[BUCKETS]; /* hashes, open addressing */

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15UL;
	return h ^ h >> 29;
}

/* A general register's kind; the others' class is enough. */
static unsigned reg_kind(ZydisRegister reg)
{
	const ZydisRegister full =
		ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);

	if (reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH)
		return 1;
	switch (full) {
	case ZYDIS_REGISTER_RSP: return 2;
	case ZYDIS_REGISTER_R14: return 3;
	case ZYDIS_REGISTER_R15: return 4;
	case ZYDIS_REGISTER_RIP: return 5;
	case ZYDIS_REGISTER_NONE: return 6;
	default: return 7;
	}
}

static uint64_t form_of(const ZydisDecodedInstruction *i, const ZydisDecodedOperand *op)
{
	const uint64_t prefixes = ZYDIS_ATTRIB_HAS_LOCK | ZYDIS_ATTRIB_HAS_REP |
				  ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE |
				  ZYDIS_ATTRIB_HAS_SEGMENT_FS | ZYDIS_ATTRIB_HAS_SEGMENT_GS |
				  ZYDIS_ATTRIB_HAS_OPERANDSIZE | ZYDIS_ATTRIB_HAS_ADDRESSSIZE;
	uint64_t h = mix(mix(i->mnemonic, i->attributes & prefixes), i->opcode);

	h = mix(h, i->encoding << 16 | i->operand_width << 4 | i->opcode_map);
	for (unsigned k = 0; k < i->operand_count_visible; k++) {
		const ZydisDecodedOperand *o = &op[k];

		h = mix(h, o->type << 16 | o->size);
		if (o->type == ZYDIS_OPERAND_TYPE_REGISTER)
			h = mix(h,
				ZydisRegisterGetClass(o->reg.value) << 8 | reg_kind(o->reg.value));
		else if (o->type == ZYDIS_OPERAND_TYPE_MEMORY)
			h = mix(h, reg_kind(o->mem.base) << 8 | reg_kind(o->mem.index) << 4 |
					   (o->mem.disp.has_displacement && o->mem.disp.value)
						   << 1 |
					   (o->mem.scale > 1));
	}
	return h ? h : 1;
}

static bool is_new(uint64_t h)
{
	unsigned at = h % BUCKETS;

	for (; seen[at]; at = (at + 1) % BUCKETS)
		if (seen[at] == h)
			return false;
	seen[at] = h;
	return true;
}

static int sweep(const uint8_t *p, size_t size)
{
	int found = 0;

	for (size_t at = 0; at < size && nr_forms < MAX_FORMS;) {
		ZydisDecodedInstruction i;
		ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];

		if (!filter_decode(p + at, size - at, &i, op)) {
			at++;
			continue;
		}
		if (!filter_kind(&i, op) && is_new(form_of(&i, op))) {
			memcpy(forms[nr_forms].byte, p + at, i.length);
			forms[nr_forms++].len = i.length;
			found++;
		}
		at += i.length;
	}
	return found;
}

static int harvest_elf(const uint8_t *p, size_t size)
{
	struct elf_image e;
	int found = -1;

	if (!elf_open(&e, p, size)) {
		found = 0;
		for (uint32_t i = 0; i < e.sections; i++)
			if (e.section[i].exec && e.section[i].data)
				found += sweep(e.section[i].data, e.section[i].size);
	}
	elf_close(&e);
	return found;
}

int harvest_file(const char *path)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	uint8_t *p, *unpacked = NULL;
	const char *why;
	size_t size;
	int found;

	if (fd < 0 || fstat(fd, &st) || !st.st_size) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	size = st.st_size;
	p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (p == MAP_FAILED)
		return -1;
	found = harvest_elf(p, size);
	if (found < 0) {
		unpacked = scan_unpack(p, size, &size, &why);
		if (unpacked)
			found = harvest_elf(unpacked, size);
		free(unpacked);
	}
	munmap(p, st.st_size);
	return found;
}

unsigned harvest_count(void)
{
	return nr_forms;
}

const uint8_t *harvest_get(unsigned form, unsigned *len)
{
	*len = forms[form].len;
	return forms[form].byte;
}
