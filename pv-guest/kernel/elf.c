/* SPDX-License-Identifier: MIT */
/* Programs: static ELF files become new address spaces. */
#include <elf.h>
#include <pv/fs.h>
#include <pv/process.h>
#include "kernel.h"

#define ENOEXEC	  8
#define LOAD_END  (USER_BASE + (64ul << 20)) /* leaves the rest to the heap */
#define ARGS_SIZE 2048

/* All n bytes, or an error. */
static long read_all(const struct node *file, uint64_t at, void *buf, size_t n)
{
	long rc = fs_read(file, at, buf, n);

	return rc < 0 ? rc : rc == (long)n ? 0 : -ENOEXEC;
}

/* A segment, from the file and then zeros, to the pages at its address. */
static long fill(struct space *s, const struct node *file, const Elf64_Phdr *p)
{
	unsigned long va = p->p_vaddr, end = va + p->p_memsz;
	size_t n = p->p_filesz;
	long rc = 0;

	while (va < end && !rc) {
		size_t offset = va & ~PAGE_MASK, room = PAGE_SIZE - offset;
		char *page = space_page(s, va, p->p_flags & PF_W, p->p_flags & PF_X);
		size_t part = n < room ? n : room;

		if (!page)
			return -XEN_ENOMEM;
		rc = read_all(file, p->p_offset + p->p_filesz - n, page + offset, part);
		n -= part;
		va += room;
	}
	return rc;
}

static bool good_header(const Elf64_Ehdr *e, size_t size)
{
	return !memcmp(e->e_ident, ELFMAG, SELFMAG) && e->e_machine == EM_X86_64 &&
	       e->e_type == ET_EXEC && e->e_phentsize == sizeof(Elf64_Phdr) && e->e_phoff <= size &&
	       is_user(e->e_entry, 1) && e->e_phnum <= (size - e->e_phoff) / sizeof(Elf64_Phdr);
}

static bool good_segment(const Elf64_Phdr *p, size_t size)
{
	return p->p_offset <= size && p->p_filesz <= size - p->p_offset &&
	       p->p_filesz <= p->p_memsz && is_user(p->p_vaddr, p->p_memsz) &&
	       p->p_vaddr + p->p_memsz <= LOAD_END;
}

static long load_segments(struct space *s, const struct node *file, unsigned long *entry)
{
	size_t size = fs_size(file);
	Elf64_Ehdr e = {.e_entry = 0};
	Elf64_Phdr p;
	long rc = read_all(file, 0, &e, sizeof(e));

	if (!rc && !good_header(&e, size))
		rc = -ENOEXEC;
	for (unsigned int i = 0; !rc && i < e.e_phnum; i++) {
		rc = read_all(file, e.e_phoff + i * sizeof(p), &p, sizeof(p));
		if (rc || p.p_type != PT_LOAD)
			continue;
		rc = good_segment(&p, size) ? fill(s, file, &p) : -ENOEXEC;
		if (p.p_vaddr + p.p_memsz > s->heap)
			s->heap = (p.p_vaddr + p.p_memsz + PAGE_SIZE - 1) & PAGE_MASK;
	}
	s->brk = s->heap;
	*entry = e.e_entry;
	return rc;
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
	long rc;
	struct node *file = fs_open(name, &rc);
	struct space *s;

	if (!file)
		return rc;
	s = space_create();
	*regs = (struct trap_regs){.cs = FLAT_USER_CS, .ss = FLAT_USER_SS, .rflags = 0x202};
	rc = s ? load_segments(s, file, &regs->rip) : -XEN_ENOMEM;
	fs_close(file);
	if (!rc)
		rc = push_args(s, argc, argv, regs);
	if (rc) {
		if (s)
			space_destroy(s);
		return rc;
	}
	space_finish(s);
	*space = s;
	return 0;
}
