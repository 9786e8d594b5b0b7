/* SPDX-License-Identifier: MIT */
/* pvctl gdb: a domain's debugger is gdb, here or at the other end of a socket. */
#include "toolstack/pvctl/gdb.h"
#include "toolstack/pvctl/pvctl.h"

#include <arpa/inet.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const char gdb_help[] =
	"Usage: pvctl gdb DOMAIN [--port N | --unix PATH | --stdio] [-- [FILE] GDB-ARGS]\n"
	"Stop a domain and debug it with gdb: its kernel, and what the kernel runs. Every vCPU is a\n"
	"thread. Without an option gdb is started, with the symbols of FILE or of the domain's kernel.\n"
	"When gdb detaches, or is gone, the domain runs on.\n\n"
	"  --port N     wait for one gdb at 127.0.0.1:N (0: any free port, which is printed)\n"
	"  --unix PATH  wait for one gdb at this socket\n"
	"  --stdio      gdb is at the other end of stdin and stdout\n\n"
	"Example: pvctl gdb demo\n"
	"         pvctl gdb demo -- vmlinux -ex 'break panic'\n"
	"         gdb vmlinux -ex 'target remote | pvctl gdb demo --stdio'\n";

struct wish {
	uint32_t domid;
	int port; /* -1: none */
	const char *path;
	bool stdio;
	char **args; /* gdb's */
};

/* ---- the session ---- */

/* Until gdb or the domain has gone. */
static int serve(uint32_t domid, int in, int out)
{
	struct debuggee *d = calloc(1, sizeof(*d));
	uint8_t buf[4096];
	ssize_t n = 1;

	if (!d)
		die("out of memory");
	if (!debuggee_open(d, domid, out)) {
		free(d);
		return 1;
	}
	while (!d->rsp.ended && n > 0) {
		struct pollfd p[3] = {{.fd = in, .events = POLLIN},
				      {.fd = debuggee_fd(d), .events = POLLIN},
				      {.fd = debuggee_broker(d)}};

		if (poll(p, 3, -1) < 0)
			continue;
		if (p[2].revents)
			debuggee_lost(d);
		else if (p[1].revents)
			debuggee_event(d);
		if (!p[0].revents || d->rsp.ended)
			continue;
		n = read(in, buf, sizeof(buf));
		if (n > 0)
			rsp_input(&d->rsp, buf, n);
		else if (n < 0 && errno == EINTR)
			n = 1;
	}
	debuggee_close(d);
	free(d);
	return 0;
}

/* ---- sockets ---- */

static int listen_port(int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons(port),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(a);

	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
	if (s < 0 || bind(s, (struct sockaddr *)&a, sizeof(a)) || listen(s, 1) ||
	    getsockname(s, (struct sockaddr *)&a, &len))
		die("port %d: %s", port, strerror(errno));
	printf("gdb may connect: target remote 127.0.0.1:%u\n", ntohs(a.sin_port));
	fflush(stdout);
	return s;
}

/* A socket that nobody listens at: asked by one of another type, which nobody accepts. */
static bool is_stale(const struct sockaddr_un *a)
{
	const int s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct stat st;
	bool stale;

	if (s < 0)
		return false;
	stale = !lstat(a->sun_path, &st) && S_ISSOCK(st.st_mode) &&
		connect(s, (const struct sockaddr *)a, sizeof(*a)) && errno == ECONNREFUSED;
	close(s);
	return stale;
}

static int listen_path(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	const int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	mode_t mask;

	if (strlen(path) >= sizeof(a.sun_path))
		die("%s: too long for a socket's name", path);
	strcpy(a.sun_path, path);
	if (is_stale(&a)) /* of one that was killed while it waited */
		unlink(path);
	mask = umask(0077);
	if (s < 0 || bind(s, (struct sockaddr *)&a, sizeof(a)) || listen(s, 1))
		die("%s: %s", path, strerror(errno));
	umask(mask);
	return s;
}

/* The first that connects; or -1 when `child`, a pidfd or -1, has ended before. */
static int accept_one(int s, int child)
{
	struct pollfd p[2] = {{.fd = s, .events = POLLIN}, {.fd = child, .events = POLLIN}};
	int fd;

	while (poll(p, 2, -1) < 0 && errno == EINTR)
		;
	if (!p[0].revents)
		return -1;
	fd = accept4(s, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	close(s);
	return fd;
}

/* path: the socket's, or NULL. */
static int serve_socket(uint32_t domid, int s, const char *path)
{
	const int fd = accept_one(s, -1);

	if (path)
		unlink(path);
	if (fd < 0)
		die("nobody can connect: %s", strerror(errno));
	return serve(domid, fd, fd);
}

/* ---- gdb itself ---- */

static bool installed(const char *program)
{
	char path[512], *dirs = strdup(getenv("PATH") ? getenv("PATH") : "/usr/bin:/bin"),
			*at = dirs;
	bool found = false;

	for (char *dir; !found && (dir = strsep(&at, ":"));) {
		snprintf(path, sizeof(path), "%s/%s", dir, program);
		found = !access(path, X_OK);
	}
	free(dirs);
	return found;
}

/* The kernel that the domain was made of, if gdb can read it; else "". */
static void kernel_of(uint32_t domid, char *path, size_t size)
{
	struct config c;
	char magic[SELFMAG];
	int fd;

	*path = 0;
	if (!config_load(&c, domid))
		return;
	fd = open(c.kernel, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && read(fd, magic, SELFMAG) == SELFMAG && !memcmp(magic, ELFMAG, SELFMAG))
		snprintf(path, size, "%s", c.kernel);
	if (fd >= 0)
		close(fd);
	config_free(&c);
}

static void exec_gdb(const struct wish *w, const char *socket)
{
	char target[160], kernel[512];
	const char *argv[64] = {"gdb", "-q"};
	unsigned n = 2;
	char **args = w->args;

	snprintf(target, sizeof(target), "target remote %s", socket);
	kernel_of(w->domid, kernel, sizeof(kernel));
	if (!debuggee_watches(w->domid)) { /* then by steps, which gdb does not think of itself */
		argv[n++] = "-iex";
		argv[n++] = "set can-use-hw-watchpoints 0";
	}
	if (*args && **args != '-')
		argv[n++] = *args++;
	else if (*kernel)
		argv[n++] = kernel;
	argv[n++] = "-ex";
	argv[n++] = target;
	while (*args && n < 63)
		argv[n++] = *args++;
	signal(SIGPIPE, SIG_DFL);
	execvp("gdb", (char **)argv);
	fprintf(stderr, "pvctl: gdb: %s\n", strerror(errno));
	_exit(127);
}

/* gdb's exit status; ^C is its, not ours. */
static int with_gdb(const struct wish *w)
{
	char dir[128], path[160];
	int s, fd, child, status;
	pid_t pid;

	snprintf(dir, sizeof(dir), "%s/gdb-XXXXXX", rundir);
	if (!mkdtemp(dir))
		die("%s: %s", dir, strerror(errno));
	snprintf(path, sizeof(path), "%s/socket", dir);
	s = listen_path(path);
	pid = fork();
	if (!pid)
		exec_gdb(w, path);
	if (pid < 0)
		die("gdb: %s", strerror(errno));
	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	child = syscall(SYS_pidfd_open, pid, 0);
	fd = accept_one(s, child);
	unlink(path);
	rmdir(dir);
	if (fd >= 0) {
		serve(w->domid, fd, fd);
		close(fd);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return 1;
	return WEXITSTATUS(status);
}

/* ---- the command ---- */

static int usage(FILE *to, int status)
{
	fputs(gdb_help, to);
	return status;
}

static bool parse(struct wish *w, int argc, char **argv)
{
	static const struct option opts[] = {{"port", required_argument, 0, 'p'},
					     {"unix", required_argument, 0, 'u'},
					     {"stdio", no_argument, 0, 's'},
					     {"help", no_argument, 0, 'h'},
					     {0}};
	unsigned ways = 0;
	char *end;
	int opt;

	while ((opt = getopt_long(argc, argv, "+h", opts, NULL)) != -1) {
		switch (opt) {
		case 'p':
			w->port = strtoul(optarg, &end, 10);
			if (*end || !*optarg || w->port < 0 || w->port > 65535)
				die("'%s' is not a port", optarg);
			break;
		case 'u': w->path = optarg; break;
		case 's': w->stdio = true; break;
		case 'h': exit(usage(stdout, 0));
		default: return false;
		}
		ways++;
	}
	w->args = argv + optind;
	return ways <= 1;
}

int cmd_gdb(int argc, char **argv)
{
	struct wish w = {.port = -1};
	char *who;

	/* DOMAIN first, as in every command; getopt is to stop at `--`. */
	if (argc < 2)
		return usage(stderr, 2);
	who = argv[1];
	if (*who == '-')
		return usage(strcmp(who, "--help") && strcmp(who, "-h") ? stderr : stdout,
			     strcmp(who, "--help") && strcmp(who, "-h") ? 2 : 0);
	if (!parse(&w, argc - 1, argv + 1))
		return usage(stderr, 2);
	connect_broker(false);
	w.domid = find_domain(who);
	if (!w.domid)
		die("domain 0 is the host itself: gdb can attach to its processes");
	if (w.stdio)
		return serve(w.domid, 0, 1);
	if (w.port >= 0)
		return serve_socket(w.domid, listen_port(w.port), NULL);
	if (!w.path && installed("gdb"))
		return with_gdb(&w);
	if (!w.path)
		die("gdb is not installed: apt-get install gdb, or --port and a gdb elsewhere");
	return serve_socket(w.domid, listen_path(w.path), w.path);
}
