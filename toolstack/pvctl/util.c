/* SPDX-License-Identifier: MIT */
/* Finding the broker, naming domains, saying what went wrong. */
#include "toolstack/pvctl/pvctl.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xentoollog.h>

xc_interface *xch;
struct xs_handle *xsh;
char rundir[96];
char last_error[256];

static void say(const char *fmt, va_list ap)
{
	fputs("pvctl: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

int complain(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
	return -1;
}

void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
	exit(1);
}

/* What follows "panic: xg_dom_core.c:689: xc_dom_find_loader: ", where that is. */
static const char *without_place(const char *message)
{
	const char *at = strstr(message, ".c:");
	size_t n;

	if (!at)
		return message;
	at += 3 + strspn(at + 3, "0123456789");
	if (strncmp(at, ": ", 2))
		return message;
	at += 2;
	n = strspn(at, "abcdefghijklmnopqrstuvwxyz0123456789_");
	return memchr(at, '_', n) && !strncmp(at + n, ": ", 2) ? at + n + 2 : at;
}

/* libxenctrl's messages are for its developers: keep the last error for our own line. */
static void log_message(xentoollog_logger *l, xentoollog_level level, int errnoval,
			const char *context, const char *format, va_list al)
{
	const char *words;

	if (level < XTL_ERROR)
		return;
	vsnprintf(last_error, sizeof(last_error), format, al);
	last_error[strcspn(last_error, "\n")] = 0;
	words = without_place(last_error);
	memmove(last_error, words, strlen(words) + 1);
}

static void log_progress(xentoollog_logger *l, const char *context, const char *doing, int percent,
			 unsigned long done, unsigned long total)
{
}

static void log_destroy(xentoollog_logger *l)
{
}

static xentoollog_logger logger = {log_message, log_progress, log_destroy};

void runtime_dir(void)
{
	const char *set = getenv("PAVANE_RUNDIR"), *xdg = getenv("XDG_RUNTIME_DIR");
	char store[128], cwd[PATH_MAX];
	int n = 0;

	/* pvd and the tools run elsewhere: not relative to this folder */
	if (set && *set && *set != '/' && getcwd(cwd, sizeof(cwd)))
		n = snprintf(rundir, sizeof(rundir), "%s/%s", cwd, set);
	else if (set && *set)
		n = snprintf(rundir, sizeof(rundir), "%s", set);
	else if (geteuid() != 0 && xdg && *xdg)
		n = snprintf(rundir, sizeof(rundir), "%s/pavane", xdg);
	else if (geteuid() == 0)
		snprintf(rundir, sizeof(rundir), "/run/pavane");
	else
		snprintf(rundir, sizeof(rundir), "/tmp/pavane-%u", geteuid());
	if (n >= 90) /* as pvd: a socket's name has 107 characters */
		die("the runtime directory's name is too long: set PAVANE_RUNDIR to a shorter one");
	snprintf(store, sizeof(store), "%s/xenstored", rundir);
	setenv("PAVANE_RUNDIR", rundir, 1);
	setenv("XENSTORED_RUNDIR", store, 1);
	setenv("XENSTORED_PATH", strcat(store, "/socket"), 1);
}

char *own_dir(char *buf, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", buf, size - 1);

	if (n <= 0)
		die("cannot read /proc/self/exe: is /proc mounted?");
	buf[n] = 0;
	*strrchr(buf, '/') = 0;
	return buf;
}

static void start_broker(void)
{
	char dir[PATH_MAX], pvd[PATH_MAX + 8];
	int status;
	pid_t pid;

	snprintf(pvd, sizeof(pvd), "%s/pvd", own_dir(dir, sizeof(dir)));
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		execl(pvd, "pvd", "--daemon", (char *)NULL);
		fprintf(stderr, "pvctl: cannot run %s: %s\n", pvd, strerror(errno));
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status))
		die("the broker did not start; is %s a folder of yours? (PAVANE_RUNDIR names another)",
		    rundir);
}

/* The store listens no longer than pvd lives, whose child it is. */
static bool open_handles(bool store)
{
	xsh = xs_open(0);
	if (xsh || !store)
		xch = xc_interface_open(&logger, &logger, 0);
	return xsh && xch;
}

void connect_broker(bool store)
{
	/* pvd ran this pvctl: if it has ended since, nobody wants another. */
	const bool by_broker = getenv("PAVANE_BY_BROKER");

	if (!open_handles(!by_broker) && !by_broker) {
		if (xsh)
			xs_close(xsh);
		start_broker();
		open_handles(false);
	}
	if (!xch)
		die("the broker in %s does not answer; see pvd.log there", rundir);
	if (!xsh && store)
		die("the store in %s/xenstored does not answer; see %s/pvd.log", rundir, rundir);
}

char *store_read(const char *fmt, ...)
{
	char path[256];
	unsigned len;
	va_list ap;

	if (!xsh)
		return NULL;
	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	return xs_read(xsh, XBT_NULL, path, &len);
}

bool domain_alive(uint32_t domid, xc_domaininfo_t *info)
{
	return xc_domain_getinfolist(xch, domid, 1, info) == 1 && info->domain == domid;
}

unsigned domains(struct domain_row **rows)
{
	struct domain_row *list = NULL;
	unsigned n = 0;
	xc_domaininfo_t info;
	uint32_t next = 0;

	while (xc_domain_getinfolist(xch, next, 1, &info) == 1) {
		char *name = store_read("/local/domain/%u/name", info.domain);

		list = realloc(list, (n + 1) * sizeof(*list));
		if (!list)
			die("out of memory");
		list[n].info = info;
		snprintf(list[n].name, sizeof(list[n].name), "%s", name ? name : "(no name)");
		free(name);
		next = info.domain + 1;
		n++;
	}
	*rows = list;
	return n;
}

uint32_t find_domain(const char *who)
{
	struct domain_row *rows;
	unsigned n = domains(&rows);
	char *end;
	unsigned long id = strtoul(who, &end, 10);

	if (!*who)
		die("an empty name is no domain; `pvctl list` shows which there are");

	for (unsigned i = 0; i < n; i++) {
		if (*end && strcmp(rows[i].name, who))
			continue;
		if (!*end && rows[i].info.domain != id)
			continue;
		id = rows[i].info.domain;
		free(rows);
		return id;
	}
	free(rows);
	die("there is no domain '%s'; `pvctl list` shows which there are", who);
}

void json_string(const char *s)
{
	putchar('"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			printf("\\%c", *s);
		else if ((unsigned char)*s < 0x20)
			printf("\\u%04x", *s);
		else
			putchar(*s);
	}
	putchar('"');
}

void domain_path(char buf[160], uint32_t domid, const char *suffix)
{
	snprintf(buf, 160, "%s/domains", rundir);
	mkdir(buf, 0700);
	snprintf(buf, 160, "%s/domains/%u.%s", rundir, domid, suffix);
}
