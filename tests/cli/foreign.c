/* SPDX-License-Identifier: MIT */
/*
 * Maps pages of a domain that runs, to write to them: the other half of tests/guests/foreign.c.
 *   test-foreign DOMID MAIL PAGE (frame numbers)
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xenforeignmemory.h>

#define RW (PROT_READ | PROT_WRITE)

static bool await(volatile uint64_t *step, uint64_t value)
{
	for (int i = 0; i < 6000 && *step != value; i++)
		usleep(10000);
	return *step == value;
}

int main(int argc, char **argv)
{
	xenforeignmemory_handle *f = xenforeignmemory_open(NULL, 0);
	const uint32_t dom = argc == 4 ? strtoul(argv[1], NULL, 10) : 0;
	const xen_pfn_t mfn[] = {argc == 4 ? strtoul(argv[2], NULL, 10) : 0,
				 argc == 4 ? strtoul(argv[3], NULL, 10) : 0};
	volatile uint64_t *mail = f ? xenforeignmemory_map(f, dom, RW, 1, mfn, NULL) : NULL;
	uint64_t *page = mail ? xenforeignmemory_map(f, dom, RW, 1, mfn + 1, NULL) : NULL;
	int err[2] = {1, 1};

	if (!page) {
		perror("test-foreign");
		return 1;
	}
	*page = 0x1000; /* as an entry: not present */
	mail[0] = 1;
	if (!await(mail, 2) || xenforeignmemory_unmap(f, page, 1) || !await(mail, 3))
		return 2;
	mail[1] = xenforeignmemory_map(f, dom, RW, 1, mfn + 1, NULL) ? 0 : errno;
	mail[2] = xenforeignmemory_map(f, dom, RW, 2, mfn, err) && !err[0] && err[1] == -EINVAL;
	mail[3] = xenforeignmemory_map(f, dom, PROT_READ, 1, mfn + 1, NULL) != NULL;
	mail[0] = 4;
	return 0;
}
