// SPDX-License-Identifier: GPL-2.0-only
/* /dev/pvhost: a process that opens it gets VT-x to itself, and no more than it already had. */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/uaccess.h>

#include "driver.h"

static int device_open(struct inode *inode, struct file *file)
{
	struct vm *vm = vm_create();

	if (IS_ERR(vm))
		return PTR_ERR(vm);
	file->private_data = vm;
	return 0;
}

static int device_release(struct inode *inode, struct file *file)
{
	vm_put(file->private_data);
	return 0;
}

static int get_info(void __user *arg)
{
	const struct pvhost_info info = {
		.version = PVHOST_VERSION,
		.gpa_bits = gpa_bits,
		.features = vmx.features,
		.max_regions = MAX_REGIONS,
	};

	return copy_to_user(arg, &info, sizeof(info)) ? -EFAULT : 0;
}

static long device_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct vm *vm = file->private_data;
	struct pvhost_region region;

	if (current->mm != vm->mm)
		return -EIO;
	switch (cmd) {
	case PVHOST_INFO: return get_info((void __user *)arg);
	case PVHOST_CREATE_VCPU: return arg ? -EINVAL : vcpu_create(vm);
	case PVHOST_ADD_REGION:
	case PVHOST_DEL_REGION: break;
	default: return -ENOTTY;
	}
	if (copy_from_user(&region, (void __user *)arg, sizeof(region)))
		return -EFAULT;
	return cmd == PVHOST_ADD_REGION ? vm_region_add(vm, &region) : vm_region_del(vm, &region);
}

static const struct file_operations device_fops = {
	.owner = THIS_MODULE,
	.open = device_open,
	.release = device_release,
	.unlocked_ioctl = device_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "pvhost",
	.fops = &device_fops,
	.mode = 0666, /* it gives a process nothing that it did not have */
};

static int __init pvhost_init(void)
{
	int ret;

	ret = vmcs_module_init();
	if (ret)
		return ret;
	ret = vtx_init();
	if (ret)
		goto no_vtx;
	ret = misc_register(&device);
	if (!ret)
		return 0;
	vtx_exit();
no_vtx:
	vmcs_module_exit();
	return ret;
}

static void __exit pvhost_exit_module(void)
{
	misc_deregister(&device);
	vtx_exit();
	vmcs_module_exit();
}

module_init(pvhost_init);
module_exit(pvhost_exit_module);
MODULE_DESCRIPTION("Pavane: VT-x for ordinary processes");
MODULE_AUTHOR("Pavane");
MODULE_LICENSE("GPL");
