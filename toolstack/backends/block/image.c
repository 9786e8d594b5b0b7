/* SPDX-License-Identifier: MIT */
/*
 * The image. It is locked as QEMU locks its own: one byte stands for each thing done to the image
 * (100 + n) and one for each that others may not do meanwhile (200 + n), held as shared locks of
 * the open file description (QEMU, "image locking"). So a QEMU or qemu-img that works on the same
 * file is refused, and refuses. Such a lock lives as long as any I/O on this descriptor does:
 * whoever gets it after our death knows that nothing of ours is still under way.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "toolstack/backends/block/blk.h"

#define LOCK_DOES     100
#define LOCK_FORBIDS  200
#define READS	      0
#define WRITES	      1
#define LOCK_RETRY_US 20000

static int lock_byte(int fd, off_t at)
{
	struct flock l = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};

	return fcntl(fd, F_OFD_SETLK, &l);
}

/* Does anybody else hold it? A file system without locks says no. */
static bool is_locked(int fd, off_t at)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};

	return !fcntl(fd, F_OFD_GETLK, &l) && l.l_type != F_UNLCK;
}

static void unlock(int fd)
{
	struct flock l = {.l_type = F_UNLCK,
			  .l_whence = SEEK_SET,
			  .l_start = LOCK_DOES,
			  .l_len = LOCK_FORBIDS};

	fcntl(fd, F_OFD_SETLK, &l);
}

/* Ours first, then a look at the others': of two that come at once, one or both give up. */
static bool lock(const struct image *m)
{
	lock_byte(m->fd, LOCK_DOES + READS);
	if (!m->ro)
		lock_byte(m->fd, LOCK_DOES + WRITES);
	lock_byte(m->fd, LOCK_FORBIDS + WRITES);
	if (!is_locked(m->fd, LOCK_DOES + WRITES) && !is_locked(m->fd, LOCK_FORBIDS + READS) &&
	    (m->ro || !is_locked(m->fd, LOCK_FORBIDS + WRITES)))
		return true;
	unlock(m->fd);
	return false;
}

static bool lock_within(const struct image *m, unsigned wait_s)
{
	const uint64_t until = dev_now() + wait_s * 1000000000UL;

	while (!lock(m)) {
		if (dev_now() > until)
			return false;
		usleep(LOCK_RETRY_US);
	}
	return true;
}

static uint64_t bytes_of(const struct image *m)
{
	struct stat st;
	off_t end;

	if (!m->block_device)
		return fstat(m->fd, &st) ? 0 : st.st_size;
	end = lseek(m->fd, 0, SEEK_END);
	return end < 0 ? 0 : end;
}

static uint64_t sectors_of(const struct image *m)
{
	return bytes_of(m) / m->physical_sector * (m->physical_sector / SECTOR);
}

bool image_resized(struct image *m)
{
	const uint64_t sectors = m->fd < 0 ? 0 : sectors_of(m);

	if (sectors == m->sectors)
		return false;
	m->sectors = sectors;
	return true;
}

/* What the frontend should align to: whole pages of the host's cache where the size allows. */
static uint32_t physical_sector(const struct image *m)
{
	unsigned size;

	if (m->block_device && !ioctl(m->fd, BLKPBSZGET, &size) && size >= SECTOR &&
	    size <= PAGE_SIZE && !(size & (size - 1)))
		return size;
	return bytes_of(m) % PAGE_SIZE ? SECTOR : PAGE_SIZE;
}

/* Punching a hole behind the end changes nothing, but tells whether there are holes at all. */
static bool can_discard(const struct image *m)
{
	const off_t end = (bytes_of(m) + PAGE_SIZE) & ~(PAGE_SIZE - 1);

	return !fallocate(m->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, end, PAGE_SIZE) ||
	       errno != EOPNOTSUPP;
}

int image_open(struct image *m, bool want_discard, unsigned wait_s, char *why, size_t size)
{
	struct stat st;

	m->fd = -1;
	m->sectors = 0;
	m->discard = false;
	m->physical_sector = SECTOR;
	if (!m->path[0] && m->cdrom)
		return 0;
	if (m->path[0] != '/') {
		snprintf(why, size, "the image's path \"%s\" is not absolute", m->path);
		return -1;
	}
	m->fd = open(m->path, (m->ro ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK);
	if (m->fd < 0 || fstat(m->fd, &st)) {
		snprintf(why, size, "%s: %s", m->path, strerror(errno));
		return -1;
	}
	fcntl(m->fd, F_SETFL, 0); /* O_NONBLOCK was for a path that is a pipe */
	m->block_device = S_ISBLK(st.st_mode);
	m->dev = m->block_device ? st.st_rdev : st.st_dev;
	m->ino = m->block_device ? 0 : st.st_ino;
	if (!m->block_device && !S_ISREG(st.st_mode)) {
		snprintf(why, size, "%s: neither a file nor a block device", m->path);
		return -1;
	}
	if (!lock_within(m, wait_s)) {
		snprintf(why, size, "%s: in use by another program, which %s", m->path,
			 m->ro ? "writes to it" : "uses or writes to it");
		return -1;
	}
	m->physical_sector = physical_sector(m);
	m->sectors = sectors_of(m);
	m->discard = want_discard && !m->ro && can_discard(m);
	return 0;
}
