-- Keys that act only while ghost text is shown, and otherwise do what they did before.
--
-- The mapping that a key had before is kept whole under a <Plug> name, so that its kind (expression,
-- callback, recursive or not) stays what it was.

local M = {}

local MARK = 'linewise: '

local function keep_prior(lhs, plug, bufnr)
  local prior = vim.fn.maparg(lhs, 'i', false, true)
  if vim.startswith(prior.desc or '', MARK) then
    return false
  end
  if bufnr and prior.buffer ~= 1 then
    return false
  end
  if next(prior) == nil then
    vim.keymap.set('i', plug, lhs, { remap = false })
    return true
  end
  prior.lhs = plug
  prior.lhsraw = vim.api.nvim_replace_termcodes(plug, true, true, true)
  prior.lhsrawalt = nil
  -- An insert-mode copy is enough: the key's mapping in other modes is not touched.
  prior.mode = 'i'
  prior.mode_bits = nil
  vim.fn.mapset('i', false, prior)
  return true
end

local function install(lhs, action, is_shown, bufnr)
  local plug = ('<Plug>(linewise-before-%s)'):format(action)
  if not keep_prior(lhs, plug, bufnr) then
    return
  end
  local command = ("<Cmd>lua require('linewise').%s()<CR>"):format(action)
  vim.keymap.set('i', lhs, function()
    return is_shown() and command or plug
  end, { expr = true, remap = true, buffer = bufnr, desc = MARK .. action })
end

--- Map the configured keys.
---@param keys linewise.Keys
---@param is_shown fun(): boolean
---@param bufnr integer? wrap only this buffer's own mappings, which hide the global ones
function M.install(keys, is_shown, bufnr)
  for action, lhs in pairs({ accept = keys.accept, dismiss = keys.dismiss }) do
    if lhs then
      if bufnr then
        vim.api.nvim_buf_call(bufnr, function()
          install(lhs, action, is_shown, bufnr)
        end)
      else
        install(lhs, action, is_shown)
      end
    end
  end
end

return M
