/* SPDX-License-Identifier: MIT */
/* Start a static ELF program as the kernel does: segments, a stack, and on it what _start reads. */
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "sandbox.h"

#define PAGE	   4096ul
#define PIE_BASE   0x400000ul /* of a static program that can be anywhere */
#define STACK_SIZE 0x800000ul
#define MAX_PHDRS  32

uint64_t program_end;

struct image {
	int fd;
	Elf64_Ehdr eh;
	Elf64_Phdr ph[MAX_PHDRS];
	uint64_t bias, phdr;
};

static uint64_t up(uint64_t x)
{
	return (x + PAGE - 1) & -PAGE;
}

/* All checks of what the file says; afterwards each segment lies inside. */
static const char *read_headers(struct image *im)
{
	const Elf64_Ehdr *eh = &im->eh;

	if (pread(im->fd, &im->eh, sizeof(*eh), 0) != sizeof(*eh) ||
	    memcmp(eh->e_ident, ELFMAG, SELFMAG) || eh->e_ident[EI_CLASS] != ELFCLASS64 ||
	    eh->e_machine != EM_X86_64 || (eh->e_type != ET_EXEC && eh->e_type != ET_DYN))
		return "not an ELF program for x86-64";
	if (eh->e_phentsize != sizeof(Elf64_Phdr) || eh->e_phnum > MAX_PHDRS ||
	    pread(im->fd, im->ph, eh->e_phnum * sizeof(Elf64_Phdr), eh->e_phoff) !=
		    (ssize_t)(eh->e_phnum * sizeof(Elf64_Phdr)))
		return "unreadable program headers";
	im->bias = eh->e_type == ET_DYN ? PIE_BASE : 0;
	for (const Elf64_Phdr *p = im->ph; p < im->ph + eh->e_phnum; p++) {
		if (p->p_type == PT_INTERP)
			return "not a static program";
		if (p->p_type != PT_LOAD)
			continue;
		if (p->p_filesz > p->p_memsz || p->p_vaddr >= SANDBOX_END ||
		    p->p_memsz > SANDBOX_END / 2 ||
		    !memory_inside(im->bias + p->p_vaddr, p->p_memsz + PAGE))
			return "a segment outside the sandbox";
		if (p->p_offset <= eh->e_phoff && eh->e_phoff < p->p_offset + p->p_filesz)
			im->phdr = im->bias + p->p_vaddr + eh->e_phoff - p->p_offset;
	}
	return NULL;
}

static int prot_of(const Elf64_Phdr *p)
{
	return (p->p_flags & PF_R ? PROT_READ : 0) | (p->p_flags & PF_W ? PROT_WRITE : 0) |
	       (p->p_flags & PF_X ? PROT_EXEC : 0);
}

static const char *load_segments(struct image *im)
{
	const Elf64_Phdr *p, *end = im->ph + im->eh.e_phnum;
	uint64_t va, low = SANDBOX_END;

	for (p = im->ph; p < end; p++) {
		va = im->bias + p->p_vaddr;
		if (p->p_type == PT_LOAD && va < low)
			low = va & -PAGE;
		if (p->p_type == PT_LOAD && up(va + p->p_memsz) > program_end)
			program_end = up(va + p->p_memsz);
	}
	if (memory_give(low, program_end - low, PROT_READ | PROT_WRITE))
		return "no memory for it";
	for (p = im->ph; p < end; p++) {
		va = im->bias + p->p_vaddr;
		if (p->p_type == PT_LOAD &&
		    pread(im->fd, (void *)va, p->p_filesz, p->p_offset) != (ssize_t)p->p_filesz)
			return "cannot read a segment";
	}
	for (p = im->ph; p < end; p++) {
		va = im->bias + p->p_vaddr;
		if (p->p_type == PT_LOAD &&
		    memory_protect(va & -PAGE, up(va + p->p_memsz) - (va & -PAGE), prot_of(p)))
			return "cannot protect a segment";
	}
	return NULL;
}

static uint64_t push(uint64_t *sp, const void *data, size_t size)
{
	*sp -= size;
	memcpy((void *)*sp, data, size);
	return *sp;
}

/*
 * Strings at the top; below them argc, argv, envp and the auxiliary vector (System V ABI, 3.4.1).
 * 0: too many strings.
 */
static uint64_t make_stack(const struct image *im, char **argv, char **envp)
{
	uint64_t words[1024], bytes[2], sp = SANDBOX_END, random, name;
	unsigned n = 0;

	getrandom(bytes, sizeof(bytes), 0); /* ours would tell it our stack protector's secret */
	random = push(&sp, bytes, sizeof(bytes));
	name = push(&sp, argv[0], strlen(argv[0]) + 1);
	words[n++] = 0;
	for (; argv[words[0]] && n < 900; words[0]++)
		words[n++] = push(&sp, argv[words[0]], strlen(argv[words[0]]) + 1);
	words[n++] = 0;
	for (; *envp && n < 900; envp++)
		words[n++] = push(&sp, *envp, strlen(*envp) + 1);
	words[n++] = 0;
	if (argv[words[0]] || *envp)
		return 0;
	const uint64_t aux[][2] = {
		{AT_PHDR, im->phdr},
		{AT_PHENT, sizeof(Elf64_Phdr)},
		{AT_PHNUM, im->eh.e_phnum},
		{AT_PAGESZ, PAGE},
		{AT_ENTRY, im->bias + im->eh.e_entry},
		{AT_UID, getuid()},
		{AT_EUID, geteuid()},
		{AT_GID, getgid()},
		{AT_EGID, getegid()},
		{AT_SECURE, 0},
		{AT_RANDOM, random},
		{AT_EXECFN, name},
		{AT_HWCAP, getauxval(AT_HWCAP)},
		{AT_HWCAP2, getauxval(AT_HWCAP2)},
		{AT_CLKTCK, 100},
		{AT_NULL, 0},
	};
	memcpy(words + n, aux, sizeof(aux));
	n += sizeof(aux) / 8;
	sp = (sp & -16ul) - (n + n % 2) * 8; /* argc is at a multiple of 16 */
	memcpy((void *)sp, words, n * 8);
	return sp;
}

bool elf_load(const char *file, char **argv, char **envp, struct pv_frame *regs)
{
	struct image im = {.fd = open(file, O_RDONLY | O_CLOEXEC)};
	const char *why = im.fd < 0 ? "cannot open it" : read_headers(&im);

	if (!why)
		why = load_segments(&im);
	if (im.fd >= 0)
		close(im.fd);
	if (!why && memory_give(SANDBOX_END - STACK_SIZE, STACK_SIZE, PROT_READ | PROT_WRITE))
		why = "no memory for a stack";
	if (!why) {
		*regs = (struct pv_frame){.rip = im.bias + im.eh.e_entry,
					  .rsp = make_stack(&im, argv, envp)};
		why = regs->rsp ? NULL : "too many arguments";
	}
	if (why)
		fprintf(stderr, "sandbox: %s: %s\n", file, why);
	return !why;
}
