/* SPDX-License-Identifier: MIT */
/*
 * libpavane for a program that runs another system below it, such as a monitor: descriptor tables,
 * address spaces and guest-physical memory of its own. What ring 0 itself needs stays libpavane's,
 * so its entry code must hand that over: see pv_trap and pv_syscall_exit.
 */
#ifndef PAVANE_TABLES_H
#define PAVANE_TABLES_H

#include <stddef.h>
#include <stdint.h>

struct pv_tables {
	uint64_t gdt, idt, tss; /* linear addresses, also present in pv_root_default() */
	uint16_t gdt_limit, idt_limit, tss_limit;
	uint16_t cs, ss, tr;
	uint64_t lstar, star, sfmask;
	uint64_t cr4, cr4_off; /* bits to add, if the CPU has them, and to take away */
};

/* The calling thread's, inside, until it leaves for good. Its CR4 then, or -errno. */
int64_t pv_tables_load(const struct pv_tables *t);

/*
 * Where an exception from ring 0 goes on, with the root and FS base of this thread: on an IST
 * stack, below what the CPU pushed, an error code (0 if there is none) and the vector.
 */
extern char pv_trap[];
/* Where `syscall` from ring 0 goes on, with every register as the instruction left it. */
extern char pv_syscall_exit[];

/*
 * Guest-physical [0, size) is the program's, at most half of what there is: call before the first
 * pv_enter().
 */
void pv_physical_reserve(uint64_t size);
/* Put the process's memory there. Multiples of 4096. -errno as PVHOST_ADD_REGION. */
int pv_physical(uint64_t gpa, void *memory, size_t size);
/* The guest-physical address of a byte of the process, or 0: there is no room for its chunk. */
uint64_t pv_physical_of(const void *memory);
/* CR3 of pv_root_default(), and its entries for the upper half, which are the program's (256). */
uint64_t pv_root_cr3(void);
uint64_t *pv_root_upper(void);

#endif
