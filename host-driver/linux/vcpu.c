// SPDX-License-Identifier: GPL-2.0-only
/*
 * Running a vCPU. From vcpu_arrive to vcpu_leave interrupts are off but for the moments in which
 * the host's are taken, and the thread cannot be scheduled; outside, nothing of the vCPU is in the
 * CPU and its VMCS is clear. So no other CPU ever has to be asked for it, and a thread may be
 * preempted, migrate and die like any other.
 */
#include <linux/anon_inodes.h>
#include <linux/context_tracking.h>
#include <linux/fs.h>
#include <linux/hw_breakpoint.h>
#include <linux/idr.h>
#include <linux/kvm_host.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <asm/debugreg.h>
#include <asm/desc.h>
#include <asm/fpu/api.h>
#include <asm/msr.h>
#include <asm/pkru.h>
#include <asm/vmx.h>

#include "compat.h"
#include "driver.h"

static DEFINE_IDA(vpids);

#define DR6_BITS    0xe00f /* DR6: what happened; the others are constant here */
#define DR7_ENABLED 0xff   /* DR7: any breakpoint is on */

/* What user mode must see to before the thread may go on (as KVM has it). */
#define WORK (_TIF_SIGPENDING | _TIF_NOTIFY_SIGNAL | _TIF_NOTIFY_RESUME)

static void swap_msrs_in(struct vcpu *v)
{
	rdmsrl(MSR_LSTAR, v->host_lstar);
	rdmsrl(MSR_STAR, v->host_star);
	rdmsrl(MSR_SYSCALL_MASK, v->host_sfmask);
	rdmsrl(MSR_KERNEL_GS_BASE, v->host_kernel_gs_base);
	wrmsrl(MSR_LSTAR, v->lstar);
	wrmsrl(MSR_STAR, v->star);
	wrmsrl(MSR_SYSCALL_MASK, v->sfmask);
	wrmsrl(MSR_KERNEL_GS_BASE, v->kernel_gs_base);
	v->host_debugctl = get_debugctlmsr(); /* an exit clears it */
}

static void swap_msrs_out(struct vcpu *v)
{
	rdmsrl(MSR_KERNEL_GS_BASE, v->kernel_gs_base);
	wrmsrl(MSR_LSTAR, v->host_lstar);
	wrmsrl(MSR_STAR, v->host_star);
	wrmsrl(MSR_SYSCALL_MASK, v->host_sfmask);
	wrmsrl(MSR_KERNEL_GS_BASE, v->host_kernel_gs_base);
	if (v->host_debugctl)
		update_debugctlmsr(v->host_debugctl);
}

static void vmcs_load(struct vcpu *v)
{
	const u64 pa = __pa(v->vmcs);

	asm volatile("vmptrld %0" : : "m"(pa) : "cc", "memory");
}

static void vmcs_clear(struct vcpu *v)
{
	const u64 pa = __pa(v->vmcs);

	asm volatile("vmclear %0" : : "m"(pa) : "cc", "memory");
}

/* Translations made on another CPU since this vCPU was last here may be stale. */
static void flush_vpid(int vpid)
{
	const struct {
		u64 vpid, linear;
	} descriptor = {vpid, 0};

	asm volatile("invvpid %0, %1"
		     :
		     : "m"(descriptor), "r"(vmx.invvpid_single ? 1UL : 2UL)
		     : "cc", "memory");
}

static void vcpu_arrive(struct vcpu *v)
{
	const int cpu = smp_processor_id();

	vmcs_load(v);
	if (v->cpu != cpu) {
		vmcs_host_cpu();
		if (v->vpid)
			flush_vpid(v->vpid);
		v->cpu = cpu;
	}
	cpumask_set_cpu(cpu, &v->vm->cpus);
	smp_mb__after_atomic();
	vmcs_host_now();
	swap_msrs_in(v);
	if (flush_l1d)
		wrmsrl(MSR_IA32_FLUSH_CMD, L1D_FLUSH);
}

static void debug_use(struct vcpu *v, bool on)
{
	const u32 proc = vmcs_read(CPU_BASED_VM_EXEC_CONTROL) & ~CPU_BASED_MOV_DR_EXITING;

	v->debug = on;
	vmcs_write(CPU_BASED_VM_EXEC_CONTROL, proc | (on ? 0 : CPU_BASED_MOV_DR_EXITING));
}

/*
 * Of the debug registers VMX switches DR7 alone. With that off, here and after an exit, the others
 * are out of use; but the host's, if it has any, must be back before its interrupts are on.
 */
static void debug_in(const struct vcpu *v)
{
	set_debugreg(0, 7);
	set_debugreg(v->dr[0], 0);
	set_debugreg(v->dr[1], 1);
	set_debugreg(v->dr[2], 2);
	set_debugreg(v->dr[3], 3);
	set_debugreg((READ_ONCE(v->run->dr6) & DR6_BITS) | DR6_RESERVED, 6);
}

static void debug_out(struct vcpu *v)
{
	unsigned long dr6;

	get_debugreg(v->dr[0], 0);
	get_debugreg(v->dr[1], 1);
	get_debugreg(v->dr[2], 2);
	get_debugreg(v->dr[3], 3);
	get_debugreg(dr6, 6);
	v->run->dr6 = dr6 & DR6_BITS;
	set_debugreg(DR6_RESERVED, 6);
	if (hw_breakpoint_active())
		hw_breakpoint_restore();
}

/*
 * VMX leaves PKRU alone, and XRSTOR in any ring loads it, whatever CR4 says. Of the guest's the
 * thread would be kept from its own memory.
 */
static void pkru_in(struct vcpu *v)
{
	v->host_pkru = read_pkru();
	write_pkru(v->pkru);
}

static void pkru_out(struct vcpu *v)
{
	v->pkru = read_pkru();
	write_pkru(v->host_pkru);
}

static void vcpu_leave(struct vcpu *v)
{
	swap_msrs_out(v);
	if (vtx_on()) { /* not while the machine reboots */
		if (v->debug && !(vmcs_read(GUEST_DR7) & DR7_ENABLED))
			debug_use(v, false);
		vmcs_clear(v);
	}
	/* An exit leaves the GDT 64 KiB long and the TSS without its I/O bitmap. */
	load_fixmap_gdt(smp_processor_id());
	invalidate_tss_limit();
	if (hw_breakpoint_active())
		hw_breakpoint_restore();
}

/* KVM's way through context tracking: no tracing or tracking code may run in here. */
static noinstr bool enter(struct pvhost_run *run, bool resume)
{
	u32 info, vector;
	bool failed;

	guest_state_enter_irqoff();
	if (run->cr2 != native_read_cr2())
		native_write_cr2(run->cr2);
	if (flush_buffers) {
		static const u16 selector = __KERNEL_DS;

		asm volatile("verw %0" : : "m"(selector) : "cc");
	}
	failed = pvhost_enter(run, resume);
	run->cr2 = native_read_cr2();
	if (!failed && (u16)vmcs_read(VM_EXIT_REASON) == EXIT_REASON_EXCEPTION_NMI) {
		info = vmcs_read(VM_EXIT_INTR_INFO);
		vector = info & INTR_INFO_VECTOR_MASK;
		/* NMIs stay blocked until the handler's iret. */
		if (vector == 2 && (info & INTR_INFO_INTR_TYPE_MASK) == INTR_TYPE_NMI_INTR)
			asm volatile("int $2");
		else if (vector == 18)
			asm volatile("int $18");
	}
	guest_state_exit_irqoff();
	return failed;
}

static void inject(u32 event, u32 error, u32 length)
{
	vmcs_write(VM_ENTRY_INTR_INFO_FIELD, event);
	vmcs_write(VM_ENTRY_EXCEPTION_ERROR_CODE, error);
	vmcs_write(VM_ENTRY_INSTRUCTION_LEN, length);
}

/* What the process asks of this run. */
static void take_inputs(struct vcpu *v, const struct event *event)
{
	const struct pvhost_run *run = v->run;
	const u64 rip = READ_ONCE(run->rip);
	const u32 proc = (v->debug ? vmx.proc & ~CPU_BASED_MOV_DR_EXITING : vmx.proc) |
			 (READ_ONCE(run->irq_window) ? CPU_BASED_INTR_WINDOW_EXITING : 0);

	vmcs_write(GUEST_RIP, rip);
	vmcs_write(GUEST_RSP, READ_ONCE(run->rsp));
	vmcs_write(GUEST_RFLAGS, READ_ONCE(run->rflags));
	vmcs_write(CPU_BASED_VM_EXEC_CONTROL, proc);
	/* The shadow of sti or mov ss ends with the instruction after it. */
	if (rip != v->rip)
		vmcs_write(GUEST_INTERRUPTIBILITY_INFO, 0);
	inject(event->info, event->error, event->length);
}

static void tell_registers(struct vcpu *v)
{
	struct pvhost_run *run = v->run;

	v->rip = vmcs_read(GUEST_RIP);
	run->rip = v->rip;
	run->rsp = vmcs_read(GUEST_RSP);
	run->rflags = vmcs_read(GUEST_RFLAGS);
	run->cs = vmcs_read(GUEST_CS_SELECTOR);
	run->shadow = vmcs_read(GUEST_INTERRUPTIBILITY_INFO) & 3;
}

static void tell(struct vcpu *v, u32 reason)
{
	struct pvhost_run *run = v->run;

	tell_registers(v);
	run->exit_reason = reason;
	run->qualification = vmcs_read(EXIT_QUALIFICATION);
	run->instruction_length = vmcs_read(VM_EXIT_INSTRUCTION_LEN);
	run->intr_info = vmcs_read(VM_EXIT_INTR_INFO);
	run->intr_error = vmcs_read(VM_EXIT_INTR_ERROR_CODE);
	run->vectoring = vmcs_read(IDT_VECTORING_INFO_FIELD);
	run->vectoring_error = vmcs_read(IDT_VECTORING_ERROR_CODE);
	run->gpa = vmcs_read(GUEST_PHYSICAL_ADDRESS);
	run->linear = vmcs_read(GUEST_LINEAR_ADDRESS);
}

/* Go on with what an exit interrupted: the event on its way, or the exception that caused it. */
static void reinject(struct pvhost_run *run, enum exit_action action)
{
	u32 event = exit_reinject(vmcs_read(IDT_VECTORING_INFO_FIELD));
	u32 error = vmcs_read(IDT_VECTORING_ERROR_CODE);

	if (action == EXIT_REFLECT) {
		event = exit_reinject(vmcs_read(VM_EXIT_INTR_INFO));
		error = vmcs_read(VM_EXIT_INTR_ERROR_CODE);
		if ((event & INTR_INFO_VECTOR_MASK) == 1)
			run->dr6 |= vmcs_read(EXIT_QUALIFICATION) & DR6_BITS;
	}
	if (event)
		inject(event, error, vmcs_read(VM_EXIT_INSTRUCTION_LEN));
}

/* What the next PVHOST_RUN is to go on with. */
static void tell_interrupted(struct vcpu *v)
{
	struct pvhost_run *run = v->run;
	const u32 event = vmcs_read(VM_ENTRY_INTR_INFO_FIELD);

	tell_registers(v);
	run->inject = event & PVHOST_VALID ? event : 0;
	run->inject_error = vmcs_read(VM_ENTRY_EXCEPTION_ERROR_CODE);
	run->inject_length = vmcs_read(VM_ENTRY_INSTRUCTION_LEN);
}

/* Take the host's interrupts that are pending; false if VMX was switched off by one of them. */
static bool take_interrupts(void)
{
	local_irq_enable();
	asm volatile("nop"); /* sti holds interrupts off for one instruction */
	local_irq_disable();
	guest_timing_exit_irqoff();
	return vtx_on();
}

struct fault {
	u64 gpa;
	bool write;
};

/* Handle what one exit asks for, up to the point where interrupts may be enabled. */
static enum exit_action handle(struct vcpu *v, struct fault *fault)
{
	const u32 reason = vmcs_read(VM_EXIT_REASON);
	const enum exit_action action =
		exit_action(reason, vmcs_read(VM_EXIT_INTR_INFO), v->run->rax);

	switch (action) {
	case EXIT_USER: tell(v, reason); break;
	case EXIT_DEBUG: debug_use(v, true); break; /* and again */
	case EXIT_NOP:
		vmcs_write(GUEST_RIP, vmcs_read(GUEST_RIP) + vmcs_read(VM_EXIT_INSTRUCTION_LEN));
		break;
	case EXIT_EPT:
		tell(v, reason); /* if it cannot be filled */
		fault->gpa = vmcs_read(GUEST_PHYSICAL_ADDRESS);
		fault->write = vmcs_read(EXIT_QUALIFICATION) & EPT_VIOLATION_ACC_WRITE;
		fallthrough;
	default: reinject(v->run, action);
	}
	return action;
}

/*
 * One stay on this CPU. EXIT_USER: the run page says why; EXIT_EPT: *fault is to be filled;
 * EXIT_INTERRUPT: the thread has other work to do first; negative: an error.
 */
static int stay(struct vcpu *v, const struct event *event, struct fault *fault)
{
	int action = EXIT_INTERRUPT;
	bool resume = false, failed;

	vcpu_arrive(v);
	if (event)
		take_inputs(v, event);
	while (!need_resched() && !(read_thread_flags() & WORK)) {
		if (test_thread_flag(TIF_NEED_FPU_LOAD))
			switch_fpu_return();
		guest_timing_enter_irqoff();
		if (v->debug)
			debug_in(v);
		pkru_in(v);
		failed = enter(v->run, resume);
		pkru_out(v);
		if (v->debug)
			debug_out(v);
		if (failed) {
			WARN_ONCE(1, "pvhost: VM entry refused: error %llu\n",
				  vmcs_read(VM_INSTRUCTION_ERROR));
			take_interrupts();
			action = -EIO;
			break;
		}
		resume = true;
		v->run->exits++;
		action = handle(v, fault);
		if (action == EXIT_INTERRUPT || action == EXIT_NMI || action == EXIT_MCE)
			v->run->interrupts++;
		if (!take_interrupts()) {
			action = -EBUSY;
			break;
		}
		if (action == EXIT_USER || action == EXIT_EPT)
			break;
		action = EXIT_INTERRUPT;
	}
	if (action == EXIT_INTERRUPT || action == EXIT_EPT)
		tell_interrupted(v);
	vcpu_leave(v);
	return action;
}

/* An exit leaves null in them, and no LDT: the thread must not need more. */
static bool segments_null(void)
{
	u16 ds, es, fs, gs, ldt;

	savesegment(ds, ds);
	savesegment(es, es);
	savesegment(fs, fs);
	savesegment(gs, gs);
	store_ldt(ldt);
	return !(ds | es | fs | gs | ldt);
}

static int run_once(struct vcpu *v, const struct event *event, struct fault *fault)
{
	int action = -EBUSY;

	preempt_disable();
	local_irq_disable();
	if (vtx_on())
		action = stay(v, event, fault);
	local_irq_enable();
	preempt_enable();
	return action;
}

static int vcpu_run(struct vcpu *v)
{
	struct pvhost_run *run = v->run;
	const struct event event = {READ_ONCE(run->inject), READ_ONCE(run->inject_error),
				    READ_ONCE(run->inject_length)};
	const struct event *first = &event;
	struct fault fault;
	int ret;

	if (READ_ONCE(run->immediate_exit))
		return -EINTR;
	if (!exit_event_ok(event.info, event.error, event.length))
		return -EINVAL;
	if (!segments_null())
		return -EOPNOTSUPP;
	for (;;) {
		ret = run_once(v, first, &fault);
		first = NULL;
		if (ret == EXIT_EPT) {
			ret = vm_fault(v->vm, &v->reserve, fault.gpa, fault.write);
			if (ret == -EFAULT)
				ret = EXIT_USER;
			else if (ret)
				return ret;
		}
		if (ret == EXIT_USER)
			run->inject = 0;
		if (ret == EXIT_USER || ret < 0)
			return min(ret, 0);
		if (read_thread_flags() & WORK)
			return -EINTR;
		cond_resched();
	}
}

/* Run `f` with the VMCS current. */
static int with_vmcs(struct vcpu *v, void (*f)(struct vcpu *, struct pvhost_state *),
		     struct pvhost_state *s)
{
	int ret = -EBUSY;

	preempt_disable();
	local_irq_disable();
	if (vtx_on()) {
		vmcs_load(v);
		f(v, s);
		vmcs_clear(v);
		ret = 0;
	}
	local_irq_enable();
	preempt_enable();
	return ret;
}

static int set_state(struct vcpu *v, const void __user *arg)
{
	struct pvhost_state s;

	if (copy_from_user(&s, arg, sizeof(s)))
		return -EFAULT;
	return state_check(&s) ?: with_vmcs(v, vmcs_set_state, &s);
}

static int get_state(struct vcpu *v, void __user *arg)
{
	struct pvhost_state s;
	int ret = with_vmcs(v, vmcs_get_state, &s);

	if (!ret && copy_to_user(arg, &s, sizeof(s)))
		ret = -EFAULT;
	return ret;
}

static long vcpu_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct vcpu *v = file->private_data;
	long ret;

	if (current->mm != v->vm->mm)
		return -EIO;
	if (!mutex_trylock(&v->lock))
		return -EBUSY;
	switch (cmd) {
	case PVHOST_RUN: ret = arg ? -EINVAL : vcpu_run(v); break;
	case PVHOST_SET_STATE: ret = set_state(v, (void __user *)arg); break;
	case PVHOST_GET_STATE: ret = get_state(v, (void __user *)arg); break;
	default: ret = -ENOTTY;
	}
	mutex_unlock(&v->lock);
	return ret;
}

static int vcpu_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct vcpu *v = file->private_data;

	if (current->mm != v->vm->mm)
		return -EIO;
	if (vma->vm_pgoff || vma->vm_end - vma->vm_start != PAGE_SIZE ||
	    !(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	vm_flags_set(vma, VM_DONTCOPY | VM_DONTEXPAND | VM_DONTDUMP);
	return vm_insert_page(vma, vma->vm_start, virt_to_page(v->run));
}

static void vcpu_free(struct vcpu *v)
{
	if (v->vpid)
		ida_free(&vpids, v->vpid);
	ept_reserve_drop(&v->reserve);
	free_page((unsigned long)v->vmcs);
	free_page((unsigned long)v->run);
	vm_put(v->vm);
	kfree(v);
}

static int vcpu_release(struct inode *inode, struct file *file)
{
	vcpu_free(file->private_data);
	return 0;
}

static const struct file_operations vcpu_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = vcpu_ioctl,
	.mmap = vcpu_mmap,
	.release = vcpu_release,
	.llseek = noop_llseek,
};

static void init(struct vcpu *v, struct pvhost_state *unused)
{
	vmcs_init(v);
}

int vcpu_create(struct vm *vm)
{
	struct vcpu *v = kzalloc(sizeof(*v), GFP_KERNEL_ACCOUNT);
	int ret = -ENOMEM;

	if (!v)
		return ret;
	vm_get(vm);
	v->vm = vm;
	v->cpu = -1;
	v->pkru = read_pkru();
	mutex_init(&v->lock);
	v->run = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	v->vmcs = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!v->run || !v->vmcs)
		goto fail;
	if (vmx.features & PVHOST_F_VPID) {
		ret = ida_alloc_range(&vpids, 1, U16_MAX, GFP_KERNEL);
		if (ret < 0)
			goto fail;
		v->vpid = ret;
	}
	*(u32 *)v->vmcs = vmx.revision;
	ret = with_vmcs(v, init, NULL);
	if (ret)
		goto fail;
	ret = anon_inode_getfd("[pvhost-vcpu]", &vcpu_fops, v, O_RDWR | O_CLOEXEC);
	if (ret >= 0)
		return ret;
fail:
	vcpu_free(v);
	return ret;
}
