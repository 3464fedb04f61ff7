/* 10,000 records of the machine that built this, sorted through callbacks, against the order of the host's sort. */
#include <stdlib.h>
#include <string.h>

#include "foreign/sort.h"
#include "qemu-tests/check.h"
#include "records.h"

#define RECORDS (sizeof shuffled / sizeof shuffled[0])

static unsigned long comparisons, others;

static void compare(void *arg)
{
	struct comparison *c = arg;

	c->result = strcmp(c->a, c->b);
	if (++comparisons % 1000 == 0)
		socle_yield(); /* a comparator may even let others run */
}

static bool sorting;

static void other(void *arg)
{
	(void)arg;
	for (; sorting; others++)
		socle_yield();
}

static void all(void)
{
	const char **records = malloc(sizeof shuffled);
	struct sort s = {records, RECORDS, compare};
	size_t right = 0, moved = 0;

	CHECK(records != NULL);
	memcpy(records, shuffled, sizeof shuffled);
	comparisons = others = 0;
	sorting = true;
	socle_go(other, NULL);
	CHECK(socle_foreign_call(sort_records, &s) == 0);
	sorting = false;
	wait_for_others();
	for (size_t i = 0; i < RECORDS; i++) {
		right += strcmp(records[i], sorted[i]) == 0;
		moved += strcmp(records[i], shuffled[i]) != 0;
	}
	CHECK(RECORDS == 10000 && right == RECORDS);
	CHECK(moved > RECORDS / 2 && comparisons > RECORDS && others > 50);
	free(records);
}

int main(void)
{
	repeatedly(all);
	return finish();
}
