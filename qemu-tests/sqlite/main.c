/*
 * SQLite as it is released, in foreign calls: 100,000 rows in memory, a function and a collation of SQL that are
 * goroutine callbacks, and each row of an answer too. The queries and what the host's SQLite answers to them are in
 * expected.h, which the build makes.
 */
#include <stdlib.h>
#include <string.h>

#include "foreign/database.h"
#include "qemu-tests/check.h"

struct query {
	const char *sql, *answer;
};

#include "expected.h"

#define QUERIES (sizeof queries / sizeof queries[0])
#define ANSWER_SIZE 4096
#define STACK ((size_t)1 << 20)

static size_t stack_used;
static unsigned long mixes, comparisons, rows;
static socle_chan *numbers; /* where a function of SQL waits for its result */

/* ---- Callbacks ---- */

static void mix(void *arg)
{
	struct mix *m = arg;

	m->result = (m->a * 31 + m->b) % 1000003;
	if (++mixes % 1000 == 0)
		socle_yield();
}

static void mix_and_wait(void *arg)
{
	struct mix *m = arg;

	if (socle_chan_recv(numbers, &m->result) < 0)
		m->result = -1;
}

/* The order of the texts read from their ends. */
static void compare(void *arg)
{
	struct comparison *c = arg;
	int shorter = c->a_length < c->b_length ? c->a_length : c->b_length;

	if (++comparisons % 1000 == 0)
		socle_yield();
	c->result = c->a_length - c->b_length;
	for (int i = 1; i <= shorter; i++) {
		int difference = (unsigned char)c->a[c->a_length - i] - (unsigned char)c->b[c->b_length - i];

		if (difference != 0) {
			c->result = difference;
			return;
		}
	}
}

static void append_row(void *arg)
{
	struct row *r = arg;
	char *at = r->database->answer + strlen(r->database->answer), *end = r->database->answer + ANSWER_SIZE;

	rows++;
	for (int i = 0; i < r->columns; i++)
		at += snprintf(at, (size_t)(end - at), "%s%c", r->values[i], i < r->columns - 1 ? '|' : '\n');
}

/* ---- Calls ---- */

static const struct socle_foreign_attr own_stack = {.stack_size = STACK};

static bool answers(struct database *d, const struct query *q)
{
	d->sql = q->sql;
	d->answer[0] = '\0';
	if (socle_foreign_call_attr(&own_stack, database_run, d) < 0 || d->error != 0)
		return false;
	if (strcmp(d->answer, q->answer) == 0)
		return true;
	printf("%s\nthe host's SQLite:\n%shere:\n%s", q->sql, q->answer, d->answer);
	return false;
}

static void open_database(struct database *d, socle_fn mix_fn)
{
	*d = (struct database){.mix = mix_fn, .compare = compare, .row = append_row, .answer = malloc(ANSWER_SIZE)};
	CHECK(socle_foreign_call_attr(&own_stack, database_open, d) == 0 && d->error == 0);
}

static void close_database(struct database *d)
{
	CHECK(socle_foreign_call_attr(&own_stack, database_close, d) == 0 && d->error == 0 && d->memory_left == 0);
	free(d->answer);
}

static unsigned long others;
static bool querying;

static void other(void *arg)
{
	(void)arg;
	for (; querying; others++)
		socle_yield();
}

static void test_against_host(void)
{
	struct database d;

	open_database(&d, mix);
	querying = true;
	socle_go(other, NULL);
	for (size_t i = 0; i < QUERIES; i++)
		CHECK(answers(&d, &queries[i]));
	querying = false;
	wait_for_others();
	close_database(&d);
	CHECK(mixes > 300000 && comparisons > 400000 && rows > 90 && others > 700);
	stack_used = d.stack_used;
}

/* An expression as deep as SQLite allows by default, SQLITE_LIMIT_EXPR_DEPTH: it recurses for each level. */
static void test_deepest(void)
{
	enum { DEPTH = 1000 };
	char *sql = malloc(sizeof "SELECT 1" + 2 * (DEPTH - 1)), *at = sql + sprintf(sql, "SELECT 1");
	struct database d;

	for (int i = 1; i < DEPTH; i++)
		at = stpcpy(at, "+1");
	open_database(&d, mix);
	CHECK(answers(&d, &(struct query){sql, "1000\n"}));
	close_database(&d);
	free(sql);
	printf("stack used: %zu bytes, %zu by the deepest expression; %lu functions, %lu comparisons, %lu rows called "
	       "back\n",
	       stack_used, d.stack_used, mixes, comparisons, rows);
}

/* ---- A function that waits for other goroutines, and one that fails ---- */

static void send_numbers(void *arg)
{
	(void)arg;
	for (int64_t n = 1; n <= 100; n++)
		socle_chan_send(numbers, &n);
	socle_chan_close(numbers);
}

static void test_waiting(void)
{
	static const struct query sum = {
		"WITH RECURSIVE c(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM c WHERE i < 100) "
		"SELECT sum(mix(i, 0)) FROM c",
		"5050\n"};
	struct database d;

	numbers = socle_chan_make(sizeof(int64_t), 0);
	open_database(&d, mix_and_wait);
	socle_go(send_numbers, NULL);
	CHECK(answers(&d, &sum));
	wait_for_others();
	CHECK(!answers(&d, &(struct query){"SELECT mix(1, 2)", ""}) && d.error == 1);
	CHECK(answers(&d, &(struct query){"SELECT 1 + 1", "2\n"}));
	close_database(&d);
	socle_chan_free(numbers);
}

int main(void)
{
	test_against_host();
	test_deepest();
	repeatedly(test_waiting);
	return finish();
}
