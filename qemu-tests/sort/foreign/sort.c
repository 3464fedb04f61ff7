/* The C library's qsort as a foreign routine; its comparator is a callback into goroutine code. */
#include "sort.h"

#include <stdlib.h>

static socle_fn compare_fn;

static int compare(const void *a, const void *b)
{
	struct comparison c = {*(const char *const *)a, *(const char *const *)b, 0};

	if (socle_callback(compare_fn, &c) < 0)
		abort();
	return c.result;
}

void sort_records(void *arg)
{
	struct sort *s = arg;

	compare_fn = s->compare;
	qsort(s->records, s->n, sizeof *s->records, compare);
}
