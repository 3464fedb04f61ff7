/*
 * Where newlib's system calls end: the console, the heap, the clock, exit. There are no files: what newlib asks of one
 * that is not the console gets the error that a system without files gives.
 */
#include <errno.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/times.h>

#include "kernel/kernel.h"

#pragma clang attribute push(__attribute__((minsize)), apply_to = function) /* none of it is in a hurry */

/* The heap is a region of addresses with nothing on either side of it, backed as it grows. */
void *_sbrk(ptrdiff_t increment)
{
	static uintptr_t end = HEAP_LO, backed = HEAP_LO;
	uintptr_t old = end, want;

	if (increment > 0 ? (uintptr_t)increment > HEAP_HI - end : (uintptr_t)-increment > end - HEAP_LO) {
		errno = ENOMEM;
		return (void *)-1;
	}
	want = (end + (uintptr_t)increment + PAGE_SIZE - 1) & ~(uintptr_t)(PAGE_SIZE - 1);
	if (want > backed && vm_back(backed, want, false) < 0 &&
	    (runtime_reclaim() == 0 || vm_back(backed, want, false) < 0)) {
		errno = ENOMEM;
		return (void *)-1;
	}
	if (want < backed)
		vm_release(want, backed);
	backed = want;
	end += (uintptr_t)increment;
	return (void *)old;
}

static int bad_file(void)
{
	errno = EBADF;
	return -1;
}

int _write(int fd, const void *bytes, size_t n)
{
	if (fd != 1 && fd != 2)
		return bad_file();
	console_write(bytes, n);
	return (int)n;
}

int _read(int fd, void *bytes, size_t n)
{
	(void)bytes;
	(void)n;
	return fd == 0 ? 0 : bad_file(); /* the console has no input yet: always at its end */
}

int _fstat(int fd, struct stat *st)
{
	if (fd < 0 || fd > 2)
		return bad_file();
	*st = (struct stat){.st_mode = S_IFCHR};
	return 0;
}

int _isatty(int fd) { return fd >= 0 && fd <= 2; }
int _close(int fd) { return fd >= 0 && fd <= 2 ? 0 : bad_file(); }
off_t _lseek(int fd, off_t offset, int whence)
{
	(void)offset;
	(void)whence;
	errno = fd >= 0 && fd <= 2 ? ESPIPE : EBADF;
	return -1;
}

int _open(const char *path, int flags, int mode)
{
	(void)path;
	(void)flags;
	(void)mode;
	errno = ENOENT;
	return -1;
}

/* There is no calendar: time is counted from boot. */
int _gettimeofday(struct timeval *tv, void *zone)
{
	int64_t now = clock_now();

	(void)zone;
	tv->tv_sec = now / 1000000000;
	tv->tv_usec = (suseconds_t)(now % 1000000000 / 1000);
	return 0;
}

clock_t _times(struct tms *t)
{
	clock_t ticks = (clock_t)(clock_now() / (1000000000 / CLOCKS_PER_SEC));

	*t = (struct tms){.tms_utime = ticks};
	return ticks;
}

int _getpid(void) { return 1; }

/* raise() and abort() end here: there are no signals to deliver. */
int _kill(int pid, int signal)
{
	(void)pid;
	fatal("the C library raised signal %d (6 is abort)", signal);
}

void _exit(int status) { kernel_exit(status); }

#pragma clang attribute pop
