/* SPDX-License-Identifier: MIT */
/* A descriptor in another process: no use of it, and no harm when its owner has gone. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/pvhost/raw.h"

GUEST(spin, "1: jmp 1b");

static struct raw r;

/* Every call on both descriptors fails with EIO. */
static bool useless(int vm, int vcpu)
{
	struct pvhost_region region = {.gpa = 0x40000000, .hva = (uintptr_t)r.mem, .size = 4096};
	struct pvhost_state state = {};
	struct pvhost_info info;
	unsigned refused = 0;

#define REFUSED(call) (refused += (errno = 0, (call) == -1 && errno == EIO))
	REFUSED(ioctl(vm, PVHOST_INFO, &info));
	REFUSED(ioctl(vm, PVHOST_ADD_REGION, &region));
	REFUSED(ioctl(vm, PVHOST_DEL_REGION, &region));
	REFUSED(ioctl(vm, PVHOST_CREATE_VCPU, 0));
	REFUSED(ioctl(vcpu, PVHOST_RUN, 0));
	REFUSED(ioctl(vcpu, PVHOST_SET_STATE, &state));
	REFUSED(ioctl(vcpu, PVHOST_GET_STATE, &state));
	errno = 0;
	refused += mmap(NULL, 4096, PROT_READ, MAP_SHARED, vcpu, 0) == MAP_FAILED && errno == EIO;
	return refused == 8;
}

static void send_fds(int socket, int vm, int vcpu)
{
	char control[CMSG_SPACE(2 * sizeof(int))] = {}, byte = 0;
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(2 * sizeof(int));
	memcpy(CMSG_DATA(c), (int[]){vm, vcpu}, 2 * sizeof(int));
	if (sendmsg(socket, &msg, 0) != 1)
		_exit(3);
}

static void receive_fds(int socket, int fds[2])
{
	char control[CMSG_SPACE(2 * sizeof(int))], byte;
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control)};

	fds[0] = fds[1] = -1;
	if (recvmsg(socket, &msg, 0) == 1 && CMSG_FIRSTHDR(&msg))
		memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&msg)), 2 * sizeof(int));
}

/* The owner runs a guest, gives its descriptors away and is killed inside. */
static void passed_on(void)
{
	struct runner runner;
	int sockets[2], fds[2], users;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets))
		_exit(3);
	pid = fork();
	if (!pid) {
		if (raw_open(&r))
			_exit(3);
		raw_guest(&r, spin);
		runner_start(&runner, &r);
		send_fds(sockets[1], r.vm, r.vcpu);
		pause();
	}
	receive_fds(sockets[0], fds);
	check(fds[0] >= 0 && useless(fds[0], fds[1]),
	      "descriptors passed by SCM_RIGHTS are of no use", "a call works, or fails otherwise");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	check(useless(fds[0], fds[1]), "nor are they when their owner is dead", "a call works");
	users = module_users();
	close(fds[0]);
	check(ioctl(fds[1], PVHOST_RUN, 0) && errno == EIO, "nor is the vCPU's alone", "errno %d",
	      errno);
	close(fds[1]);
	check(users > 0, "until then they held the driver", "%d files open", users);
	check_released();
}

/* A child has its parent's descriptors, but neither its VM nor the run page. */
static void inherited(void)
{
	struct runner runner;
	int status;
	pid_t pid;

	if (raw_open(&r))
		_exit(3);
	raw_guest(&r, spin);
	pid = fork();
	if (!pid)
		_exit(!useless(r.vm, r.vcpu));
	waitpid(pid, &status, 0);
	check(!status, "a child cannot use its parent's descriptors", "status %x", status);
	pid = fork();
	if (!pid) {
		r.run->rip = 0;
		_exit(0);
	}
	waitpid(pid, &status, 0);
	check(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV, "nor has it the run page",
	      "status %x", status);
	/* The parent goes on; the child outlives it with the descriptors in its hands. */
	pid = fork();
	if (!pid) {
		runner_start(&runner, &r);
		usleep(10000);
		_exit(!useless(r.vm, r.vcpu));
	}
	runner_count(&runner, &r);
	waitpid(pid, &status, 0);
	check(!status && goes_on((uint64_t *)(r.mem + RAW_COUNT)), "nor while the parent is inside",
	      "status %x", status);
	runner_stop(&runner);
	raw_close(&r);
	check_released();
}

/* One vCPU, two threads of its process: the second is refused. */
static void twice(void)
{
	struct pvhost_state state;
	struct runner runner;

	if (raw_open(&r))
		_exit(3);
	runner_count(&runner, &r);
	check(ioctl(r.vcpu, PVHOST_RUN, 0) && errno == EBUSY, "a vCPU in use is busy", "errno %d",
	      errno);
	check(ioctl(r.vcpu, PVHOST_GET_STATE, &state) && errno == EBUSY, "its state too",
	      "errno %d", errno);
	runner_stop(&runner);
	check(!ioctl(r.vcpu, PVHOST_GET_STATE, &state), "until it returns", "errno %d", errno);
	raw_close(&r);
}

int main(void)
{
	passed_on();
	inherited();
	twice();
	check_released();
	return finish();
}
