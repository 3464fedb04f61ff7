/* What the host gives each test of the runtime: threads that stand for CPUs, an end, a clock. */
#ifndef HOST_H
#define HOST_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "kernel/kernel.h"

_Thread_local struct tcb *current_tcb;
_Thread_local unsigned current_cpu;

void fatal(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
	abort();
}

static inline int64_t host_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

#endif
