/* SPDX-License-Identifier: MIT */
#ifndef PAVANE_PVQEMU_H
#define PAVANE_PVQEMU_H

/*
 * sandbox.c: what QEMU, whose Debian build for Xen has no sandbox of its own, must not do. From
 * here on to its end: no new privileges, no capabilities, no process, no system call that changes
 * the system. 0, or -1 with errno.
 */
int sandbox(void);

#endif
