-- For luacheck: Neovim's Lua is LuaJIT, and `vim` its one global.
std = 'luajit'
cache = false
max_line_length = 120
read_globals = { 'vim' }
-- Setting an option is writing a field of `vim`.
globals = { 'vim.g', 'vim.b', 'vim.bo', 'vim.o', 'vim.wo' }
