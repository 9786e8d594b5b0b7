/* SPDX-License-Identifier: MIT */
/*
 * exec: an unmodified Xen tool on our libraries.
 *
 * LD_LIBRARY_PATH and XENSTORED_* do for most. Some insist on root and on fixed paths: they get
 * a user and mount namespace in which /run, /var/lib/xen, /var/log and /var/lock are folders of
 * the runtime directory and /sys/bus has the folder that xentop opens.
 */
#include "toolstack/pvctl/pvctl.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd >= 0) {
		if (write(fd, text, strlen(text)) < 0)
			fprintf(stderr, "pvctl: %s: %s\n", path, strerror(errno));
		close(fd);
	}
}

/* A folder in the runtime directory. */
static void folder(const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", rundir, name);
	if (mkdir(path, 0700) && errno != EEXIST)
		die("%s: %s", path, strerror(errno));
}

/* A folder of the runtime directory in the place of a fixed path, if that path exists. */
static void stand_in(const char *name, const char *target)
{
	char path[PATH_MAX];

	folder(name);
	snprintf(path, sizeof(path), "%s/%s", rundir, name);
	if (access(target, F_OK) == 0 && mount(path, target, NULL, MS_BIND | MS_REC, NULL))
		die("cannot put %s in the place of %s: %s", path, target, strerror(errno));
}

/*
 * /run with what tools look for; the runtime directory, if it is in /run itself, stays where it is.
 */
static void run_stand_in(void)
{
	char real[PATH_MAX], inside[PATH_MAX + 8], path[sizeof(inside) + sizeof(rundir)];

	folder("ns-run");
	folder("ns-run/xen");
	folder("ns-run/lock"); /* what /var/lock points to */
	if (!realpath(rundir, real))
		die("%s: %s", rundir, strerror(errno));
	if (!strncmp(real, "/run/", 5)) {
		snprintf(inside, sizeof(inside), "ns-run%s", real + 4);
		for (char *s = inside + 7; (s = strchr(s, '/')); *s++ = '/') {
			*s = 0;
			folder(inside);
		}
		folder(inside);
		snprintf(path, sizeof(path), "%s/%s", rundir, inside);
		if (mount(real, path, NULL, MS_BIND | MS_REC, NULL))
			die("cannot keep %s in /run: %s", real, strerror(errno));
	}
	stand_in("ns-run", "/run");
}

static void namespaces(void)
{
	char map[64];
	unsigned uid = geteuid(), gid = getegid();
	int flags = CLONE_NEWNS | (uid ? CLONE_NEWUSER : 0);

	if (unshare(flags))
		die("this tool needs a user and mount namespace, which this host does not allow (%s)",
		    strerror(errno));
	if (uid) {
		write_file("/proc/self/setgroups", "deny");
		snprintf(map, sizeof(map), "0 %u 1", uid);
		write_file("/proc/self/uid_map", map);
		snprintf(map, sizeof(map), "0 %u 1", gid);
		write_file("/proc/self/gid_map", map);
	}
	mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
	stand_in("ns-lib-xen", "/var/lib/xen");
	stand_in("ns-log", "/var/log");
	folder("ns-log/xen");
	if (!mount("tmpfs", "/sys/bus", "tmpfs", 0, "mode=755")) {
		mkdir("/sys/bus/xen-backend", 0755);
		mkdir("/sys/bus/xen-backend/devices", 0755);
	}
	run_stand_in();
}

static bool wants_root(const char *tool)
{
	static const char *const list[] = {"xl", "xentop", "xenconsoled", "xen-init-dom0"};

	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		if (!strcmp(tool, list[i]))
			return true;
	return false;
}

/*
 * The version whose libxenctrl this process runs with: tools of another would ask for structures of
 * another shape. Empty if the library's name does not tell.
 */
static const char *xen_version(void)
{
	static const char library[] = "/libxenctrl.so.";
	const void *its = dlsym(RTLD_DEFAULT, "xc_interface_open");
	const char *name;
	Dl_info info;

	if (!its || !dladdr(its, &info))
		return "";
	name = strstr(info.dli_fname, library);
	return name ? name + strlen(library) : "";
}

/* Where Debian has that version's tools, or the search path. */
static void __attribute__((noreturn)) run_tool(char **argv)
{
	const char *version = xen_version();
	char tool[PATH_MAX];

	if (strchr(argv[0], '/')) {
		execv(argv[0], argv);
		die("%s: %s", argv[0], strerror(errno));
	}
	snprintf(tool, sizeof(tool), "/usr/lib/xen-%s/bin/%s", version, argv[0]);
	execv(tool, argv);
	execvp(argv[0], argv);
	/* EACCES: a folder of PATH is not this user's to look into. */
	if (errno != ENOENT && errno != EACCES)
		die("%s: %s", argv[0], strerror(errno));
	die("%s is neither in /usr/lib/xen-%s/bin nor in PATH; Xen's tools for this pvctl are in "
	    "Debian's package xen-utils-%s",
	    argv[0], version, version);
}

int cmd_exec(int argc, char **argv)
{
	char dir[PATH_MAX], lib[PATH_MAX + 16];
	int at = 1;

	if (argc > 1 && !strcmp(argv[1], "--"))
		at = 2;
	if (at >= argc || !strcmp(argv[at], "--help")) {
		puts("Usage: pvctl exec [--] TOOL [ARGUMENTS]\n"
		     "Run a Xen tool of Debian's on Pavane: pvctl exec -- xl list");
		return at < argc ? 0 : 2;
	}
	connect_broker(false);
	xc_interface_close(xch);
	if (xsh)
		xs_close(xsh);
	snprintf(lib, sizeof(lib), "%s/../lib/pavane", own_dir(dir, sizeof(dir)));
	setenv("LD_LIBRARY_PATH", lib, 1);
	if (wants_root(argv[at]))
		namespaces();
	run_tool(argv + at);
}
