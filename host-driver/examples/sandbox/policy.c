/* SPDX-License-Identifier: MIT */
/*
 * The policy, a text file:
 *
 *	# a comment
 *	allow CALL...			these system calls, as far as their arguments are the
 *program's allow CALL... /DIR/...		calls that name files: below these folders, to read
 *	allow CALL... /DIR/=rw		to write as well
 *	refuse ERRNO CALL...
 *	kill CALL...
 *	otherwise ERRNO | otherwise kill	all the rest; without such a line EPERM
 *
 * A folder gives what is in it: with /proc/ a program reads /proc/self/mem, which is us.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox.h"

#define MAX_DIRS 32
#define WRITING	 (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND)

static struct verdict verdicts[MAX_CALLS];
static struct verdict otherwise = {REFUSE, EPERM};
static struct dir {
	char *path; /* with its last slash */
	int fd;
	bool write;
	bool of[MAX_CALLS];
} dirs[MAX_DIRS];
static unsigned nr_dirs;
static char why[200];

static int call_named(const char *name)
{
	for (int i = 0; i < nr_calls; i++)
		if (!strcmp(calls[i].name, name))
			return i;
	snprintf(why, sizeof(why), "no system call that we know: %s", name);
	return -1;
}

static bool decide(int call, struct verdict v)
{
	const enum action before = verdicts[call].action;

	if (before != OTHERWISE && before != v.action) {
		snprintf(why, sizeof(why), "already decided otherwise: %s", calls[call].name);
		return false;
	}
	verdicts[call] = v;
	return true;
}

static int error_named(const char *name)
{
	const char *known;

	for (int e = 1; e < 134; e++) {
		known = strerrorname_np(e);
		if (known && !strcmp(known, name))
			return e;
	}
	snprintf(why, sizeof(why), "no such error: %s", name);
	return 0;
}

/*
 * The folder is opened here and now: what its name leads to later does not matter, and the kernel
 * looks paths up below it (policy_open).
 */
static struct dir *dir_add(char *word)
{
	struct dir *d = &dirs[nr_dirs];
	char *mode = strchr(word, '=');

	if (mode)
		*mode++ = 0;
	d->write = mode && !strcmp(mode, "rw");
	if ((mode && !d->write) || word[strlen(word) - 1] != '/' || nr_dirs == MAX_DIRS) {
		snprintf(why, sizeof(why), "a folder is /NAME/ or /NAME/=rw: %s", word);
		return NULL;
	}
	d->fd = open(word, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (d->fd < 0) {
		snprintf(why, sizeof(why), "%s: %s", word, strerror(errno));
		return NULL;
	}
	d->path = strdup(word);
	nr_dirs++;
	return d;
}

static bool allow(char *word)
{
	const unsigned first = nr_dirs;
	bool named[MAX_CALLS] = {false};
	struct dir *d;
	int call;

	for (; word; word = strtok(NULL, " \t")) {
		if (*word == '/') {
			d = dir_add(word);
			if (!d)
				return false;
			memcpy(d->of, named, sizeof(named));
			continue;
		}
		call = call_named(word);
		if (call < 0 || !decide(call, (struct verdict){.action = ALLOW}))
			return false;
		named[call] = true;
	}
	for (call = 0; call < nr_calls; call++) {
		if (!named[call] || calls[call].paths == (nr_dirs > first))
			continue;
		snprintf(why, sizeof(why), "%s %s", calls[call].name,
			 calls[call].paths ? "needs folders after it" : "names no files");
		return false;
	}
	return true;
}

static bool line_read(char *line)
{
	const char *verb = strtok(line, " \t\n");
	char *word = strtok(NULL, " \t\n");
	struct verdict v = {KILL, 0};
	int call;

	if (!verb || *verb == '#')
		return true;
	if (!word) {
		snprintf(why, sizeof(why), "nothing after: %s", verb);
		return false;
	}
	if (!strcmp(verb, "allow"))
		return allow(word);
	if (!strcmp(verb, "refuse") || (!strcmp(verb, "otherwise") && strcmp(word, "kill"))) {
		v = (struct verdict){REFUSE, error_named(word)};
		if (!v.error)
			return false;
		word = strtok(NULL, " \t\n");
	} else if (!strcmp(verb, "otherwise")) {
		word = strtok(NULL, " \t\n");
	}
	if (!strcmp(verb, "otherwise")) {
		otherwise = v;
		snprintf(why, sizeof(why), "too much: %s", word ?: "");
		return !word;
	}
	if (strcmp(verb, "refuse") && strcmp(verb, "kill")) {
		snprintf(why, sizeof(why), "neither allow, refuse, kill nor otherwise: %s", verb);
		return false;
	}
	for (; word; word = strtok(NULL, " \t\n")) {
		call = call_named(word);
		if (call < 0 || !decide(call, v))
			return false;
	}
	return true;
}

bool policy_read(const char *file)
{
	FILE *in = fopen(file, "re");
	char line[1024];
	unsigned n = 0;
	bool good = true;

	if (!in) {
		fprintf(stderr, "sandbox: %s: %s\n", file, strerror(errno));
		return false;
	}
	while (good && fgets(line, sizeof(line), in)) {
		n++;
		line[strcspn(line, "\n")] = 0;
		good = line_read(line);
	}
	fclose(in);
	if (!good)
		fprintf(stderr, "sandbox: %s:%u: %s\n", file, n, why);
	return good;
}

struct verdict policy_of(int call)
{
	return call < 0 || verdicts[call].action == OTHERWISE ? otherwise : verdicts[call];
}

/*
 * Comparing names is not enough: "/etc/../root" begins with /etc/, and so does a symbolic link
 * there that leads elsewhere. The kernel resolves what follows, and does not leave the folder.
 */
int policy_open(int call, const char *path, int flags, int mode)
{
	struct open_how how = {
		.flags = flags | O_CLOEXEC | (flags & O_PATH ? 0 : O_NOCTTY),
		.mode = flags & O_CREAT ? mode & 07777 : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	int ret = -EACCES;

	for (const struct dir *d = dirs; d < dirs + nr_dirs; d++) {
		const size_t n = strlen(d->path);
		const bool itself = strlen(path) == n - 1 && !strncmp(path, d->path, n - 1);

		if (!d->of[call] || (!itself && strncmp(path, d->path, n)) ||
		    (flags & WRITING && !d->write))
			continue;
		ret = pv_host_call(SYS_openat2, d->fd, (long)(itself || !path[n] ? "." : path + n),
				   (long)&how, sizeof(how), 0, 0);
		if (ret != -EXDEV)
			break;
		ret = -EACCES;
	}
	return ret;
}
