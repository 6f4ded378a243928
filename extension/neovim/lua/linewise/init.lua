-- What users call: setup, and one function for each thing they can do.

local M = {}

local is_set_up = false

local function attach_by_filetype(config)
  local function attach(bufnr)
    local wanted = vim.list_contains(config.filetypes, vim.bo[bufnr].filetype)
    if wanted and vim.bo[bufnr].buftype == '' and vim.api.nvim_buf_get_name(bufnr) ~= '' then
      require('linewise.client').attach(bufnr)
    end
  end
  local group = vim.api.nvim_create_augroup('linewise.attach', { clear = true })
  vim.api.nvim_create_autocmd({ 'FileType', 'BufFilePost' }, {
    group = group,
    callback = function(event)
      attach(event.buf)
    end,
  })
  for _, bufnr in ipairs(vim.api.nvim_list_bufs()) do
    if vim.api.nvim_buf_is_loaded(bufnr) then
      attach(bufnr)
    end
  end
end

local function is_shown()
  return require('linewise.inline').shown() ~= nil
end

local function follow_typing(config)
  local keys = require('linewise.keys')
  require('linewise.inline').enable()
  keys.install(config.keys, is_shown)
  vim.api.nvim_create_autocmd('User', {
    group = vim.api.nvim_create_augroup('linewise.keys', { clear = true }),
    pattern = 'LinewiseAttach',
    callback = function(event)
      keys.install(config.keys, is_shown, event.data.buf)
    end,
  })
end

--- Configure Linewise, and serve the file types that it is for. See |linewise-options|.
---@param options table?
function M.setup(options)
  local config = require('linewise.config').set(options)
  is_set_up = true
  vim.api.nvim_set_hl(0, 'LinewiseGhost', { link = 'Comment', default = true })
  vim.api.nvim_set_hl(0, 'LinewiseProgress', { link = 'Comment', default = true })
  if config.inline.enabled then
    follow_typing(config)
  end
  attach_by_filetype(config)
end

local function set_up_once()
  if not is_set_up then
    M.setup()
  end
end

--- Write into the current buffer by `instruction`.
---@param instruction string
---@param range integer[]? 0-based first line and the line after the last
function M.write(instruction, range)
  set_up_once()
  require('linewise.write').start(vim.api.nvim_get_current_buf(), instruction, range)
end

--- Stop the write that runs in the current buffer.
function M.stop()
  if not require('linewise.write').stop(vim.api.nvim_get_current_buf()) then
    require('linewise.client').notify('nothing is being written in this buffer.')
  end
end

--- Start the language server again.
function M.restart()
  set_up_once()
  require('linewise.client').restart()
end

--- Take the ghost text, if any is shown.
---@return boolean accepted
function M.accept()
  return require('linewise.inline').accept()
end

--- Clear the ghost text, if any is shown.
function M.dismiss()
  require('linewise.inline').clear()
end

--- One word for a status line: `writing`, `ready`, or empty where Linewise does not serve the buffer.
---@return string
function M.status()
  local bufnr = vim.api.nvim_get_current_buf()
  if require('linewise.write').is_running(bufnr) then
    return 'writing'
  end
  return require('linewise.client').get(bufnr) and 'ready' or ''
end

return M
