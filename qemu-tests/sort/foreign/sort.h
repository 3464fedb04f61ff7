#ifndef SORT_H
#define SORT_H

#include <stddef.h>

#include "socle.h"

struct comparison {
	const char *a, *b;
	int result;
};

struct sort {
	const char **records;
	size_t n;
	socle_fn compare; /* goroutine code: takes a struct comparison */
};

void sort_records(void *sort);

#endif
