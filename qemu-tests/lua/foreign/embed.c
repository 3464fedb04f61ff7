/*
 * A program that embeds Lua, as its manual describes: a state with an allocator of its own, the libraries that it
 * wants, and three functions for scripts. It knows callbacks, but neither goroutines nor channels. An error is thrown
 * (Lua does that by longjmp) only after socle_callback() has returned, so it never skips frames other than Lua's.
 */
#include "embed.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Memory: a list of blocks, so that a state which cannot be closed any more can be thrown away ---- */

struct block {
	struct block *next, **link;
	_Alignas(16) char bytes[];
};

static void unlink_block(struct block *b)
{
	*b->link = b->next;
	if (b->next != NULL)
		b->next->link = b->link;
}

static void link_block(struct script *s, struct block *b)
{
	b->next = s->blocks;
	b->link = &s->blocks;
	if (b->next != NULL)
		b->next->link = &b->next;
	s->blocks = b;
}

/* A lua_Alloc. */
static void *allocate(void *script, void *old, size_t old_size, size_t size)
{
	struct block *b = old != NULL ? (struct block *)((char *)old - offsetof(struct block, bytes)) : NULL;
	struct block *moved;

	(void)old_size;
	if (b != NULL)
		unlink_block(b);
	if (size == 0) {
		free(b);
		return NULL;
	}
	moved = realloc(b, sizeof *b + size);
	if (moved != NULL)
		b = moved;
	if (b != NULL)
		link_block(script, b);
	return moved != NULL ? moved->bytes : NULL;
}

void throw_away_state(struct script *s)
{
	for (struct block *b = s->blocks, *next; b != NULL; b = next) {
		next = b->next;
		free(b);
	}
	s->blocks = NULL;
}

/* ---- Functions of the script's ---- */

static struct script *script_of(lua_State *L) { return *(struct script **)lua_getextraspace(L); }

static int64_t ask(lua_State *L, socle_fn fn, int64_t value)
{
	struct request request = {script_of(L), value, 0};

	if (socle_callback(fn, &request) < 0)
		luaL_error(L, "no callback");
	if (request.error != 0)
		luaL_error(L, "refused %I", (LUAI_UACINT)value);
	return request.value;
}

static int send(lua_State *L)
{
	ask(L, script_of(L)->send, luaL_checkinteger(L, 1));
	return 0;
}

static int receive(lua_State *L)
{
	lua_pushinteger(L, ask(L, script_of(L)->receive, 0));
	return 1;
}

static int give_up(lua_State *L) { return (int)ask(L, script_of(L)->give_up, 0); }

/* ---- A script: it returns a list of names and functions ---- */

static const luaL_Reg libraries[] = {
	{LUA_GNAME, luaopen_base},	  {LUA_COLIBNAME, luaopen_coroutine}, {LUA_TABLIBNAME, luaopen_table},
	{LUA_STRLIBNAME, luaopen_string}, {LUA_MATHLIBNAME, luaopen_math},    {LUA_UTF8LIBNAME, luaopen_utf8},
	{LUA_DBLIBNAME, luaopen_debug},
};

static int with_traceback(lua_State *L)
{
	luaL_traceback(L, L, lua_tostring(L, 1), 1);
	return 1;
}

static void run_test(lua_State *L, struct script *s) /* {name, function} is on top of the stack, and is taken off */
{
	lua_pushcfunction(L, with_traceback);
	lua_rawgeti(L, -2, 2);
	if (lua_pcall(L, 0, 0, -2) == LUA_OK) {
		s->passed++;
		lua_pop(L, 2);
		return;
	}
	s->failed++;
	lua_rawgeti(L, -3, 1);
	printf("%s: %s\n", lua_tostring(L, -1), lua_tostring(L, -2));
	lua_pop(L, 4);
}

static int run_all(lua_State *L)
{
	struct script *s = script_of(L);

	for (size_t i = 0; i < sizeof libraries / sizeof libraries[0]; i++) {
		luaL_requiref(L, libraries[i].name, libraries[i].func, 1);
		lua_pop(L, 1);
	}
	lua_register(L, "send", send);
	lua_register(L, "receive", receive);
	lua_register(L, "give_up", give_up);
	if (luaL_loadbuffer(L, s->text, (size_t)(s->end - s->text), "=script") != LUA_OK)
		return lua_error(L);
	lua_call(L, 0, 1);
	for (lua_Integer i = 1; lua_rawgeti(L, -1, i) == LUA_TTABLE; i++)
		run_test(L, s);
	return 0;
}

void run_script(void *arg)
{
	struct script *s = arg;
	lua_State *L = lua_newstate(allocate, s);
	struct socle_stack_info stack;

	s->failed = 1;
	if (L == NULL)
		return;
	*(struct script **)lua_getextraspace(L) = s;
	lua_pushcfunction(L, run_all);
	s->failed = 0;
	if (lua_pcall(L, 0, 0, 0) != LUA_OK) {
		printf("%s\n", lua_tostring(L, -1));
		s->failed++;
	}
	lua_close(L);
	socle_stack_query(NULL, &stack);
	s->stack_used = stack.hi - stack.high_water;
}
