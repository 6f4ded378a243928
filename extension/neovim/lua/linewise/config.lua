-- Every option, its default and its check. Nothing else knows a default.

local M = {}

---@class linewise.Inline
---@field enabled boolean show ghost text while you type
---@field debounce integer milliseconds without a keystroke before a suggestion is asked for

---@class linewise.Keys
---@field accept string|false insert-mode key that takes the ghost text
---@field dismiss string|false insert-mode key that clears the ghost text

---@class linewise.Config
---@field cmd string[] the language server's command line
---@field filetypes string[] file types in which the server starts by itself
---@field root_markers string[] files that mark a project's root
---@field inline linewise.Inline
---@field keys linewise.Keys

---@type linewise.Config
local defaults = {
  cmd = { 'linewise', 'lsp' },
  filetypes = { 'python' },
  root_markers = { 'pyproject.toml', 'setup.py', 'setup.cfg', '.git' },
  inline = { enabled = true, debounce = 75 },
  keys = { accept = '<Tab>', dismiss = '<C-]>' },
}

---@type linewise.Config
M.current = vim.deepcopy(defaults)

local function check(name, value, kinds)
  if not vim.list_contains(kinds, type(value)) or value == true and not vim.list_contains(kinds, 'boolean') then
    local got = vim.inspect(value)
    error(('linewise: option %s must be %s, not %s'):format(name, table.concat(kinds, ' or '), got), 0)
  end
end

local function check_known(given, known, prefix)
  for name in pairs(given) do
    if known[name] == nil then
      error(('linewise: there is no option %s%s; see :help linewise-options'):format(prefix, name), 0)
    end
  end
end

local function check_key(name, value)
  if value ~= false then
    check(name, value, { 'string' })
  end
end

--- Check `options`, fill in the defaults and make the result current.
---@param options table?
---@return linewise.Config
function M.set(options)
  options = options or {}
  check('setup{…}', options, { 'table' })
  check_known(options, defaults, '')
  for _, group in ipairs({ 'inline', 'keys' }) do
    if options[group] ~= nil then
      check(group, options[group], { 'table' })
      check_known(options[group], defaults[group], group .. '.')
    end
  end
  -- Lists replace the default list; only the two groups are filled in option by option.
  local config = vim.tbl_extend('force', vim.deepcopy(defaults), options)
  config.inline = vim.tbl_extend('force', defaults.inline, options.inline or {})
  config.keys = vim.tbl_extend('force', defaults.keys, options.keys or {})
  check('cmd', config.cmd, { 'table' })
  check('cmd[1]', config.cmd[1], { 'string' })
  check('filetypes', config.filetypes, { 'table' })
  check('root_markers', config.root_markers, { 'table' })
  check('inline.enabled', config.inline.enabled, { 'boolean' })
  check('inline.debounce', config.inline.debounce, { 'number' })
  check_key('keys.accept', config.keys.accept)
  check_key('keys.dismiss', config.keys.dismiss)
  M.current = config
  return config
end

return M
