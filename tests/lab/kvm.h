/* SPDX-License-Identifier: MIT */
/* One KVM guest with one processor in real mode: just enough to see that VT-x works. */
#ifndef LAB_KVM_H
#define LAB_KVM_H
#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>

enum { KVM_GUEST_MEMORY = 0x4000, KVM_GUEST_CODE = 0x1000 };

struct kvm_guest {
	int kvm, vm, vcpu;
	uint8_t *memory;
	struct kvm_run *run;
};

/* NULL, or the name of the call that failed (errno says why). */
const char *kvm_guest_open(struct kvm_guest *g, const void *code, size_t size);
const char *kvm_guest_start(struct kvm_guest *g, uint64_t rcx);
/* Runs to the next exit and returns its reason, or -1. */
int kvm_guest_run(struct kvm_guest *g);
#endif
