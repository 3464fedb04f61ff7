/*
 * The scheduler whole, proc.c to thread.c, with goroutines, their channels and locks, on four host threads as CPUs. What
 * goroutines hand to each other is plain memory, so that TSan sees where a switch, a wake-up or a p handed over orders
 * too little; a g or m that is used when it is another's is seen by what it holds.
 */
#include "tests/cpus.h"

enum { WORKERS = 12, ROUNDS = 250 };

static atomic_uint wrong;

/* ---- Foreign calls, as foreign.c makes them ---- */

static void foreign_call(socle_fn fn, void *arg)
{
	struct g *g = getg();
	struct m *m = g->m;

	arch_call_on(&m->g0.tcb, fn, arg);
	wrong += getg() != g || g->m != m;
	if (g->call_ended == P_LOST) {
		g->call_ended = 0;
		if (m->p == NULL)
			arch_call_on(&m->g0.tcb, get_p_back, m);
	}
}

static void callback(socle_fn fn, void *arg)
{
	struct m *m = getg()->m;
	struct g *g = m->current;
	void *sp = g->tcb.sp, *g0_sp = m->g0.tcb.sp;

	if (m->p == NULL)
		get_p_back(m);
	g->locked_m = m;
	m->locked_g = g;
	g->callbacks++;
	arch_call_on(&g->tcb, fn, arg);
	wrong += getg()->m != m || m->current != g || m->p != this_p();
	m->g0.tcb.sp = g0_sp;
	if (--g->callbacks == 0) {
		g->locked_m = NULL;
		m->locked_g = NULL;
	}
	g->tcb.sp = sp;
}

/* ---- What goroutines do to each other ---- */

static struct socle_mutex mutex;
static socle_chan *chan;
static struct socle_waitgroup running;
static unsigned by_mutex; /* plain */
static atomic_uint sent, received;

struct letter {
	unsigned content;
	struct socle_sem answered;
};

static void receives(void *unused)
{
	struct letter *l;

	(void)unused;
	while (socle_chan_recv(chan, &l) == 0) {
		l->content++;
		received++;
		socle_sem_post(&l->answered);
	}
	socle_waitgroup_done(&running);
}

static void sends_letter(unsigned i)
{
	struct letter letter = {.content = i}, *l = &letter;

	if (socle_chan_send(chan, &l) < 0 || socle_sem_wait(&letter.answered) < 0)
		wrong++;
	wrong += letter.content != i + 1;
	sent++;
}

static void is_child(void *arg)
{
	struct letter *l = arg;

	l->content++;
	socle_sem_post(&l->answered);
}

static void has_child(unsigned i)
{
	struct letter letter = {.content = i};

	if (socle_go(is_child, &letter) < 0 || socle_sem_wait(&letter.answered) < 0)
		wrong++;
	wrong += letter.content != i + 1;
}

static void locks(void)
{
	socle_mutex_lock(&mutex);
	by_mutex++;
	socle_mutex_unlock(&mutex);
}

/* ---- Foreign code: long, so that its p is taken; and calling back, where goroutine code blocks ---- */

static void is_long(void *unused) { end_turn(unused); }

static void blocks(void *arg)
{
	uintptr_t i = (uintptr_t)arg;

	if (i % 3 == 0)
		socle_yield();
	else
		sends_letter((unsigned)i);
	if (i % 4 == 0)
		foreign_call(is_long, NULL);
}

static void calls_back(void *arg)
{
	callback(blocks, arg);
	if ((uintptr_t)arg % 5 == 0)
		end_turn(NULL);
	callback(blocks, (void *)((uintptr_t)arg + 1));
}

static void nests(void *arg) { foreign_call(calls_back, arg); }
static void calls_back_and_in_again(void *arg) { callback(nests, arg); }

static void works(void *arg)
{
	for (unsigned skip = (unsigned)(uintptr_t)arg * 50; skip > 0; skip--)
		random_number();
	for (unsigned i = 0; i < ROUNDS; i++) {
		switch (random_number() % 8) {
		case 0: socle_yield(); break;
		case 1: socle_sleep(random_number() % 50000); break;
		case 2: sends_letter(i); break;
		case 3: has_child(i); break;
		case 4: foreign_call(is_long, NULL); break;
		case 5: foreign_call(calls_back, (void *)(uintptr_t)i); break;
		case 6: foreign_call(calls_back_and_in_again, (void *)(uintptr_t)i); break;
		}
		locks();
		wrong += getg()->m->current != getg() || getg()->locks != 0;
	}
	socle_waitgroup_done(&running);
}

static void test(void *unused)
{
	(void)unused;
	chan = socle_chan_make(sizeof(struct letter *), 0);
	for (int i = 0; i < 4; i++)
		socle_go(receives, NULL);
	socle_waitgroup_add(&running, WORKERS);
	for (uintptr_t i = 0; i < WORKERS; i++)
		socle_go(works, (void *)i);
	socle_waitgroup_wait(&running);
	socle_waitgroup_add(&running, 4);
	socle_chan_close(chan);
	socle_waitgroup_wait(&running);
	end();
	for (;;)
		socle_sleep(1000000000);
}

int main(void)
{
	chaos_start(1);
	run_main(test);
	CHECK(wrong == 0, "nobody meets what is another's");
	CHECK(sent == received && sent > 0 && by_mutex == WORKERS * ROUNDS, "nothing is lost");
	return end_checks();
}
