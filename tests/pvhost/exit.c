/* SPDX-License-Identifier: MIT */
/* A process ends, or becomes another program, with threads of it inside. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/pvhost/raw.h"

GUEST(spin, "1: jmp 1b");
GUEST(call, "vmcall");

static struct raw r[3];
static struct runner runner[3];

static void *exit_thread(void *arg)
{
	exit(8);
}

static void *exec_thread(void *arg)
{
	execl("/proc/self/exe", "exit", "after-exec", arg, NULL);
	_exit(3);
}

/* Three threads in guest loops. */
static void inside(void)
{
	if (raw_open(&r[0]))
		_exit(3);
	for (int i = 0; i < 3; i++) {
		if (i) {
			r[i] = r[0];
			r[i].vcpu = raw_vcpu(&r[0], &r[i].run);
			if (r[i].vcpu < 0)
				_exit(3);
		}
		raw_code_on(&r[i], spin, spin_end - spin);
		runner_start(&runner[i], &r[i]);
	}
	usleep(10000);
}

static void by_exit(void)
{
	inside();
	exit(7);
}

static void by_thread(void)
{
	pthread_t t;

	inside();
	pthread_create(&t, NULL, exit_thread, NULL);
	pause();
}

static void by_signal(void)
{
	inside();
	abort();
}

/* Even a descriptor that stays open over exec is of no use: it is another process's memory now. */
static void by_exec(void)
{
	char vcpu[16];

	inside();
	snprintf(vcpu, sizeof(vcpu), "%d", dup(r[0].vcpu));
	exec_thread(vcpu);
}

static void by_exec_in_thread(void)
{
	pthread_t t;

	inside();
	pthread_create(&t, NULL, exec_thread, "-1");
	pause();
}

static int after_exec(int vcpu)
{
	struct pvhost_state state;

	for (int fd = 3; fd < 30; fd++)
		if (fd != vcpu && fcntl(fd, F_GETFD) >= 0)
			return 10;
	if (vcpu >= 0 && (ioctl(vcpu, PVHOST_GET_STATE, &state) != -1 || errno != EIO))
		return 11;
	if (raw_open(&r[0]))
		return 12;
	raw_code_on(&r[0], call, call_end - call);
	return raw_run(&r[0]) == PVHOST_EXIT_VMCALL ? 9 : 13;
}

static void ends(const char *name, void (*how)(void), int want)
{
	const pid_t pid = fork();
	int status = 0;

	if (!pid) {
		how();
		_exit(3);
	}
	for (int ms = 0; ms < 60000 && waitpid(pid, &status, WNOHANG) != pid; ms++)
		usleep(1000);
	check(status == want, name, "status %x, not %x", status, want);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

int main(int argc, char **argv)
{
	if (argc == 3)
		return after_exec(atoi(argv[2]));
	ends("exit with three threads inside", by_exit, 7 << 8);
	ends("exit by another thread", by_thread, 8 << 8);
	ends("abort with three threads inside", by_signal, SIGABRT);
	ends("exec with three threads inside: the new program has a VM of its own", by_exec,
	     9 << 8);
	ends("exec by another thread", by_exec_in_thread, 9 << 8);
	check_released();
	return finish();
}
