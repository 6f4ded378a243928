-- Ghost text at the cursor: asked for on a pause, shown, typed through, taken or dropped.

local client_of = require('linewise.client')
local config = require('linewise.config')
local edit = require('linewise.edit')

local M = {}

local namespace = vim.api.nvim_create_namespace('linewise.inline')
local timer = assert((vim.uv or vim.loop).new_timer())

---@class linewise.Ghost
---@field bufnr integer
---@field row integer 0-based line of the cursor that it was made for
---@field col integer 0-based byte column of the cursor
---@field text string what is still to insert at the cursor
---@field tail integer bytes after the cursor that the text replaces
---@field line_length integer bytes of the cursor's line, by which other changes of it are noticed

---@type linewise.Ghost?
local ghost
---@type { client: vim.lsp.Client, id: integer, number: integer }?
local request
local numbers = 0

local function cursor()
  local position = vim.api.nvim_win_get_cursor(0)
  return position[1] - 1, position[2]
end

local function erase()
  if ghost and vim.api.nvim_buf_is_valid(ghost.bufnr) then
    vim.api.nvim_buf_clear_namespace(ghost.bufnr, namespace, 0, -1)
  end
end

local function draw()
  local lines = vim.split(ghost.text, '\n', { plain = true })
  local below = {}
  for index = 2, #lines do
    table.insert(below, { { lines[index], 'LinewiseGhost' } })
  end
  vim.api.nvim_buf_clear_namespace(ghost.bufnr, namespace, 0, -1)
  vim.api.nvim_buf_set_extmark(ghost.bufnr, namespace, ghost.row, ghost.col, {
    virt_text = { { lines[1], 'LinewiseGhost' } },
    virt_text_pos = 'inline',
    virt_lines = #below > 0 and below or nil,
    -- What is typed at the ghost pushes it to the right, so typing through it does not flicker.
    right_gravity = true,
  })
end

--- The text that is shown, or nil.
---@return string?
function M.shown()
  return ghost and ghost.text
end

local function cancel_request()
  if request then
    client_of.cancel(request.client, request.id)
    request = nil
  end
end

--- Take the ghost text away, and give up what is being asked for.
function M.clear()
  timer:stop()
  cancel_request()
  erase()
  ghost = nil
end

--- The ghost that `item` makes at the cursor, or nil when it does not continue what stands there.
local function ghost_of(item, bufnr, row, col, encoding)
  local line = vim.api.nvim_buf_get_lines(bufnr, row, row + 1, false)[1] or ''
  local text = type(item.insertText) == 'table' and item.insertText.value or item.insertText
  local first, last = col, col
  local range = item.range
  if range and range ~= vim.NIL then
    if range.start.line ~= row or range['end'].line ~= row then
      return nil
    end
    first = edit.byte_column(line, range.start.character, encoding)
    last = edit.byte_column(line, range['end'].character, encoding)
  end
  local typed = line:sub(first + 1, col)
  if first > col or last < col or text:sub(1, #typed) ~= typed then
    return nil
  end
  text = text:sub(#typed + 1)
  if text == '' then
    return nil
  end
  return { bufnr = bufnr, row = row, col = col, text = text, tail = last - col, line_length = #line }
end

local function ask()
  local bufnr = vim.api.nvim_get_current_buf()
  local client = client_of.get(bufnr)
  if not client or not vim.startswith(vim.api.nvim_get_mode().mode, 'i') or vim.fn.pumvisible() == 1 then
    return
  end
  cancel_request()
  local row, col = cursor()
  local tick = vim.api.nvim_buf_get_changedtick(bufnr)
  local encoding = client.offset_encoding
  numbers = numbers + 1
  local number = numbers
  local position = vim.lsp.util.make_position_params(0, encoding)
  local params = vim.tbl_extend('force', position, { context = { triggerKind = 2 } })
  local id = client_of.request(client, 'textDocument/inlineCompletion', params, function(err, result)
    -- Only the answer to the last request counts, and only for the text and place it was asked for.
    if not request or request.number ~= number then
      return
    end
    request = nil
    local now_row, now_col = cursor()
    if
      err
      or not result
      or result == vim.NIL
      or vim.api.nvim_get_current_buf() ~= bufnr
      or vim.api.nvim_buf_get_changedtick(bufnr) ~= tick
      or now_row ~= row
      or now_col ~= col
      or not vim.startswith(vim.api.nvim_get_mode().mode, 'i')
      or vim.fn.pumvisible() == 1
    then
      return
    end
    local item = (result.items or result)[1]
    ghost = item and ghost_of(item, bufnr, row, col, encoding)
    if ghost then
      draw()
    end
  end, bufnr)
  -- The server may have answered with an error before this line.
  request = id and { client = client, id = id, number = number } or nil
end

local function ask_on_pause()
  timer:start(config.current.inline.debounce, 0, vim.schedule_wrap(ask))
end

--- Keep the ghost when the user has typed just what it shows.
---@return boolean kept
local function type_through()
  local row, col = cursor()
  if not ghost or ghost.bufnr ~= vim.api.nvim_get_current_buf() or row ~= ghost.row or col < ghost.col then
    return false
  end
  local line = vim.api.nvim_buf_get_lines(ghost.bufnr, row, row + 1, false)[1] or ''
  local typed = line:sub(ghost.col + 1, col)
  if ghost.text:sub(1, #typed) ~= typed or #typed == #ghost.text then
    return false
  end
  -- The text after the cursor must be the one that the ghost was made before.
  if #line ~= ghost.line_length + #typed then
    return false
  end
  ghost.text, ghost.col, ghost.line_length = ghost.text:sub(#typed + 1), col, #line
  return true
end

local function on_text_changed()
  if type_through() then
    draw()
  else
    M.clear()
    ask_on_pause()
  end
end

local function on_cursor_moved()
  local row, col = cursor()
  if ghost and (row ~= ghost.row or col ~= ghost.col) and not type_through() then
    M.clear()
  elseif request then
    ask_on_pause()
  end
end

--- Put the shown text into the buffer, as an undo step of its own.
---@return boolean accepted whether anything was shown
function M.accept()
  local taken = ghost
  M.clear()
  local row, col = cursor()
  if not taken or taken.bufnr ~= vim.api.nvim_get_current_buf() or row ~= taken.row or col ~= taken.col then
    return false
  end
  vim.bo.undolevels = vim.bo.undolevels
  local lines = vim.split(taken.text, '\n', { plain = true })
  vim.api.nvim_buf_set_text(taken.bufnr, row, col, row, col + taken.tail, lines)
  local last_col = #lines == 1 and col + #lines[1] or #lines[#lines]
  vim.api.nvim_win_set_cursor(0, { row + #lines, last_col })
  return true
end

--- Follow typing in every buffer that the server serves.
function M.enable()
  local group = vim.api.nvim_create_augroup('linewise.inline', { clear = true })
  local function on(events, callback)
    vim.api.nvim_create_autocmd(events, { group = group, callback = callback })
  end
  on({ 'TextChangedI' }, function()
    if client_of.get(vim.api.nvim_get_current_buf()) then
      on_text_changed()
    end
  end)
  on({ 'InsertEnter' }, ask_on_pause)
  on({ 'CursorMovedI' }, on_cursor_moved)
  on({ 'CompleteChanged', 'InsertLeave', 'BufLeave' }, M.clear)
end

client_of.on_exit(function()
  request = nil
  M.clear()
end)

return M
