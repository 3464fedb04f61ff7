/* What the program that embeds Lua offers: scripts, each run in a state of its own by one foreign call. */
#ifndef EMBED_H
#define EMBED_H

#include <stddef.h>
#include <stdint.h>

#include "socle.h"

struct block;

/* Goroutine code, called back from the script's functions. */
struct request {
	struct script *script;
	int64_t value;
	int error; /* 0, or what Lua is to throw an error for */
};

struct script {
	const char *text, *end;
	socle_fn send, receive, give_up; /* with a struct request */
	void *owner;
	struct block *blocks; /* all that the state has allocated */
	int passed, failed;
	size_t stack_used;
};

void run_script(void *script);
void throw_away_state(struct script *s); /* of a script whose call never returned */

#endif
