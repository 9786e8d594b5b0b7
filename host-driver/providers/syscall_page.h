/* SPDX-License-Identifier: MIT */
#ifndef PAVANE_SYSCALL_PAGE_H
#define PAVANE_SYSCALL_PAGE_H

#include <stdint.h>

struct domain;

/* A hypercall page of Xen's form (PITFALLS C 6): 32 bytes a stub, `syscall`, the number in eax. */
void syscall_page(struct domain *d, uint8_t *page);

#endif
