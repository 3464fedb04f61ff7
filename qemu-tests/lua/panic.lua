-- The goroutine panics inside the callback, deep in frames of Lua and C: no pcall can catch that.
return {{"panic", function()
	local reached
	pcall(string.gsub, "x", "x", function() coroutine.wrap(function() pcall(give_up) reached = true end)() end)
	assert(not reached)
end}}
