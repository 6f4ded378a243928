-- The language server's life: start, attach, messages, end. One server serves every buffer.

local config = require('linewise.config')
local edit = require('linewise.edit')

local M = {}

local NAME = 'linewise'

---@type integer?
local client_id
---@type table<integer, fun(client: vim.lsp.Client)[]> what waits until a buffer is attached
local waiting = {}
---@type fun(client_id: integer)[] what to do when the server has ended
local exit_listeners = {}
---@type table<integer, true> the buffers that the server serves, or served before it ended
local served = {}
local stopping = false
local restarting = false
local attach_served

--- Tell the user one sentence.
---@param message string
---@param level integer? one of vim.log.levels
function M.notify(message, level)
  vim.notify('Linewise: ' .. message, level or vim.log.levels.INFO)
end

--- Call `listener` with the client's id whenever the server has ended.
---@param listener fun(client_id: integer)
function M.on_exit(listener)
  table.insert(exit_listeners, listener)
end

local function on_attach(client, bufnr)
  served[bufnr] = true
  edit.watch(bufnr)
  vim.api.nvim_exec_autocmds('User', { pattern = 'LinewiseAttach', data = { buf = bufnr } })
  local callbacks = waiting[bufnr] or {}
  waiting[bufnr] = nil
  for _, callback in ipairs(callbacks) do
    callback(client)
  end
end

local function on_exit(code, signal, id)
  vim.schedule(function()
    local expected = stopping or vim.v.exiting ~= vim.NIL
    stopping = false
    waiting = {}
    if client_id == id then
      client_id = nil
    end
    for _, listener in ipairs(exit_listeners) do
      listener(id)
    end
    if not expected then
      local reason = signal ~= 0 and ('signal %d'):format(signal) or ('exit status %d'):format(code)
      local text = 'the server ended unexpectedly (%s). What it wrote stands; :LinewiseRestart starts it again.'
      M.notify(text:format(reason), vim.log.levels.ERROR)
    end
    if restarting then
      restarting = false
      attach_served()
    end
  end)
end

local function capabilities()
  local result = vim.lsp.protocol.make_client_capabilities()
  result.textDocument.inlineCompletion = { dynamicRegistration = false }
  result.workspace.workspaceEdit.documentChanges = true
  result.general = vim.tbl_extend('force', result.general or {}, {
    -- Neovim counts bytes; asking for them first saves converting every position.
    positionEncodings = { 'utf-8', 'utf-16', 'utf-32' },
  })
  return result
end

--- The running client that serves `bufnr`, if any.
---@param bufnr integer
---@return vim.lsp.Client?
function M.get(bufnr)
  local client = client_id and vim.lsp.get_client_by_id(client_id)
  if client and client.initialized and vim.lsp.buf_is_attached(bufnr, client.id) then
    return client
  end
end

--- Start the server if it does not run, and attach it to `bufnr`.
---@param bufnr integer
---@return boolean started whether the server runs or is starting
function M.attach(bufnr)
  if vim.bo[bufnr].buftype ~= '' then
    M.notify('this is not a file buffer.', vim.log.levels.ERROR)
    return false
  end
  if vim.api.nvim_buf_get_name(bufnr) == '' then
    M.notify('this buffer has no name yet; give it one with :file NAME.', vim.log.levels.ERROR)
    return false
  end
  local cmd = config.current.cmd
  if vim.fn.executable(cmd[1]) == 0 then
    local text = 'cannot run %q. Name the server in `cmd`: { "/path/to/linewise", "lsp" }; see :checkhealth linewise.'
    M.notify(text:format(cmd[1]), vim.log.levels.ERROR)
    return false
  end
  client_id = vim.lsp.start({
    name = NAME,
    cmd = cmd,
    root_dir = vim.fs.root(bufnr, config.current.root_markers),
    capabilities = capabilities(),
    flags = { debounce_text_changes = 0 },
    handlers = { ['workspace/applyEdit'] = edit.on_apply_edit },
    on_attach = on_attach,
    on_exit = on_exit,
  }, {
    bufnr = bufnr,
    reuse_client = function(client)
      return client.name == NAME and not client:is_stopped()
    end,
  }) or client_id
  return client_id ~= nil
end

--- Call `callback` with the client as soon as it serves `bufnr`, starting it if need be.
---@param bufnr integer
---@param callback fun(client: vim.lsp.Client)
function M.with(bufnr, callback)
  local client = M.get(bufnr)
  if client then
    callback(client)
    return
  end
  waiting[bufnr] = waiting[bufnr] or {}
  table.insert(waiting[bufnr], callback)
  if not M.attach(bufnr) then
    waiting[bufnr] = nil
  end
end

--- Send a request to the server.
---@param client vim.lsp.Client
---@param method string
---@param params table
---@param handler fun(err: table?, result: any)
---@param bufnr integer
---@return integer? id for `cancel`; nil when the server has ended
function M.request(client, method, params, handler, bufnr)
  local sent, id
  if vim.fn.has('nvim-0.11') == 1 then
    sent, id = client:request(method, params, handler, bufnr)
  else
    sent, id = client.request(method, params, handler, bufnr)
  end
  return sent and id or nil
end

--- Send a notification to the server.
---@param client vim.lsp.Client
---@param method string
---@param params table
function M.notify_server(client, method, params)
  if vim.fn.has('nvim-0.11') == 1 then
    client:notify(method, params)
  else
    client.notify(method, params)
  end
end

--- Say that the answer to request `id` is no longer wanted.
---@param client vim.lsp.Client
---@param id integer
function M.cancel(client, id)
  M.notify_server(client, '$/cancelRequest', { id = id })
end

function attach_served()
  local current = vim.api.nvim_get_current_buf()
  if next(served) == nil then
    served[current] = true
  end
  for bufnr in pairs(served) do
    if vim.api.nvim_buf_is_loaded(bufnr) then
      M.attach(bufnr)
    else
      served[bufnr] = nil
    end
  end
end

--- End the server if it runs, and start it for every buffer that it served.
function M.restart()
  local client = client_id and vim.lsp.get_client_by_id(client_id)
  if not client then
    attach_served()
    return
  end
  stopping, restarting = true, true
  vim.lsp.stop_client(client.id)
end

return M
