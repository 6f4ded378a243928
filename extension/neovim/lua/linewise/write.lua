-- Writing by instruction: one request for each buffer at a time, its progress, its end.

local client_of = require('linewise.client')
local edit = require('linewise.edit')

local M = {}

local namespace = vim.api.nvim_create_namespace('linewise.write')

---@class linewise.Write
---@field client_id integer
---@field token string work-done token, by which the write is stopped
---@field mark integer extmark that shows where the write is

---@type table<integer, linewise.Write> buffer → its running write
local running = {}
local count = 0

local function show_place(bufnr, row, mark)
  local last = vim.api.nvim_buf_line_count(bufnr) - 1
  return vim.api.nvim_buf_set_extmark(bufnr, namespace, math.min(row, last), 0, {
    id = mark,
    virt_text = { { '  ✎ writing', 'LinewiseProgress' } },
    virt_text_pos = 'eol',
  })
end

local function finish(bufnr)
  running[bufnr] = nil
  if vim.api.nvim_buf_is_valid(bufnr) then
    vim.api.nvim_buf_clear_namespace(bufnr, namespace, 0, -1)
  end
end

-- What a user can do about an end that is not the model's own.
local reasons = {
  failures = 'the model found no further clean edit; say it otherwise',
  max_edits = 'the limit of edits is reached',
  max_tokens = 'the limit of tokens is reached',
}

local function report(err, result)
  if err then
    client_of.notify(err.message, vim.log.levels.ERROR)
  elseif result then
    local edits = ('%d edit%s'):format(result.edits, result.edits == 1 and '' or 's')
    client_of.notify(('%s in %.1f s (%s).'):format(edits, result.seconds, reasons[result.reason] or result.reason))
  end
end

--- Whether a write runs in the buffer.
---@param bufnr integer
---@return boolean
function M.is_running(bufnr)
  return running[bufnr] ~= nil
end

--- Ask the server to write into `bufnr` by `instruction`.
---@param bufnr integer
---@param instruction string
---@param range integer[]? 0-based first line and the line after the last
function M.start(bufnr, instruction, range)
  if running[bufnr] then
    client_of.notify('a write is running in this buffer; stop it first with :LinewiseStop.', vim.log.levels.WARN)
    return
  end
  client_of.with(bufnr, function(client)
    if running[bufnr] then
      return
    end
    count = count + 1
    local token = ('linewise-write-%d'):format(count)
    local row = range and range[1] or vim.api.nvim_win_get_cursor(0)[1] - 1
    running[bufnr] = { client_id = client.id, token = token, mark = show_place(bufnr, row) }
    edit.begin_undo_step(bufnr)
    local argument = { uri = vim.uri_from_bufnr(bufnr), instruction = instruction }
    if range then
      argument.range = {
        start = { line = range[1], character = 0 },
        ['end'] = { line = range[2], character = 0 },
      }
    end
    local params = { command = 'linewise.write', arguments = { argument }, workDoneToken = token }
    local id = client_of.request(client, 'workspace/executeCommand', params, function(err, result)
      finish(bufnr)
      report(err, result)
    end, bufnr)
    if not id then
      finish(bufnr)
    end
  end)
end

--- Stop the write that runs in `bufnr`; what has landed stays.
---@param bufnr integer
---@return boolean stopped whether one was running
function M.stop(bufnr)
  local write = running[bufnr]
  local client = write and vim.lsp.get_client_by_id(write.client_id)
  if not client then
    return false
  end
  client_of.notify_server(client, 'window/workDoneProgress/cancel', { token = write.token })
  return true
end

edit.on_landed(function(bufnr, _, last_row)
  if running[bufnr] then
    show_place(bufnr, last_row, running[bufnr].mark)
  end
end)

client_of.on_exit(function(id)
  for bufnr, write in pairs(running) do
    if write.client_id == id then
      finish(bufnr)
    end
  end
end)

return M
