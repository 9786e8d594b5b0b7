/* SPDX-License-Identifier: MIT */
/*
 * The vDSO reads the kernel's clock from pages that EPT does not give to anyone (they are no
 * memory of the process's). Inside, its functions are system calls: a copy of its code stands in
 * its place.
 */
#include <elf.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "host-driver/libpavane/internal.h"

static const struct {
	const char *name;
	uint32_t nr;
} functions[] = {
	{"__vdso_clock_gettime", SYS_clock_gettime},
	{"__vdso_gettimeofday", SYS_gettimeofday},
	{"__vdso_time", SYS_time},
	{"__vdso_getcpu", SYS_getcpu},
	{"__vdso_clock_getres", SYS_clock_getres},
};

static void patch(uint8_t *code, uint32_t nr)
{
	*code++ = 0xb8; /* mov $nr, %eax; syscall; ret */
	memcpy(code, &nr, 4);
	memcpy(code + 4, "\x0f\x05\xc3", 3);
}

void vdso_replace(void)
{
	const uint8_t *vdso = (const uint8_t *)getauxval(AT_SYSINFO_EHDR);
	const Elf64_Ehdr *eh = (const Elf64_Ehdr *)vdso;
	const Elf64_Shdr *sh, *strings;
	const Elf64_Sym *sym;
	uint8_t *copy;
	size_t size;

	if (!vdso)
		return;
	sh = (const Elf64_Shdr *)(vdso + eh->e_shoff);
	size = (eh->e_shoff + eh->e_shnum * sizeof(*sh) + 4095) & -4096ul;
	copy = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (copy == MAP_FAILED)
		return;
	memcpy(copy, vdso, size);
	for (unsigned i = 0; i < eh->e_shnum; i++) {
		if (sh[i].sh_type != SHT_DYNSYM)
			continue;
		strings = &sh[sh[i].sh_link];
		sym = (const Elf64_Sym *)(vdso + sh[i].sh_offset);
		for (size_t n = sh[i].sh_size / sizeof(*sym); n--; sym++)
			for (unsigned f = 0; f < sizeof(functions) / sizeof(functions[0]); f++)
				if (!strcmp((const char *)vdso + strings->sh_offset + sym->st_name,
					    functions[f].name))
					patch(copy + sym->st_value, functions[f].nr);
	}
	paging_replace((uint64_t)vdso, copy, size);
}
