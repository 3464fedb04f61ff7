#include <pthread.h>

#include "socle.h"

/* Each a test of its own, as any program with pthreads might have it: adds to *errors what it finds wrong. */
void mutual_exclusion(void *errors);
void producers_and_consumers(void *errors);
void results(void *errors);
void stack_sizes(void *errors);
void mutex_types(void *errors);
void in_line(void *errors);
void conditions(void *errors);
void deadlines(void *errors);
void specific_data(void *errors);
void run_once(void *errors);
void churn(void *errors);

/* Waits on a condition until somebody opens it, or opens it. */
struct gate {
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	int open, waiting;
};
void wait_at_gate(void *gate);
void open_gate(void *gate);

/* A thread that calls back, and whose callback calls who_am_i(). */
struct identity {
	socle_fn callback;
	pthread_t thread, in_callback;
	int error;
};
void *call_back(void *identity);
void who_am_i(void *identity);
void leave_by_exit(void *unused);

void *lock_both_ways(void *one_first); /* two of them: a deadlock */
