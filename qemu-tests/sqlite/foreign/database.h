/* What the program that embeds SQLite offers. All in foreign calls, one at a time: SQLite is built for one thread. */
#ifndef DATABASE_H
#define DATABASE_H

#include <stddef.h>
#include <stdint.h>

#include "socle.h"

struct sqlite3;

/* What SQL calls back for, as goroutine code. */
struct mix {
	int64_t a, b, result;
};
struct comparison {
	const char *a, *b;
	int a_length, b_length, result;
};
struct row {
	struct database *database;
	int columns;
	char **values;
};

struct database {
	socle_fn mix, compare, row;
	struct sqlite3 *handle;
	const char *sql;
	char *answer;	     /* where row() puts it */
	int error;	     /* SQLite's; 0 none */
	size_t stack_used;   /* the most of all calls */
	int64_t memory_left; /* that SQLite had not freed after the close */
};

void database_open(void *database);
void database_run(void *database); /* .sql, one statement */
void database_close(void *database);

#endif
