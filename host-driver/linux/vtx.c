// SPDX-License-Identifier: GPL-2.0-only
/*
 * VMX of each processor: what it can do, and switching it on while somebody needs it. It is off
 * again for suspend, CPU hot-unplug, reboot and crashes: a CPU in VMX operation blocks INIT.
 */
#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/gfp.h>
#include <linux/namei.h>
#include <linux/path.h>
#include <linux/reboot.h>
#include <linux/syscore_ops.h>

#include <asm/cpufeature.h>
#include <asm/msr.h>
#include <asm/tlbflush.h>
#include <asm/vmx.h>

#include "compat.h"
#include "driver.h"

struct controls vmx;
u32 gpa_bits;
bool flush_l1d, flush_buffers;

static DEFINE_PER_CPU(void *, vmxon_page);
static DEFINE_PER_CPU(bool, vmx_on);

static DEFINE_MUTEX(users_lock);
static unsigned int users;
static int hotplug_state;
static bool going_down; /* reboot: never on again */

static void read_msrs(struct vmx_msrs *m)
{
	memset(m, 0, sizeof(*m));
	rdmsrl(MSR_IA32_VMX_BASIC, m->basic);
	/* The TRUE ones tell that CR3 loads need not exit. */
	if (m->basic & (1ULL << 55)) {
		rdmsrl(MSR_IA32_VMX_TRUE_PINBASED_CTLS, m->pin);
		rdmsrl(MSR_IA32_VMX_TRUE_PROCBASED_CTLS, m->proc);
		rdmsrl(MSR_IA32_VMX_TRUE_EXIT_CTLS, m->exit);
		rdmsrl(MSR_IA32_VMX_TRUE_ENTRY_CTLS, m->entry);
	} else {
		rdmsrl(MSR_IA32_VMX_PINBASED_CTLS, m->pin);
		rdmsrl(MSR_IA32_VMX_PROCBASED_CTLS, m->proc);
		rdmsrl(MSR_IA32_VMX_EXIT_CTLS, m->exit);
		rdmsrl(MSR_IA32_VMX_ENTRY_CTLS, m->entry);
	}
	if ((m->proc >> 32) & CPU_BASED_ACTIVATE_SECONDARY_CONTROLS)
		rdmsrl(MSR_IA32_VMX_PROCBASED_CTLS2, m->proc2);
	if ((m->proc2 >> 32) & SECONDARY_EXEC_ENABLE_EPT)
		rdmsrl(MSR_IA32_VMX_EPT_VPID_CAP, m->ept_vpid);
	rdmsrl(MSR_IA32_VMX_CR0_FIXED0, m->cr0_fixed0);
	rdmsrl(MSR_IA32_VMX_CR0_FIXED1, m->cr0_fixed1);
	rdmsrl(MSR_IA32_VMX_CR4_FIXED0, m->cr4_fixed0);
	rdmsrl(MSR_IA32_VMX_CR4_FIXED1, m->cr4_fixed1);
}

static bool firmware_allows(void)
{
	const u64 need = FEAT_CTL_LOCKED | FEAT_CTL_VMX_ENABLED_OUTSIDE_SMX;
	u64 ctl;

	return !rdmsrl_safe(MSR_IA32_FEAT_CTL, &ctl) && (ctl & need) == need;
}

static int vmxon(u64 pa)
{
	/* clang-format off */
	asm goto("1: vmxon %0\n\t"
		 "jbe %l[fault]\n\t"
		 _ASM_EXTABLE(1b, %l[fault])
		 :
		 : "m"(pa)
		 : "memory", "cc"
		 : fault);
	/* clang-format on */
	return 0;
fault:
	return -EIO;
}

/* On this CPU, interrupts disabled. */
static void vmx_off(void *unused)
{
	if (!this_cpu_read(vmx_on))
		return;
	this_cpu_write(vmx_on, false);
	asm volatile("vmxoff" : : : "cc", "memory");
	cr4_clear_bits(X86_CR4_VMXE);
}

static int vmx_start(void)
{
	u32 *page = this_cpu_read(vmxon_page);
	int ret;

	if (going_down)
		return -ESHUTDOWN;
	if (cr4_read_shadow() & X86_CR4_VMXE) {
		pr_err("pvhost: another hypervisor has VT-x on CPU %d: stop its VMs, or "
		       "`modprobe -r kvm_intel`\n",
		       smp_processor_id());
		return -EBUSY;
	}
	if (!firmware_allows()) {
		pr_err("pvhost: the firmware has switched VT-x off on CPU %d\n",
		       smp_processor_id());
		return -EIO;
	}
	*page = vmx.revision;
	cr4_set_bits(X86_CR4_VMXE);
	ret = vmxon(__pa(page));
	if (ret) {
		cr4_clear_bits(X86_CR4_VMXE);
		pr_err("pvhost: VMXON fails on CPU %d\n", smp_processor_id());
		return ret;
	}
	/* What an earlier VMX operation cached may still be there (SDM vol. 3, 29.4.3.4). */
	asm volatile("invept %0, %1" : : "m"(*(u64[2]){}), "r"(2UL) : "cc", "memory");
	this_cpu_write(vmx_on, true);
	return 0;
}

static int vtx_cpu_on(unsigned int cpu)
{
	struct vmx_msrs msrs;
	struct controls c;
	unsigned long flags;
	int ret;

	memset(&c, 0, sizeof(c));
	read_msrs(&msrs);
	if (controls_choose(&msrs, &c) || memcmp(&c, &vmx, sizeof(c))) {
		pr_err("pvhost: CPU %u differs from the first one\n", cpu);
		return -EIO;
	}
	local_irq_save(flags);
	ret = vmx_start();
	local_irq_restore(flags);
	return ret;
}

static int vtx_cpu_off(unsigned int cpu)
{
	unsigned long flags;

	local_irq_save(flags);
	vmx_off(NULL);
	local_irq_restore(flags);
	return 0;
}

bool vtx_on(void)
{
	return this_cpu_read(vmx_on);
}

static bool vmx_was_on; /* by the one CPU that suspends */

static int suspend(SYSCORE_DATA)
{
	vmx_was_on = this_cpu_read(vmx_on);
	vmx_off(NULL);
	return 0;
}

static void resume(SYSCORE_DATA)
{
	if (vmx_was_on)
		vmx_start();
}

DEFINE_SYSCORE(syscore, .suspend = suspend, .resume = resume);

static int reboot(struct notifier_block *nb, unsigned long action, void *data)
{
	going_down = true;
	on_each_cpu(vmx_off, NULL, 1);
	return NOTIFY_OK;
}

static struct notifier_block reboot_notifier = {.notifier_call = reboot};

/* The crash path, on each CPU, whatever it was doing. */
static void emergency(void)
{
	vmx_off(NULL);
}

/*
 * There is room for one callback. KVM's, if it is loaded, does for us too: it switches VMX off
 * wherever CR4 says that it is on.
 */
static bool emergency_registered;

static void emergency_register(void)
{
	struct path path;

	if (!kern_path("/sys/module/kvm_intel", LOOKUP_FOLLOW, &path)) {
		path_put(&path);
		return;
	}
	cpu_emergency_register_virt_callback(emergency);
	emergency_registered = true;
}

static void emergency_unregister(void)
{
	if (emergency_registered)
		cpu_emergency_unregister_virt_callback(emergency);
	emergency_registered = false;
}

int vtx_get(void)
{
	int ret = 0;

	mutex_lock(&users_lock);
	if (!users) {
		ret = cpuhp_setup_state(CPUHP_AP_ONLINE_DYN, "pvhost:online", vtx_cpu_on,
					vtx_cpu_off);
		if (ret > 0) {
			hotplug_state = ret;
			ret = 0;
			emergency_register();
		}
	}
	if (!ret)
		users++;
	mutex_unlock(&users_lock);
	return ret;
}

void vtx_put(void)
{
	mutex_lock(&users_lock);
	if (!--users) {
		emergency_unregister();
		cpuhp_remove_state(hotplug_state);
	}
	mutex_unlock(&users_lock);
}

static int refuse(const char *why)
{
	pr_err("pvhost: %s\n", why);
	return -ENODEV;
}

static int vtx_check(void)
{
	struct vmx_msrs msrs;
	const char *missing;

	if (!boot_cpu_has(X86_FEATURE_VMX))
		return refuse("this CPU has no VT-x, or the firmware or the hypervisor around this "
			      "machine hides it; use Pavane's `process` provider");
	if (!firmware_allows())
		return refuse("VT-x is switched off by the firmware: enable it in its setup");
#ifdef X86_FEATURE_FRED
	if (cpu_feature_enabled(X86_FEATURE_FRED))
		return refuse("the kernel uses FRED: boot with fred=off");
#endif
	read_msrs(&msrs);
	missing = controls_choose(&msrs, &vmx);
	if (missing) {
		pr_err("pvhost: this CPU's VT-x lacks %s; use Pavane's `process` provider\n",
		       missing);
		return -ENODEV;
	}
	/* A guest's page tables choose which host frames a not-present entry speculates on. */
	flush_l1d = boot_cpu_has_bug(X86_BUG_L1TF) && l1tf_mitigation != L1TF_MITIGATION_OFF;
	if (flush_l1d && !boot_cpu_has(X86_FEATURE_FLUSH_L1D))
		return refuse("this CPU leaks its first-level cache to guests (L1TF) and cannot "
			      "flush it: update its microcode, or accept that with l1tf=off on "
			      "the kernel's command line");
	flush_buffers = boot_cpu_has_bug(X86_BUG_MDS) || boot_cpu_has_bug(X86_BUG_TAA) ||
			boot_cpu_has_bug(X86_BUG_MMIO_STALE_DATA);
	gpa_bits = min_t(u32, boot_cpu_data.x86_phys_bits, 48);
	return 0;
}

static void pages_free(void)
{
	int cpu;

	for_each_possible_cpu(cpu) free_page((unsigned long)per_cpu(vmxon_page, cpu));
}

int vtx_init(void)
{
	int cpu, ret = vtx_check();

	if (ret)
		return ret;
	for_each_possible_cpu(cpu)
	{
		per_cpu(vmxon_page, cpu) = (void *)get_zeroed_page(GFP_KERNEL);
		if (!per_cpu(vmxon_page, cpu)) {
			pages_free();
			return -ENOMEM;
		}
	}
	register_syscore(&syscore);
	register_reboot_notifier(&reboot_notifier);
	return 0;
}

void vtx_exit(void)
{
	unregister_reboot_notifier(&reboot_notifier);
	unregister_syscore(&syscore);
	pages_free();
}
