/*
 * A program that embeds SQLite where there is no operating system: a VFS without files, as SQLITE_OS_OTHER asks for (a
 * database in memory needs one, and opens nothing), and a function, a collation and a row handler that call back.
 */
#include "database.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

/* ---- The VFS ---- */

static int open_file(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *flags_out)
{
	(void)vfs, (void)name, (void)flags, (void)flags_out;
	file->pMethods = NULL;
	return SQLITE_CANTOPEN;
}

static int delete_file(sqlite3_vfs *vfs, const char *name, int sync)
{
	(void)vfs, (void)name, (void)sync;
	return SQLITE_IOERR_DELETE_NOENT;
}

static int access_file(sqlite3_vfs *vfs, const char *name, int flags, int *result)
{
	(void)vfs, (void)name, (void)flags;
	*result = 0;
	return SQLITE_OK;
}

static int full_path(sqlite3_vfs *vfs, const char *name, int size, char *out)
{
	(void)vfs;
	sqlite3_snprintf(size, out, "%s", name);
	return SQLITE_OK;
}

static int randomness(sqlite3_vfs *vfs, int size, char *out)
{
	int64_t now = socle_now();

	(void)vfs;
	memset(out, 0, (size_t)size);
	memcpy(out, &now, (size_t)size < sizeof now ? (size_t)size : sizeof now);
	return size;
}

static int current_time(sqlite3_vfs *vfs, double *julian_day)
{
	(void)vfs;
	*julian_day = 2440587.5 + (double)socle_now() / 86400e9; /* 1970 began when the machine did */
	return SQLITE_OK;
}

int sqlite3_os_init(void)
{
	static sqlite3_vfs none = {
		.iVersion = 1,
		.szOsFile = sizeof(sqlite3_file),
		.mxPathname = 64,
		.zName = "none",
		.xOpen = open_file,
		.xDelete = delete_file,
		.xAccess = access_file,
		.xFullPathname = full_path,
		.xRandomness = randomness,
		.xCurrentTime = current_time,
	};

	return sqlite3_vfs_register(&none, 1);
}

int sqlite3_os_end(void) { return SQLITE_OK; }

/* ---- What calls back ---- */

static void mix(sqlite3_context *context, int n, sqlite3_value **values)
{
	struct database *d = sqlite3_user_data(context);
	struct mix m = {sqlite3_value_int64(values[0]), sqlite3_value_int64(values[1]), 0};

	(void)n;
	if (socle_callback(d->mix, &m) < 0 || m.result < 0)
		sqlite3_result_error(context, "mix refuses", -1);
	else
		sqlite3_result_int64(context, m.result);
}

static int compare(void *database, int a_length, const void *a, int b_length, const void *b)
{
	struct comparison c = {a, b, a_length, b_length, 0};

	socle_callback(((struct database *)database)->compare, &c);
	return c.result;
}

static int row(void *database, int columns, char **values, char **names)
{
	struct row r = {database, columns, values};

	(void)names;
	return socle_callback(r.database->row, &r);
}

/* ---- Calls ---- */

static void measure(struct database *d)
{
	struct socle_stack_info stack;

	socle_stack_query(NULL, &stack);
	if (stack.hi - stack.high_water > d->stack_used)
		d->stack_used = stack.hi - stack.high_water;
}

void database_open(void *database)
{
	struct database *d = database;

	d->error = sqlite3_open(":memory:", &d->handle);
	if (d->error == SQLITE_OK)
		d->error = sqlite3_create_function(d->handle, "mix", 2, SQLITE_UTF8 | SQLITE_DETERMINISTIC, d, mix,
						   NULL, NULL);
	if (d->error == SQLITE_OK)
		d->error = sqlite3_create_collation(d->handle, "backwards", SQLITE_UTF8, d, compare);
	measure(d);
}

void database_run(void *database)
{
	struct database *d = database;
	char *message = NULL;

	d->error = sqlite3_exec(d->handle, d->sql, row, d, &message);
	if (d->error != SQLITE_OK)
		printf("%.60s: %s\n", d->sql, message);
	sqlite3_free(message);
	measure(d);
}

void database_close(void *database)
{
	struct database *d = database;

	d->error = sqlite3_close(d->handle);
	sqlite3_shutdown();
	d->memory_left = sqlite3_memory_used();
	measure(d);
}
