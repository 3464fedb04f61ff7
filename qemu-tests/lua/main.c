/*
 * Lua as it is released, in foreign calls: the language; functions that are goroutine callbacks and block on channels
 * while errors are thrown through Lua's frames around them, in eight states at once; and a callback that panics, after
 * which the state is thrown away.
 */
#include <string.h>

#include "foreign/embed.h"
#include "qemu-tests/check.h"

#define STATES 8
#define STACK ((size_t)512 << 10)

extern const char script_language[], script_language_end[], script_channels[], script_channels_end[], script_panic[],
	script_panic_end[];

/* ---- What scripts ask for, as goroutine code ---- */

struct conversation {
	socle_chan *questions, *answers;
};

static void send(void *arg)
{
	struct request *r = arg;
	struct conversation *c = r->script->owner;

	r->error = socle_chan_send(c->questions, &r->value);
	if (r->value < 0)
		r->error = socle_chan_recv(c->answers, &r->value) < 0 || r->value < 0;
}

static void receive(void *arg)
{
	struct request *r = arg;
	struct conversation *c = r->script->owner;

	r->error = socle_chan_recv(c->answers, &r->value);
}

static void give_up(void *arg)
{
	(void)arg;
	socle_yield();
	socle_panic("the callback gives up");
}

/* Answers with the double, until there are no more questions. */
static void answer(void *arg)
{
	struct conversation *c = arg;
	int64_t n;

	while (socle_chan_recv(c->questions, &n) == 0) {
		n *= 2;
		socle_chan_send(c->answers, &n);
	}
	socle_chan_close(c->answers);
}

/* ---- Scripts ---- */

static const struct socle_foreign_attr own_stack = {.stack_size = STACK};
static size_t most_stack_used[2]; /* the language, the channels */

static struct script make_script(const char *text, const char *end)
{
	return (struct script){.text = text, .end = end, .send = send, .receive = receive, .give_up = give_up};
}

static int run(struct script *s, size_t *most)
{
	int result = socle_foreign_call_attr(&own_stack, run_script, s);

	if (s->stack_used > *most)
		*most = s->stack_used;
	return result;
}

static void test_language(void)
{
	struct script s = make_script(script_language, script_language_end);

	CHECK(run(&s, &most_stack_used[0]) == 0);
	CHECK(s.passed == 22);
	CHECK(s.failed == 0);
	CHECK(s.blocks == NULL);
}

static struct socle_waitgroup talking;

static void talk(void *arg)
{
	struct script s = make_script(script_channels, script_channels_end);
	struct conversation c = {socle_chan_make(sizeof(int64_t), 0), socle_chan_make(sizeof(int64_t), 0)};

	(void)arg;
	s.owner = &c;
	socle_go(answer, &c);
	CHECK(run(&s, &most_stack_used[1]) == 0);
	CHECK(s.passed == 6 && s.failed == 0 && s.blocks == NULL);
	socle_chan_close(c.questions);
	CHECK(socle_chan_recv(c.answers, NULL) == -1);
	socle_chan_free(c.questions);
	socle_chan_free(c.answers);
	socle_waitgroup_done(&talking);
}

static void test_channels(void)
{
	socle_waitgroup_add(&talking, STATES);
	for (int i = 0; i < STATES; i++)
		socle_go(talk, NULL);
	socle_waitgroup_wait(&talking);
}

static void run_on_g0(void *script) { CHECK(socle_foreign_call(run_script, script) == 0); }

static void test_panic(void)
{
	struct socle_panic panic;

	for (int i = 0; i < 10; i++) {
		struct script s = make_script(script_panic, script_panic_end);

		CHECK(socle_try(run_on_g0, &s, &panic) == -1 && panic.kind == SOCLE_PANIC_RAISED);
		CHECK(strcmp(panic.message, "the callback gives up") == 0);
		CHECK(s.blocks != NULL && s.passed == 0 && s.failed == 0);
		throw_away_state(&s);
	}
}

static void all(void)
{
	test_channels();
	test_panic();
	wait_for_others();
}

int main(void)
{
	test_language();
	repeatedly(all);
	printf("stack used: %zu bytes by the language's test, %zu by callbacks under Lua\n", most_stack_used[0],
	       most_stack_used[1]);
	return finish();
}
