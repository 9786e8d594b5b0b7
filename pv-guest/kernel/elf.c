/* SPDX-License-Identifier: MIT */
/* Programs: static ELF files of the ramdisk become new address spaces. */
#include <elf.h>
#include <pv/process.h>
#include "kernel.h"

#define ENOEXEC	  8
#define LOAD_END  (USER_BASE + (64ul << 20)) /* leaves the rest to the heap */
#define ARGS_SIZE 2048

/* Copies n bytes from the file to va; pages in between are made, zeroed. */
static bool fill(struct space *s, unsigned long va, const char *data, size_t n, size_t mem,
		 unsigned int flags)
{
	for (unsigned long end = va + mem; va < end;) {
		size_t offset = va & ~PAGE_MASK, room = PAGE_SIZE - offset;
		char *page = space_page(s, va, flags & PF_W, flags & PF_X);
		size_t part = n < room ? n : room;

		if (!page)
			return false;
		memcpy(page + offset, data, part);
		data += part;
		n -= part;
		va += room;
	}
	return true;
}

static long load_segments(struct space *s, const char *file, size_t size)
{
	const Elf64_Ehdr *e = (const Elf64_Ehdr *)file;

	if (size < sizeof(*e) || memcmp(e->e_ident, ELFMAG, SELFMAG) || e->e_machine != EM_X86_64 ||
	    e->e_type != ET_EXEC || e->e_phentsize != sizeof(Elf64_Phdr) || e->e_phoff > size ||
	    !is_user(e->e_entry, 1) || e->e_phnum > (size - e->e_phoff) / sizeof(Elf64_Phdr))
		return -ENOEXEC;
	for (unsigned int i = 0; i < e->e_phnum; i++) {
		const Elf64_Phdr *p = (const Elf64_Phdr *)(file + e->e_phoff) + i;

		if (p->p_type != PT_LOAD)
			continue;
		if (p->p_offset > size || p->p_filesz > size - p->p_offset ||
		    p->p_filesz > p->p_memsz || !is_user(p->p_vaddr, p->p_memsz) ||
		    p->p_vaddr + p->p_memsz > LOAD_END)
			return -ENOEXEC;
		if (!fill(s, p->p_vaddr, file + p->p_offset, p->p_filesz, p->p_memsz, p->p_flags))
			return -XEN_ENOMEM;
		if (p->p_vaddr + p->p_memsz > s->heap)
			s->heap = (p->p_vaddr + p->p_memsz + PAGE_SIZE - 1) & PAGE_MASK;
	}
	s->brk = s->heap;
	return 0;
}

/* Strings at the top of the stack, the vector of their addresses below. */
static long push_args(struct space *s, int argc, char **argv, struct trap_regs *regs)
{
	char *page = space_page(s, USER_END - PAGE_SIZE, true, false);
	unsigned long top = PAGE_SIZE, vector;

	if (!page)
		return -XEN_ENOMEM;
	vector = PAGE_SIZE - ARGS_SIZE;
	for (int i = 0; i < argc; i++) {
		size_t n = strlen(argv[i]) + 1;

		if (n > top - vector - (unsigned long)(argc + 1) * 8)
			return -XEN_E2BIG;
		top -= n;
		memcpy(page + top, argv[i], n);
		((unsigned long *)(page + vector))[i] = USER_END - PAGE_SIZE + top;
	}
	regs->rdi = (unsigned long)argc;
	regs->rsi = USER_END - PAGE_SIZE + vector;
	regs->rsp = regs->rsi;
	return 0;
}

long elf_load(struct space **space, const char *name, int argc, char **argv, struct trap_regs *regs)
{
	size_t size;
	const char *file = ramdisk_find(name, &size);
	struct space *s;
	long rc;

	if (!file)
		return -XEN_ENOENT;
	s = space_create();
	if (!s)
		return -XEN_ENOMEM;
	*regs = (struct trap_regs){.cs = FLAT_USER_CS, .ss = FLAT_USER_SS, .rflags = 0x202};
	rc = load_segments(s, file, size);
	if (!rc)
		rc = push_args(s, argc, argv, regs);
	if (rc) {
		space_destroy(s);
		return rc;
	}
	regs->rip = ((const Elf64_Ehdr *)file)->e_entry;
	space_finish(s);
	*space = s;
	return 0;
}
