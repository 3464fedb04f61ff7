-- Goes through the language and the libraries that need no operating system. Lua's own test suite would be better, but
-- no Debian package has that of Lua 5.4. A list of names and functions: each may assert, and must return.

local function throws(pattern, f, ...)
	local ok, message = pcall(f, ...)
	assert(not ok and string.find(tostring(message), pattern), message)
end

local tests = {}
local function test(name, f) tests[#tests + 1] = {name, f} end

test("closures", function()
	local function counter()
		local n = 0
		return function() n = n + 1 return n end, function() return n end
	end
	local up, look = counter()
	local other = counter()
	up() up() other()
	assert(look() == 2)
	local made = {}
	for i = 1, 10 do made[i] = function(d) i = i + (d or 0) return i end end
	assert(made[3](4) == 7 and made[3]() == 7 and made[4]() == 4)
	local function fix(f) return (function(x) return x(x) end)(function(x) return f(function(...) return x(x)(...) end) end) end
	assert(fix(function(self) return function(n) return n == 0 and 1 or n * self(n - 1) end end)(20) == 2432902008176640000)
end)

test("variable arguments", function()
	local function count(...) return select("#", ...), select(-1, ...) end
	local n, last = count(1, nil, 3)
	assert(n == 3 and last == 3)
	assert(table.pack(table.unpack({1, 2, nil, 4}, 1, 4)).n == 4)
	local a, b, c = (function(...) return ... end)(1, 2)
	assert(a == 1 and b == 2 and c == nil and ((function() return 1, 2 end)()) == 1)
	local t = {(function() return 1, 2, 3 end)(), (function() return 1, 2, 3 end)()}
	assert(#t == 4)
	local big = {}
	for i = 1, 5000 do big[i] = i end
	assert(select("#", table.unpack(big)) == 5000 and math.max(table.unpack(big)) == 5000)
end)

test("assignment and scope", function()
	local x, y = 1, 2
	x, y = y, x
	assert(x == 2 and y == 1)
	local i, t = 1, {}
	i, t[i] = i + 1, 20
	assert(i == 2 and t[1] == 20)
	do local x <const> = 5; assert(x == 5) end
	assert(x == 2)
	throws("attempt to assign to const variable", function() assert(load("local x <const> = 1; x = 2")) end)
end)

test("goto", function()
	local odd = {}
	for i = 1, 9 do
		if i % 2 == 0 then goto continue end
		odd[#odd + 1] = i
		::continue::
	end
	assert(table.concat(odd, ",") == "1,3,5,7,9")
	local n, made = 0, {}
	::again::
	local fresh = n
	made[#made + 1] = function() return fresh end
	n = n + 1
	if n < 3 then goto again end
	assert(made[1]() == 0 and made[3]() == 2)
	assert(not load("goto nowhere"))
	assert(not load("do ::a:: end goto a"))
end)

test("loops", function()
	local n = 0
	for i = math.maxinteger - 1, math.maxinteger do n = n + 1 end
	for i = math.mininteger + 1, math.mininteger, -1 do n = n + 1 end
	for i = 1, 0 do n = n + 100 end
	for x = 1.0, 2.0, 0.25 do n = n + 1 end
	assert(n == 9)
	throws("'for' step is zero", function() for i = 1, 2, 0 do end end)
	throws("'for' initial value", function() for i = {}, 2 do end end)
	local function range(last) return function(s, i) if i < s then return i + 1 end end, last, 0 end
	for i in range(10) do n = n + i end
	assert(n == 64)
	repeat local done = n > 0 until done
	while true do n = n - 1 if n < 60 then break end end
	assert(n == 59)
end)

test("integers", function()
	assert(math.maxinteger + 1 == math.mininteger and math.type(1) == "integer" and math.type(1.0) == "float")
	assert(7 // 2 == 3 and -7 // 2 == -4 and 7 // -2 == -4 and -7 % 3 == 2 and 7 % -3 == -2)
	assert(math.mininteger // -1 == math.mininteger and math.mininteger % -1 == 0)
	throws("zero", function() return 1 // 0 end)
	throws("'n%%+0'", function() return 1 % 0 end)
	assert(1 << 63 == math.mininteger and 1 << 64 == 0 and -1 >> 60 == 15 and 1 << -1 == 0 and 2 >> -1 == 4)
	assert(0xF0 | 0x0F == 0xFF and 0xFF & 0x3C == 0x3C and 5 ~ 3 == 6 and ~0 == -1)
	assert(0x7fffffffffffffff == math.maxinteger and 0xffffffffffffffff == -1)
	assert(9223372036854775807 == math.maxinteger and 9223372036854775808 == 2.0 ^ 63)
	assert(math.ult(1, -1) and not math.ult(-1, 1))
	assert(3037000500 * 3037000500 == -9223372036709301616)
end)

test("floats", function()
	assert(7 / 2 == 3.5 and 2 ^ 10 == 1024.0 and 7.5 // 2 == 3.0 and -7.5 % 2 == 0.5 and 5.25 % -2 == -0.75)
	assert(1 / 0 == math.huge and -1 / 0 == -math.huge and 0 / 0 ~= 0 / 0 and 1 // 0.0 == math.huge)
	assert(0.1 + 0.2 ~= 0.3 and 0.1 + 0.2 == 0x1.3333333333334p-2 and -0.0 == 0.0 and 1 / -0.0 == -math.huge)
	assert(5 % math.huge == 5.0 and -5 % math.huge == math.huge)
	assert(math.maxinteger + 0.0 == 2.0 ^ 63 and math.maxinteger < 2.0 ^ 63 and math.mininteger <= -2.0 ^ 63)
	assert(1 == 1.0 and ({[1] = "x"})[1.0] == "x" and ({[2 ^ 53] = "y"})[1 << 53] == "y")
	throws("number has no integer representation", function() return 1.5 | 1 end)
	assert(math.tointeger(3.0) == 3 and math.tointeger(3.5) == nil and 3.0 | 0 == 3)
	assert(tostring(1e15) == "1e+15" and tostring(-0.0) == "-0.0" and tostring(3.0) == "3.0" and 1e308 * 10 == math.huge)
end)

test("numbers and text", function()
	assert("10" + 5 == 15 and "0x10" * 1 == 16 and "3.5" + 0 == 3.5 and 10 .. 20 == "1020")
	assert(tonumber("  12  ") == 12 and tonumber("1e1") == 10.0 and tonumber("12a") == nil and tonumber("") == nil)
	assert(tonumber("ff", 16) == 255 and tonumber("-zz", 36) == -1295 and tonumber("8", 8) == nil)
	assert(tonumber("0x1p4") == 16.0 and tonumber("0x.8") == 0.5)
	assert(string.format("%5d|%-5d|%05d|%+d", 42, 42, 42, 42) == "   42|42   |00042|+42")
	assert(string.format("%.3f %g %e", 1 / 3, 1e20, 12345.678) == "0.333 1e+20 1.234568e+04")
	assert(string.format("%x %X %o %c", 255, 255, 8, 65) == "ff FF 10 A")
	assert(string.format("%.14g", 2 ^ 53) == "9.007199254741e+15" and string.format("%.3s|%10s|%-4s|", "abcdef", "x", "y"))
	assert(string.format("%q", 'a"\n\0b') == '"a\\"\\\n\\0b"' and string.format("%q", math.mininteger) == "0x8000000000000000")
	for _, x in ipairs {0.1, 1 / 3, 1e-300, 2 ^ 60 + 2 ^ 10, math.pi, 5e-324} do
		assert(tonumber(string.format("%.17g", x)) == x and tonumber(string.format("%a", x)) == x)
	end
end)

test("mathematics", function()
	assert(math.floor(-3.5) == -4 and math.ceil(-3.5) == -3 and math.fmod(-7, 3) == -1 and math.abs(math.mininteger) == math.mininteger)
	assert(math.sqrt(2) ^ 2 - 2 < 1e-15 and math.abs(math.sin(math.pi)) < 1e-15 and math.exp(0) == 1.0)
	assert(math.log(8, 2) == 3.0 and math.log(100, 10) == 2.0 and math.abs(math.atan(1, 1) * 4 - math.pi) < 1e-15)
	assert(select(2, math.modf(3.25)) == 0.25 and math.min(3, 1.5, 2) == 1.5)
	math.randomseed(42)
	local first = {math.random(), math.random(10), math.random(-5, 5), math.random(0)}
	math.randomseed(42)
	for i, f in ipairs {function() return math.random() end, function() return math.random(10) end,
			function() return math.random(-5, 5) end, function() return math.random(0) end} do
		assert(first[i] == f())
	end
	local seen = {}
	for i = 1, 1000 do seen[math.random(10)] = true end
	assert(#seen == 10)
end)

test("patterns", function()
	assert(string.find("hello world", "o w") == 5 and string.find("a.b", ".", 1, true) == 2)
	assert(string.match("key = value", "^(%w+)%s*=%s*(%w+)$") == "key")
	assert(select(3, string.find("date: 2026-11-22", "(%d+)-(%d+)-(%d+)")) == "2026")
	assert(string.gsub("hello", "l+", "L") == "heLo" and select(2, string.gsub("aaa", "a", "b")) == 3)
	assert(string.gsub("abc", "%w", "%0%0") == "aabbcc" and string.gsub("abc def", "(%w+) (%w+)", "%2 %1") == "def abc")
	assert(string.gsub("$name is $age", "%$(%w+)", {name = "Lua", age = 33}) == "Lua is 33")
	assert(string.gsub("abc", "", "-") == "-a-b-c-" and string.gsub("x^2", "%^", "**") == "x**2")
	assert(string.match("f(a(b)c)d", "%b()") == "(a(b)c)" and string.gsub("THE (quick) fox", "%f[%a]%a+", "w") == "w (w) w")
	assert(string.match("  trim  ", "^%s*(.-)%s*$") == "trim" and string.match("aXb", "%u") == "X")
	assert(string.match("[[x]]", "%[(%[(.-)%])%]") == "[x]" and string.match("abc", "()c()") == 3)
	assert(string.match("aaab", "a-b") == "aaab" and string.match("0x1F", "^0[xX](%x+)$") == "1F")
	assert(string.gsub("one two", "(%w)(%w*)", function(a, b) return a:upper() .. b end) == "One Two")
	local words = {}
	for w in string.gmatch("one, two,three", "%a+") do words[#words + 1] = w end
	assert(table.concat(words, "|") == "one|two|three")
	throws("malformed pattern", string.find, "a", "[a")
	throws("invalid capture index", string.gsub, "a", "a", "%2")
	throws("pattern too complex", string.match, string.rep("a", 300000), string.rep("a?", 300000) .. "b")
end)

test("strings", function()
	assert(("x"):rep(3, "-") == "x-x-x" and ("abc"):sub(-2) == "bc" and ("abc"):sub(2, 10) == "bc" and ("abc"):reverse() == "cba")
	assert(#"a\0b" == 3 and "a\0b" ~= "a\0c" and "a\0b" < "a\0c" and "\u{20AC}" == "\xE2\x82\xAC" and "\z
		joined" == "joined" and "\065\10" == "A\n")
	assert(("AbC"):lower() == "abc" and string.char(72, 105) == "Hi" and select("#", ("hello"):byte(1, -1)) == 5)
	assert([[
line]] == "line" and [==[a]]b]==] == "a]]b")
	assert("a" < "b" and "a" < "aa" and "Z" < "a" and not ("b" < "a"))
	throws("resulting string too large", string.rep, "x", 1 << 62)
	local parts = {}
	for i = 1, 2000 do parts[i] = ("%d"):format(i) end
	assert(#table.concat(parts, " ") == 8892)
end)

test("packing", function()
	assert(string.pack("<i4", -2) == "\xfe\xff\xff\xff" and string.pack(">I2", 258) == "\1\2")
	assert(string.unpack("<d", string.pack("<d", math.pi)) == math.pi and string.packsize("!8 i1 i8") == 16)
	local a, b, c, at = string.unpack("z s1 <i8", string.pack("z s1 <i8", "zero", "one", math.mininteger))
	assert(a == "zero" and b == "one" and c == math.mininteger and at == 18)
	throws("overflow", string.pack, "i1", 200)
	assert(utf8.char(72, 8364, 0x10FFFF) == "H\u{20AC}\u{10FFFF}" and utf8.len("h\u{20AC}llo") == 5)
	assert(utf8.codepoint("\u{20AC}") == 8364 and utf8.offset("a\u{20AC}b", 3) == 5 and not utf8.len("\xff"))
	local n = 0
	for _, code in utf8.codes("a\u{20AC}b") do n = n + code end
	assert(n == 97 + 8364 + 98)
end)

test("tables", function()
	local t = {10, 20, 30, nil, x = 1, ["y z"] = 2, [100] = 3}
	assert(#t == 3 and t.x == 1 and t["y z"] == 2 and t[100] == 3)
	table.insert(t, 2, 15) table.insert(t, 40)
	assert(table.concat(t, ",") == "10,15,20,30,40" and table.remove(t, 1) == 10 and table.remove(t) == 40)
	assert(table.concat(table.move({1, 2, 3}, 1, 3, 3, {9, 9}), ",") == "9,9,1,2,3")
	local keys = 0
	for k, v in pairs(t) do t[k] = nil keys = keys + 1 end
	assert(keys == 6 and next(t) == nil)
	local big = {}
	for i = 1, 20000 do big["k" .. i] = i big[i] = i big[i + 0.5] = i end
	for i = 1, 20000, 2 do big["k" .. i] = nil end
	local n = 0
	for _ in pairs(big) do n = n + 1 end
	assert(n == 50000 and #big == 20000 and big.k200 == 200 and big[77.5] == 77)
	throws("index is nil", function() t[nil] = 1 end)
	throws("index is NaN", function() t[0 / 0] = 1 end)
	throws("invalid key to 'next'", next, {}, 1)
end)

test("sorting", function()
	local t = {}
	local x = 12345
	for i = 1, 2000 do x = (x * 1103515245 + 12345) % 2147483648 t[i] = x end
	table.sort(t)
	for i = 2, #t do assert(t[i - 1] <= t[i]) end
	table.sort(t, function(a, b) return a > b end)
	for i = 2, #t do assert(t[i - 1] >= t[i]) end
	throws("invalid order function", table.sort, {3, 1, 2, 5, 4, 9, 8, 7, 6}, function() return true end)
	throws("attempt to compare", table.sort, {1, "x", 2})
end)

test("metatables", function()
	local V = {}
	V.__index = V
	local function vector(x, y) return setmetatable({x = x, y = y}, V) end
	V.__add = function(a, b) return vector(a.x + b.x, a.y + b.y) end
	V.__mul = function(a, b) return type(a) == "number" and vector(a * b.x, a * b.y) or a.x * b.x + a.y * b.y end
	V.__unm = function(a) return vector(-a.x, -a.y) end
	V.__eq = function(a, b) return a.x == b.x and a.y == b.y end
	V.__lt = function(a, b) return a * a < b * b end
	V.__le = function(a, b) return a * a <= b * b end
	V.__len = function() return 2 end
	V.__concat = function(a, b) return tostring(a) .. tostring(b) end
	V.__tostring = function(a) return "(" .. a.x .. "," .. a.y .. ")" end
	V.__call = function(a, k) return a[k] end
	V.__idiv = function(a, n) return vector(a.x // n, a.y // n) end
	V.__band = function(a, b) return "and" end
	V.__name = "vector"
	local a, b = vector(3, 4), vector(1, 2)
	assert(a + b == vector(4, 6) and a * b == 11 and (2 * b).y == 4 and -a == vector(-3, -4) and a ~= b)
	assert(b < a and b <= a and a > b and #a == 2 and a .. b == "(3,4)(1,2)" and a .. "!" == "(3,4)!" and a("x") == 3)
	assert(a // 2 == vector(1, 2) and a & 1 == "and")
	local log = {}
	local proxy = setmetatable({}, {__index = function(_, k) log[#log + 1] = k return k .. "?" end,
		__newindex = function(t, k, v) rawset(t, k, v * 2) end, __metatable = "locked",
		__pairs = function() return function(_, k) if not k then return 1, 2 end end end})
	proxy.n = 21
	assert(proxy.n == 42 and proxy.z == "z?" and log[1] == "z" and getmetatable(proxy) == "locked")
	for k, v in pairs(proxy) do assert(k == 1 and v == 2) end
	throws("cannot change a protected metatable", setmetatable, proxy, {})
	throws("attempt to perform arithmetic on a table value", function() return {} + 1 end)
	local A = {greet = function() return "A" end} A.__index = A
	local B = setmetatable({}, A) B.__index = B
	assert(setmetatable({}, B).greet() == "A" and rawlen({1, 2}) == 2 and rawequal(a, a) and rawget(B, "greet") == nil)
	local loop = {} loop.__index = setmetatable(loop, loop)
	throws("'__index' chain too long", function() return loop.x end)
end)

test("coroutines", function()
	local function produce(n) return coroutine.wrap(function() for i = 1, n do coroutine.yield(i, i * i) end end) end
	local sum = 0
	for i, square in produce(100) do sum = sum + square end
	assert(sum == 338350)
	local co = coroutine.create(function(a, b)
		local c = coroutine.yield(a + b)
		local d, e = coroutine.yield(c * 2)
		return d + e
	end)
	assert(select(2, coroutine.resume(co, 1, 2)) == 3 and select(2, coroutine.resume(co, 10)) == 20)
	assert(select(2, coroutine.resume(co, 3, 4)) == 7 and coroutine.status(co) == "dead")
	assert(select(2, coroutine.resume(co)) == "cannot resume dead coroutine")
	local across = coroutine.wrap(function()
		local ok, got = pcall(function() return coroutine.yield("in pcall") + 1 end)
		assert(ok and got == 42)
		local t = setmetatable({}, {__index = function(_, k) return coroutine.yield(k) end})
		assert(t.key == "from outside")
		for v in (function() return coroutine.yield("iterator") end) do assert(v == 1) break end
		error({code = 5})
	end)
	assert(across() == "in pcall" and across(41) == "key" and across("from outside") == "iterator")
	local ok, e = pcall(across, 1)
	assert(not ok and e.code == 5)
	assert(not coroutine.isyieldable() and select(2, coroutine.running()))
	throws("attempt to yield", coroutine.yield)
	local closed
	local suspended = coroutine.create(function()
		local guard <close> = setmetatable({}, {__close = function() closed = true end})
		coroutine.yield()
	end)
	coroutine.resume(suspended)
	assert(coroutine.close(suspended) and closed and coroutine.status(suspended) == "dead")
	local many = {}
	for i = 1, 500 do many[i] = coroutine.wrap(function() local n = i while true do n = n + coroutine.yield(n) end end) many[i]() end
	local total = 0
	for i = 1, 500 do total = total + many[i](1) end
	assert(total == 125750)
	local function nest(n) return n == 0 and 0 or 1 + coroutine.wrap(nest)(n - 1) end
	assert(nest(100) == 100)
	throws("C stack overflow", nest, 1000)
end)

test("errors", function()
	local ok, e = pcall(error, {code = 7})
	assert(not ok and e.code == 7)
	assert(select(2, pcall(error)) == nil and select(2, pcall(error, "plain", 0)) == "plain")
	assert(select(2, pcall(function() error("here") end)):match(":%d+: here$"))
	throws("attempt to index a nil value %(local 'x'%)", function() local x; return x.y end)
	throws("attempt to call a nil value %(global 'nothing'%)", function() nothing() end)
	throws("attempt to concatenate a table value", function() return {} .. "x" end)
	throws("attempt to compare number with nil", function() return 1 < nil end)
	throws("bad argument #1 to 'insert'", function() table.insert(1, 2) end)
	assert(select(2, pcall(assert, false, "said")) == "said" and select("#", assert(1, 2, 3)) == 3)
	local handled = {xpcall(function() error("deep") end, function(m) return debug.traceback(m, 1) end)}
	assert(not handled[1] and handled[2]:find("stack traceback"))
	local nested = select(2, pcall(function()
		local ok, e = pcall(error, "inner", 0)
		error(e .. " and outer", 0)
	end))
	assert(nested == "inner and outer")
	throws("stack overflow", function() local function f() return 1 + f() end return f() end)
	throws("C stack overflow", function() local function f() return string.gsub("x", "x", f) end return f() end)
	assert(select(2, xpcall(error, function(m) error(m) end, "again")):find("again") == nil)
	local deep = string.rep("(", 150) .. "1" .. string.rep(")", 150)
	assert(load("return " .. deep)() == 1)
	assert(select(2, load("return " .. string.rep("(", 500) .. "1" .. string.rep(")", 500))):find("overflow"))
	assert(select(2, load("x = = 1", "=chunk")):find("^chunk:1: unexpected symbol near '='"))
end)

test("to be closed", function()
	local order = {}
	local function guard(name) return setmetatable({}, {__close = function(_, e) order[#order + 1] = name .. tostring(e) end}) end
	do local a <close> = guard("a") local b <close> = guard("b") end
	pcall(function() local c <close> = guard("c") error("x", 0) end)
	for i = 1, 2 do local d <close> = guard("d" .. i) if i == 1 then goto next end ::next:: end
	assert(table.concat(order, " ") == "bnil anil cx d1nil d2nil")
	local ok, e = pcall(function()
		local x <close> = setmetatable({}, {__close = function() error("closing", 0) end})
		error("first", 0)
	end)
	assert(not ok and e == "closing")
end)

test("collection", function()
	collectgarbage()
	local before = collectgarbage("count")
	local weak = setmetatable({}, {__mode = "v"})
	local ephemeron = setmetatable({}, {__mode = "k"})
	local finalized = 0
	do
		local keep = {}
		for i = 1, 2000 do
			local t = setmetatable({i}, {__gc = function() finalized = finalized + 1 end})
			weak[i] = t
			ephemeron[t] = {t}
			if i % 2 == 0 then keep[#keep + 1] = t end
		end
		collectgarbage()
		local left = 0
		for _ in pairs(weak) do left = left + 1 end
		assert(left == 1000 and finalized == 1000 and #keep == 1000)
	end
	collectgarbage() collectgarbage()
	assert(finalized == 2000 and next(ephemeron) == nil and next(weak) == nil)
	assert(collectgarbage("count") < before + 100)
	for _, mode in ipairs {"generational", "incremental"} do
		collectgarbage(mode)
		local old = {}
		for i = 1, 20000 do
			local t = {i, tostring(i)}
			old[i % 100 + 1] = t
		end
		for i = 1, 100 do assert(old[i][2] == tostring(old[i][1])) end
	end
	local reborn
	setmetatable({}, {__gc = function(o) reborn = o end})
	collectgarbage()
	assert(type(reborn) == "table")
end)

test("chunks", function()
	assert(load("return 1 + 1")() == 2 and load("x = 5; return x", "c", "t", {})() == 5 and x == nil)
	local piece = {"return ", "4", "2", nil}
	local i = 0
	assert(load(function() i = i + 1 return piece[i] end)() == 42)
	local function adder(a) return function(b) return a + b end end
	local copy = load(string.dump(function(n) local s = 0 for i = 1, n do s = s + i end return s end, true), "d", "b")
	assert(copy(100) == 5050 and not load("return 1", "c", "b"))
	local _ENV = {assert = assert}
	y = 7
	assert(_ENV.y == 7)
end)

test("debugging", function()
	local info = debug.getinfo(1, "Sl")
	assert(info.what == "Lua" and info.currentline > 0 and debug.getinfo(print).what == "C")
	local secret = 5
	local function f() return secret end
	assert(debug.getupvalue(f, 1) == "secret" and debug.setupvalue(f, 1, 6) == "secret" and f() == 6)
	local lines = 0
	debug.sethook(function() lines = lines + 1 end, "l")
	local a = 1
	local b = 2
	debug.sethook()
	assert(lines >= 3 and debug.gethook() == nil)
end)

-- Some real work: FIPS 180-4, its constants from the roots of the primes.
test("SHA-256", function()
	local function rotate(x, n) return (x >> n | x << 32 - n) & 0xffffffff end
	local K, H, p = {}, {}, 2
	while #K < 64 do
		local prime = true
		for d = 2, p - 1 do if p % d == 0 then prime = false break end end
		if prime then
			K[#K + 1] = math.floor(p ^ (1 / 3) % 1 * 2 ^ 32)
			if #H < 8 then H[#H + 1] = math.floor(p ^ 0.5 % 1 * 2 ^ 32) end
		end
		p = p + 1
	end
	local function sha256(text)
		local h = {table.unpack(H)}
		text = text .. "\x80" .. ("\0"):rep(-(#text + 9) % 64) .. string.pack(">I8", #text * 8)
		for at = 1, #text, 64 do
			local w = {string.unpack(">" .. ("I4"):rep(16), text, at)}
			for i = 17, 64 do
				local x, y = w[i - 15], w[i - 2]
				w[i] = w[i - 16] + (rotate(x, 7) ~ rotate(x, 18) ~ x >> 3) + w[i - 7] +
					(rotate(y, 17) ~ rotate(y, 19) ~ y >> 10) & 0xffffffff
			end
			local a, b, c, d, e, f, g, hh = table.unpack(h)
			for i = 1, 64 do
				local t1 = hh + (rotate(e, 6) ~ rotate(e, 11) ~ rotate(e, 25)) + (e & f ~ ~e & g) + K[i] + w[i]
				local t2 = (rotate(a, 2) ~ rotate(a, 13) ~ rotate(a, 22)) + (a & b ~ a & c ~ b & c)
				a, b, c, d, e, f, g, hh = t1 + t2 & 0xffffffff, a, b, c, d + t1 & 0xffffffff, e, f, g
			end
			for i, v in ipairs {a, b, c, d, e, f, g, hh} do h[i] = h[i] + v & 0xffffffff end
		end
		return (("%08x"):rep(8)):format(table.unpack(h))
	end
	assert(sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
	assert(sha256("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
end)

return tests
