/*
 * The clock and sleeping: in order of their deadlines, never early; idle without spinning. Argument: `exact`, where time
 * counts instructions: not late either.
 */
#include <errno.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include "qemu-tests/check.h"

#define MS 1000000ll

#define LATE 100000 /* ns; and as many instructions */

static bool exact;
static char order[16];

struct sleeper {
	int ms;
	char letter;
	int64_t late;
};

static void sleeps(void *arg)
{
	struct sleeper *s = arg;
	int64_t deadline = socle_now() + s->ms * MS;

	socle_sleep(s->ms * MS);
	s->late = socle_now() - deadline;
	strncat(order, &s->letter, 1);
}

static void test_order(void)
{
	static struct sleeper s[] = {{30, 'd', 0}, {10, 'b', 0}, {5, 'a', 0}, {40, 'e', 0}, {20, 'c', 0}};

	order[0] = '\0';
	for (int i = 0; i < 5; i++)
		socle_go(sleeps, &s[i]);
	socle_sleep(60 * MS);
	CHECK(strcmp(order, "abcde") == 0 || !one_cpu()); /* the host may hold up one CPU for that long */
	for (int i = 0; i < 5; i++)
		CHECK(s[i].late >= 0 && (s[i].late < LATE || !exact));
}

static void test_edges(void)
{
	int64_t before = socle_now();

	CHECK(socle_sleep(0) == 0);
	CHECK(socle_sleep(-5) == 0);
	CHECK(socle_sleep(1) == 0);
	CHECK(socle_now() > before && (socle_now() < before + LATE || !exact));
}

/* A thousand at once, of many lengths: the heap at work. */
static atomic_int awake, early;

static void sleeps_long(void *arg)
{
	int64_t deadline = socle_now() + *(int *)arg * (MS / 20);

	socle_sleep(*(int *)arg * (MS / 20));
	early += socle_now() < deadline;
	awake++;
}

static void test_many(void)
{
	static int length[1000];

	awake = early = 0;
	for (int i = 0; i < 1000; i++) {
		length[i] = i * 7919 % 1000;
		socle_go(sleeps_long, &length[i]);
	}
	while (awake < 1000)
		socle_sleep(MS);
	CHECK(early == 0);
}

static void test_monotonic(void)
{
	int64_t last = socle_now();
	int back = 0;

	for (int i = 0; i < 100000; i++) {
		int64_t now = socle_now();

		back += now < last;
		last = now;
	}
	CHECK(back == 0);
}

static void test_libc(void)
{
	struct timeval a, b;
	clock_t ticks = clock();

	CHECK(gettimeofday(&a, NULL) == 0);
	socle_sleep(20 * MS);
	CHECK(gettimeofday(&b, NULL) == 0);
	CHECK((b.tv_sec - a.tv_sec) * 1000000 + (b.tv_usec - a.tv_usec) >= 20000);
	CHECK(clock() > ticks);
	CHECK(time(NULL) < 600); /* since boot */
}

static void from_foreign(void *error)
{
	errno = 0;
	*(int *)error = socle_sleep(1) == -1 ? errno : 0;
}

static void all(void)
{
	int error = 0;

	test_order();
	test_edges();
	test_many();
	test_monotonic();
	test_libc();
	socle_foreign_call(from_foreign, &error);
	CHECK(error == EPERM);
}

static void sleeps_longest(void *unused) { (void)unused, socle_sleep(INT64_MAX); }

/* A time, if a late one: with the others asleep that is no deadlock, for which INT64_MAX stands for no timer. The last test:
 * it is still asleep when main returns. */
static void test_longest(void)
{
	int found = 0;

	CHECK(socle_go(sleeps_longest, NULL) == 0);
	socle_sleep(MS);
	for (const struct p *p = ps; p < ps + socle_ncpu(); p++)
		found += p->next_timer == INT64_MAX - 1;
	CHECK(found == 1);
}

int main(int argc, char **argv)
{
	exact = argc > 1 && strcmp(argv[1], "exact") == 0;
	repeatedly(all);
	test_longest();
	return finish();
}
