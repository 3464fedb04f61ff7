-- Functions that are goroutine callbacks: send() hands a number to another goroutine over a channel and receive() waits
-- for the answer, which is its double. send() of a negative number comes back and throws, after the callback has ended.

local function ask(n)
	send(n)
	return receive()
end

local tests = {}
local function test(name, f) tests[#tests + 1] = {name, f} end

test("a function that blocks", function()
	local sum = 0
	for i = 1, 2000 do sum = sum + ask(i) end
	assert(sum == 4002000)
end)

test("an error thrown through Lua's frames", function()
	local function deeper(n) return n == 0 and send(-1) or 1 + deeper(n - 1) end
	for i = 1, 20 do
		local ok, e = pcall(deeper, i)
		assert(not ok and e:find("refused %-1"))
		assert(ask(i) == 2 * i)
	end
end)

test("through frames of C and of Lua in turn", function()
	local function deeper(n)
		if n == 0 then return ask(1) + send(-2) end
		table.sort({2, 1}, function() return deeper(n - 1) end)
		return 0
	end
	for depth = 1, 30, 6 do
		local ok, e = pcall(string.gsub, "x", "x", function() deeper(depth) end)
		assert(not ok and e:find("refused %-2") and ask(depth) == 2 * depth)
	end
end)

test("from comparators, replacements and metamethods", function()
	local t = {}
	for i = 1, 20 do t[i] = i * 7 % 20 end
	table.sort(t, function(a, b) return ask(a) < ask(b) end)
	for i = 2, #t do assert(t[i - 1] <= t[i]) end
	assert(string.gsub("1 2 3", "%d", function(d) return ask(tonumber(d)) end) == "2 4 6")
	local o = setmetatable({}, {__index = function(_, k) return ask(k) end, __concat = function() return ask(9) end})
	assert(o[21] == 42 and o .. "" == 18)
end)

test("in coroutines", function()
	local co = {}
	for i = 1, 10 do
		co[i] = coroutine.wrap(function()
			local n = ask(i)
			n = n + ask(coroutine.yield(n))
			send(-n)
		end)
		assert(co[i]() == 2 * i)
	end
	for i = 10, 1, -1 do
		local ok, e = pcall(co[i], 100)
		assert(not ok and e:find("refused %-" .. 2 * i + 200))
	end
end)

test("in handlers, closers and finalizers", function()
	local closed, answer, finalized = 0
	local ok, e = xpcall(function()
		local guard <close> = setmetatable({}, {__close = function() closed = closed + ask(3) end})
		send(-3)
	end, function(m)
		answer = ask(4)
		return m
	end)
	assert(not ok and e:find("refused %-3") and answer == 8 and closed == 6)
	setmetatable({}, {__gc = function() finalized = ask(5) end})
	collectgarbage()
	assert(finalized == 10)
end)

return tests
