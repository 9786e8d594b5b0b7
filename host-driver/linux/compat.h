/* SPDX-License-Identifier: GPL-2.0-only */
/* What differs between Linux 6.1 and 6.18, and why the driver stops there. */
#ifndef PVHOST_COMPAT_H
#define PVHOST_COMPAT_H

#include <linux/mm.h>
#include <linux/version.h>

#include <asm/vmx.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)
#error "pvhost needs Linux 6.1 or later"
#endif
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 19, 0)
/* EXPORT_SYMBOL_FOR_KVM: CR4, the GDT and the FPU are for kvm*.ko only. */
#error "pvhost needs Linux 6.18 or earlier: 6.19 keeps what VT-x drivers need for KVM alone"
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
static inline void vm_flags_set(struct vm_area_struct *vma, unsigned long flags)
{
	vma->vm_flags |= flags;
}
#endif

/* Renamed in 6.6. */
#ifndef SECONDARY_EXEC_ENABLE_XSAVES
#define SECONDARY_EXEC_ENABLE_XSAVES SECONDARY_EXEC_XSAVES
#endif

/* rdmsrl and wrmsrl became rdmsrq and wrmsrq. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 16, 0)
#include <asm/msr.h>
#define rdmsrl	    rdmsrq
#define wrmsrl	    wrmsrq
#define rdmsrl_safe rdmsrq_safe
#endif

/* What is registered is no longer the table of functions itself, and they get an argument. */
#ifdef HAVE_SYSCORE
#define SYSCORE_DATA void *data
#define DEFINE_SYSCORE(name, ...)                                   \
	static const struct syscore_ops name##_ops = {__VA_ARGS__}; \
	static struct syscore name = {.ops = &name##_ops}
#else
#define SYSCORE_DATA		  void
#define DEFINE_SYSCORE(name, ...) static struct syscore_ops name = {__VA_ARGS__}
#define register_syscore	  register_syscore_ops
#define unregister_syscore	  unregister_syscore_ops
#endif

/*
 * The crash path runs one callback on every CPU (6.7, and stable kernels since), or looks at
 * CR4.VMXE itself. Kbuild looks which.
 */
#ifdef HAVE_EMERGENCY_CALLBACK
#include <asm/reboot.h>
#else
#define cpu_emergency_register_virt_callback(callback)	 ((void)(callback))
#define cpu_emergency_unregister_virt_callback(callback) ((void)(callback))
#endif

#endif
