/* SPDX-License-Identifier: MIT */
/* The CPU that a PV guest is shown. */
#ifndef PAVANE_CPUID_H
#define PAVANE_CPUID_H

#include <stdbool.h>
#include <stdint.h>

#define CPUID_XSAVE   (1U << 26) /* leaf 1, ecx */
#define CPUID_OSXSAVE (1U << 27)

/* The machine's CPUID: eax, ebx, ecx, edx of a leaf and subleaf. */
typedef void (*cpuid_fn)(uint32_t leaf, uint32_t sub, uint32_t r[4]);

/* What vCPU number `vcpu`, with these extended states on, is to see. */
void cpuid_guest(cpuid_fn host, uint32_t vcpu, uint64_t xcr0, uint32_t leaf, uint32_t sub,
		 uint32_t r[4]);
/* The states a guest may switch on; and may it have just these? */
uint64_t xcr0_allowed(cpuid_fn host);
bool xcr0_valid(cpuid_fn host, uint64_t xcr0);

#endif
