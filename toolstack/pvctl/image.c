/* SPDX-License-Identifier: MIT */
/* The first look at a kernel image, before libxenguest takes it apart. */
#include "toolstack/pvctl/image.h"

#include <elf.h>
#include <string.h>

#define BZ_MAGIC     0x202 /* "HdrS" (Linux Documentation/x86/boot.rst) */
#define BZ_MAGIC_END (BZ_MAGIC + 4)

const char *image_problem(const unsigned char *head, size_t n, uint64_t size)
{
	Elf64_Ehdr h;

	if (n < sizeof(h))
		return "the file is truncated";
	memcpy(&h, head, sizeof(h));
	if (memcmp(h.e_ident, ELFMAG, SELFMAG)) {
		if (n >= BZ_MAGIC_END && !memcmp(head + BZ_MAGIC, "HdrS", 4))
			return NULL;
		return "neither an ELF file nor a Linux bzImage";
	}
	if (h.e_ident[EI_CLASS] != ELFCLASS64 || h.e_machine != EM_X86_64)
		return "built for another machine; give an x86-64 one";
	if (h.e_phentsize != sizeof(Elf64_Phdr) || !h.e_phnum)
		return "an ELF file without program headers: not a kernel";
	if (h.e_phoff > size || (uint64_t)h.e_phnum * h.e_phentsize > size - h.e_phoff)
		return "the file is truncated";
	return NULL;
}
