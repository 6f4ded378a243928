-- Applies the server's edits: only to the very text they were made for, and one write as one undo step.
--
-- Neovim's own handler for workspace/applyEdit answers "applied" also when it refused, and adds a line
-- when text is appended after the last one; this one does neither.

local M = {}

---@type table<integer, integer> buffer → changedtick of the last change of its text
local text_tick = {}
---@type table<integer, integer> buffer → value of text_tick when the server's last edit had landed
local landed_tick = {}
---@type fun(bufnr: integer, first_row: integer, last_row: integer)?
local landed_listener

--- Follow the changes of a buffer's text. (`changedtick` also moves when a buffer is written.)
---@param bufnr integer
function M.watch(bufnr)
  if text_tick[bufnr] then
    return
  end
  text_tick[bufnr] = vim.api.nvim_buf_get_changedtick(bufnr)
  local attached = vim.api.nvim_buf_attach(bufnr, false, {
    on_lines = function(_, _, tick)
      text_tick[bufnr] = tick
    end,
    on_reload = function()
      text_tick[bufnr] = vim.api.nvim_buf_get_changedtick(bufnr)
    end,
    on_detach = function()
      text_tick[bufnr], landed_tick[bufnr] = nil, nil
    end,
  })
  if not attached then
    text_tick[bufnr] = nil
  end
end

--- Call `listener` after each edit that landed; there is one listener.
---@param listener fun(bufnr: integer, first_row: integer, last_row: integer)
function M.on_landed(listener)
  landed_listener = listener
end

--- Begin a new undo step with the next edit of the server in this buffer.
---@param bufnr integer
function M.begin_undo_step(bufnr)
  landed_tick[bufnr] = nil
end

--- 0-based byte column of an LSP position's character in `line`.
---@param line string
---@param character integer
---@param encoding string
---@return integer
function M.byte_column(line, character, encoding)
  if encoding == 'utf-8' then
    return math.min(character, #line)
  end
  if vim.fn.has('nvim-0.11') == 1 then
    return vim.str_byteindex(line, encoding, character, false)
  end
  local units = encoding == 'utf-16'
  local ok, column = pcall(vim.str_byteindex, line, character, units)
  return ok and column or #line
end

local function buffer_line(bufnr, row)
  return vim.api.nvim_buf_get_lines(bufnr, row, row + 1, false)[1] or ''
end

--- Replace one LSP range. To the server the buffer ends with a newline, and a position after it exists.
---@param bufnr integer
---@param change lsp.TextEdit
---@param encoding string
---@return integer first_row, integer last_row of the new text
local function apply(bufnr, change, encoding)
  local first, last = change.range.start, change.range['end']
  local text = change.newText:gsub('\r\n?', '\n')
  local count = vim.api.nvim_buf_line_count(bufnr)
  local start_row, end_row = first.line, last.line
  local start_col, end_col
  if end_row >= count then
    end_row, end_col = count - 1, #buffer_line(bufnr, count - 1)
    if start_row >= count then
      -- Appended after the final newline: the newline moves to the front of the text.
      start_row, start_col = end_row, end_col
      text = '\n' .. text:gsub('\n$', '')
    elseif text == '' and first.character == 0 and start_row > 0 then
      -- Whole lines at the end go, with the newline before them instead of the one after.
      start_row = start_row - 1
      start_col = #buffer_line(bufnr, start_row)
    else
      text = text:gsub('\n$', '')
    end
  else
    end_col = M.byte_column(buffer_line(bufnr, end_row), last.character, encoding)
  end
  start_col = start_col or M.byte_column(buffer_line(bufnr, start_row), first.character, encoding)
  local lines = vim.split(text, '\n', { plain = true })
  vim.api.nvim_buf_set_text(bufnr, start_row, start_col, end_row, end_col, lines)
  return start_row, start_row + #lines - 1
end

local function find_buffer(client, uri)
  for bufnr in pairs(client.attached_buffers) do
    if vim.uri_from_bufnr(bufnr) == uri then
      return bufnr
    end
  end
end

--- Why an edit of `version` cannot be applied to `bufnr`, or nil.
local function refusal(bufnr, version)
  if not vim.api.nvim_buf_is_loaded(bufnr) then
    return 'the buffer is not loaded'
  end
  if not vim.bo[bufnr].modifiable then
    return 'the buffer is not modifiable'
  end
  if version and version ~= vim.NIL and vim.lsp.util.buf_versions[bufnr] ~= version then
    return 'the buffer has changed since'
  end
end

local function join_undo(bufnr)
  vim.api.nvim_buf_call(bufnr, function()
    if landed_tick[bufnr] and landed_tick[bufnr] == text_tick[bufnr] then
      -- Fails right after an undo; then the edit begins a step of its own, as it should.
      pcall(vim.cmd.undojoin)
    else
      -- Ends the user's step, also in the middle of insert mode.
      vim.bo.undolevels = vim.bo.undolevels
    end
  end)
end

--- Handler of workspace/applyEdit.
---@param params lsp.ApplyWorkspaceEditParams
---@param ctx lsp.HandlerContext
---@return lsp.ApplyWorkspaceEditResult
function M.on_apply_edit(_, params, ctx)
  local client = assert(vim.lsp.get_client_by_id(ctx.client_id))
  local jobs = {}
  for _, document in ipairs(params.edit.documentChanges or {}) do
    local bufnr = document.textDocument and find_buffer(client, document.textDocument.uri)
    local reason = not bufnr and 'the document is not open' or refusal(bufnr, document.textDocument.version)
    if reason then
      return { applied = false, failureReason = reason }
    end
    table.insert(jobs, { bufnr = bufnr, edits = document.edits })
  end
  for _, job in ipairs(jobs) do
    join_undo(job.bufnr)
    -- From the end to the beginning, so that no edit moves the next one's place.
    table.sort(job.edits, function(a, b)
      local x, y = a.range.start, b.range.start
      return x.line > y.line or x.line == y.line and x.character > y.character
    end)
    for _, change in ipairs(job.edits) do
      local ok, first_row, last_row = pcall(apply, job.bufnr, change, client.offset_encoding)
      if not ok then
        return { applied = false, failureReason = tostring(first_row) }
      end
      if landed_listener then
        landed_listener(job.bufnr, first_row, last_row)
      end
    end
    landed_tick[job.bufnr] = text_tick[job.bufnr]
  end
  return { applied = true }
end

return M
