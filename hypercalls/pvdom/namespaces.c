/* SPDX-License-Identifier: MIT */
/*
 * A domain's process alone: user, PID, mount, network, IPC, UTS and cgroup namespaces.
 *
 * That of PIDs is made by the fork, for a process cannot change its own. In a user namespace that
 * it owns, an unprivileged user's process has the rights to make the others; root's makes it later,
 * for it would lose its way to files of other users, pvdom perhaps. No user of the host is mapped
 * into it: seen from outside, the process is still its user's, who may kill, trace and profile it;
 * to itself it is nobody, and can make no further user namespace.
 *
 * Not a time namespace: it changes what clocks show, and keeps nobody from anything.
 */
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hypercalls/pvdom/namespaces.h"

/* An exec takes capabilities away, but for those that are ambient: keep what root_empty needs. */
static void keep_rights(void)
{
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct caps[2];

	if (syscall(SYS_capget, &head, caps))
		return;
	for (int i = 0; i < 2; i++)
		caps[i].inheritable = caps[i].permitted;
	if (syscall(SYS_capset, &head, caps))
		return;
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_CHROOT, 0, 0);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_ADMIN, 0, 0);
}

pid_t namespaces_fork(void)
{
	/* the first is refused to all but root */
	static const int spaces[] = {CLONE_NEWPID, CLONE_NEWUSER | CLONE_NEWPID, 0};
	pid_t pid = -1;

	for (int i = 0; pid < 0 && i < 3; i++) {
		pid = syscall(SYS_clone, spaces[i] | SIGCHLD, NULL, NULL, NULL, 0);
		if (!pid && spaces[i] & CLONE_NEWUSER)
			keep_rights();
	}
	return pid;
}

/*
 * A file system with nothing in it, not to be written to, takes the place of the host's, which are
 * let go: the host can unmount them. An initramfs cannot be replaced, but left.
 */
static bool root_empty(void)
{
	const int fs = syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
	int root = -1;
	bool ok = false;

	if (fs >= 0 && !syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		root = syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC,
			       MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
				       MOUNT_ATTR_NOEXEC);
	if (root >= 0 && !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
	    !syscall(SYS_move_mount, root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) &&
	    !fchdir(root)) {
		if (!syscall(SYS_pivot_root, ".", "."))
			ok = !umount2(".", MNT_DETACH);
		else
			ok = !chroot(".");
	}
	if (root >= 0)
		close(root);
	if (fs >= 0)
		close(fs);
	return ok && !chdir("/");
}

static void name_add(char *names, size_t size, const char *name)
{
	const size_t n = strlen(names);

	if (n + strlen(name) + 2 <= size) {
		strcpy(names + n, n ? " " : "");
		strcat(names, name);
	}
}

void namespaces_enter(char *names, size_t size)
{
	static const struct {
		int flag;
		const char *name;
	} spaces[] = {{CLONE_NEWNET, "net"},
		      {CLONE_NEWIPC, "ipc"},
		      {CLONE_NEWUTS, "uts"},
		      {CLONE_NEWCGROUP, "cgroup"}};

	*names = 0;
	/* what namespaces_fork leaves with a user namespace */
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_SYS_ADMIN, 0, 0) == 1 ||
	    !unshare(CLONE_NEWUSER))
		name_add(names, size, "user");
	if (getpid() == 1)
		name_add(names, size, "pid");
	for (unsigned i = 0; i < sizeof(spaces) / sizeof(spaces[0]); i++)
		if (!unshare(spaces[i].flag))
			name_add(names, size, spaces[i].name);
	/* not the keys of whoever started pvd */
	syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
	if (!unshare(CLONE_NEWNS) && root_empty())
		name_add(names, size, "mnt");
}

bool capabilities_drop(void)
{
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	const struct __user_cap_data_struct none[2] = {{0}};

	return !syscall(SYS_capset, &head, none);
}
