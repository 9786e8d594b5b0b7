/* SPDX-License-Identifier: MIT */
/*
 * Files. Those of the ramdisk and of the mounted disk can be read. A pipe is a page: its reader and
 * writers wait for each other under its lock. Copying to and from users under a lock is allowed:
 * their page faults take no other lock than the page allocator's, and never sleep.
 */
#include <pv/fs.h>
#include <pv/process.h>
#include "kernel.h"

#define OPEN_FILES  96
#define PROMPT_USER "$ "

struct pipe {
	struct lock lock;
	unsigned int readers, writers;
	size_t head, tail; /* bytes ever written, ever read */
	char bytes[2048];
};

enum kind { FREE, CONSOLE, FILE, PIPE_IN, PIPE_OUT };

struct file {
	enum kind kind;
	unsigned int shares;
	struct pipe *pipe;
	struct node *node;
	uint64_t pos;
};

static struct lock table;
static struct file files[OPEN_FILES];

static struct file *create(enum kind kind)
{
	bool enabled = lock(&table);
	struct file *f = files;

	while (f < files + OPEN_FILES && f->kind != FREE)
		f++;
	if (f == files + OPEN_FILES)
		f = NULL;
	else
		*f = (struct file){.kind = kind, .shares = 1};
	unlock(&table, enabled);
	return f;
}

struct file *file_console(void)
{
	return create(CONSOLE);
}

struct file *file_open(const char *name, long *error)
{
	struct node *node = fs_open(name, error);
	struct file *f = node ? create(FILE) : NULL;

	if (f) {
		f->node = node;
	} else if (node) {
		fs_close(node);
		*error = -XEN_EMFILE;
	}
	return f;
}

bool file_pipe(struct file *ends[2])
{
	struct pipe *pipe = page_try_alloc();

	if (!pipe)
		return false;
	ends[0] = create(PIPE_OUT);
	ends[1] = create(PIPE_IN);
	if (!ends[0] || !ends[1]) {
		for (unsigned int i = 0; i < 2; i++)
			if (ends[i])
				ends[i]->kind = FREE;
		page_free(pipe);
		return false;
	}
	pipe->readers = pipe->writers = 1;
	ends[0]->pipe = ends[1]->pipe = pipe;
	return true;
}

struct file *file_share(struct file *f)
{
	__atomic_add_fetch(&f->shares, 1, __ATOMIC_RELAXED);
	return f;
}

static void pipe_close(struct pipe *pipe, bool writer)
{
	bool enabled = lock(&pipe->lock), last;

	if (writer)
		pipe->writers--;
	else
		pipe->readers--;
	last = !pipe->writers && !pipe->readers;
	thread_wake(pipe);
	unlock(&pipe->lock, enabled);
	if (last)
		page_free(pipe);
}

void file_close(struct file *f)
{
	if (__atomic_sub_fetch(&f->shares, 1, __ATOMIC_ACQ_REL))
		return;
	if (f->pipe)
		pipe_close(f->pipe, f->kind == PIPE_IN);
	if (f->node)
		fs_close(f->node);
	__atomic_store_n(&f->kind, FREE, __ATOMIC_RELEASE);
}

/* The bytes that lie together from *pos on, at most n. */
static size_t together(size_t pos, size_t n)
{
	size_t room = sizeof(((struct pipe *)0)->bytes);

	room -= pos % room;
	return n < room ? n : room;
}

static long pipe_read(struct pipe *pipe, unsigned long to, size_t n)
{
	bool enabled = lock(&pipe->lock);
	long rc = 0;

	while (pipe->head == pipe->tail && pipe->writers && !rc) {
		if (process_interrupted())
			rc = -XEN_EINTR;
		else
			thread_wait(pipe, ~0ull, &pipe->lock);
	}
	if (!rc && pipe->head != pipe->tail) {
		size_t there = pipe->head - pipe->tail;
		size_t part = together(pipe->tail, n < there ? n : there);

		rc = copy_to_user(to, pipe->bytes + pipe->tail % sizeof(pipe->bytes), part);
		if (!rc) {
			pipe->tail += part;
			rc = (long)part;
			thread_wake(pipe);
		}
	}
	unlock(&pipe->lock, enabled);
	return rc;
}

static long pipe_write(struct pipe *pipe, unsigned long from, size_t n)
{
	bool enabled = lock(&pipe->lock);
	size_t done = 0;
	long rc = 0;

	while (done < n && !rc) {
		size_t room = sizeof(pipe->bytes) - (pipe->head - pipe->tail);
		size_t part = together(pipe->head, n - done < room ? n - done : room);

		if (!pipe->readers) {
			rc = -XEN_EPIPE;
		} else if (process_interrupted()) {
			rc = -XEN_EINTR;
		} else if (!part) {
			thread_wait(pipe, ~0ull, &pipe->lock);
		} else {
			rc = copy_from_user(pipe->bytes + pipe->head % sizeof(pipe->bytes),
					    from + done, part);
			if (!rc) {
				done += part;
				pipe->head += part;
				thread_wake(pipe);
			}
		}
	}
	unlock(&pipe->lock, enabled);
	return done ? (long)done : rc;
}

static long console_get(unsigned long to, size_t n)
{
	char line[128];
	size_t len;

	edit_line(PROMPT_USER, line, sizeof(line) - 1);
	len = strlen(line);
	line[len++] = '\n';
	if (n < len)
		len = n;
	return copy_to_user(to, line, len) ? -XEN_EFAULT : (long)len;
}

static long console_put(unsigned long from, size_t n)
{
	char part[256];

	for (size_t done = 0; done < n;) {
		size_t len = n - done < sizeof(part) ? n - done : sizeof(part);

		if (copy_from_user(part, from + done, len))
			return -XEN_EFAULT;
		console_write(part, len);
		done += len;
	}
	return (long)n;
}

/* Through a page of the kernel's: a disk cannot write into memory that may fault. */
static long node_get(struct file *f, unsigned long to, size_t n)
{
	char *page = page_try_alloc();
	size_t done = 0;
	long rc = page ? 0 : -XEN_ENOMEM;

	while (!rc && done < n) {
		rc = fs_read(f->node, f->pos, page, n - done < PAGE_SIZE ? n - done : PAGE_SIZE);
		if (rc <= 0)
			break;
		if (copy_to_user(to + done, page, (size_t)rc)) {
			rc = -XEN_EFAULT;
			break;
		}
		f->pos += (uint64_t)rc;
		done += (size_t)rc;
		rc = 0;
	}
	if (page)
		page_free(page);
	return done ? (long)done : rc;
}

long file_read(struct file *f, unsigned long to, size_t n)
{
	switch (f->kind) {
	case CONSOLE: return console_get(to, n);
	case PIPE_OUT: return pipe_read(f->pipe, to, n);
	case FILE: return node_get(f, to, n);
	default: return -XEN_EBADF;
	}
}

long file_write(struct file *f, unsigned long from, size_t n)
{
	switch (f->kind) {
	case CONSOLE: return console_put(from, n);
	case PIPE_IN: return pipe_write(f->pipe, from, n);
	default: return -XEN_EBADF;
	}
}
