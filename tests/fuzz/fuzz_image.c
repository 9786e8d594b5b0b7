/* SPDX-License-Identifier: MIT */
/* The image loader path that is ours: any bytes get an answer, and an accepted ELF is x86-64. */
#include <elf.h>
#include <string.h>

#include "toolstack/pvctl/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Elf64_Ehdr h;

	if (image_problem(data, size < IMAGE_HEAD ? size : IMAGE_HEAD, size))
		return 0;
	if (size < sizeof(h))
		__builtin_trap();
	memcpy(&h, data, sizeof(h));
	if (!memcmp(h.e_ident, ELFMAG, SELFMAG) &&
	    (h.e_machine != EM_X86_64 || h.e_phoff + 56UL * h.e_phnum > size))
		__builtin_trap();
	return 0;
}
