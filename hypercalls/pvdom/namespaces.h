/* SPDX-License-Identifier: MIT */
/*
 * Namespaces of a domain's own, behind the filter of system calls (sandbox.c): a guest that finds
 * a way through one of the calls it has finds nothing on the other side. What the host does not
 * allow is left out: the domain runs without, and `pvctl info` tells which it has.
 */
#ifndef PAVANE_NAMESPACES_H
#define PAVANE_NAMESPACES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * pvd's half, fork() for a pvdom: the child is the first process of its own PID namespace, and
 * still has the rights to make the others after an exec. Until then it calls what is
 * async-signal-safe only. -1 and errno if there is no process.
 */
pid_t namespaces_fork(void);

/*
 * pvdom's half, before the first thread and behind what it opens by a path: the other namespaces,
 * of which that of mounts is an empty folder. Writes the names of what is this process's own.
 */
void namespaces_enter(char *names, size_t size);

/* No capability is left, nor can one come back. The last thing that needs any is before this. */
bool capabilities_drop(void);

/*
 * Landlock's version, 0: this kernel has none. From here on this thread and those it makes open no
 * file, as far as the version goes connect to no port or abstract socket, and signal nobody else.
 * Needs no_new_privs.
 */
int landlock_enter(void);

#endif
