-- :checkhealth linewise

local M = {}

local function check_server(config)
  local command = config.cmd[1]
  if vim.fn.executable(command) == 0 then
    vim.health.error(('cannot run %q'):format(command), {
      'Install the server: `make demo` in a clone of Linewise',
      "Or name it: require('linewise').setup{ cmd = { … } }",
    })
    return false
  end
  vim.health.ok(('the server is %s'):format(vim.fn.exepath(command)))
  return true
end

--- Ask the server's own doctor, which knows of models and libraries.
local function check_doctor(config)
  if config.cmd[2] ~= 'lsp' then
    vim.health.info('cmd is not `linewise lsp`, so `linewise doctor` is not asked')
    return
  end
  local done = vim.system({ config.cmd[1], 'doctor' }, { text = true, timeout = 60000 }):wait()
  local text = vim.trim((done.stdout or '') .. (done.stderr or ''))
  if done.code == 0 then
    vim.health.ok('linewise doctor found no trouble')
  else
    vim.health.error('linewise doctor found trouble:\n' .. text, { 'Run `linewise doctor` in a terminal' })
  end
end

local function check_client()
  local clients = vim.lsp.get_clients({ name = 'linewise' })
  if #clients == 0 then
    vim.health.info('the server is not running; it starts with the first file of a served type')
  end
  for _, client in ipairs(clients) do
    local buffers = vim.tbl_count(client.attached_buffers)
    vim.health.ok(('the server runs and serves %d buffer(s); positions in %s'):format(buffers, client.offset_encoding))
  end
end

local function check_keys(config)
  for name, lhs in pairs(config.keys) do
    local map = lhs and vim.fn.maparg(lhs, 'i', false, true) or {}
    if lhs and config.inline.enabled and not vim.startswith(map.desc or '', 'linewise: ') then
      vim.health.warn(
        ('%s (keys.%s) is mapped by something else'):format(lhs, name),
        { ("Map a key of yours to require('linewise').%s()"):format(name) }
      )
    end
  end
end

--- Report on Neovim, the server, the model and the keys.
function M.check()
  vim.health.start('linewise')
  local config = require('linewise.config').current
  if vim.fn.has('nvim-0.10') == 0 then
    vim.health.error('Neovim 0.10 or newer is needed')
    return
  end
  vim.health.ok('Neovim ' .. tostring(vim.version()))
  if check_server(config) then
    check_doctor(config)
  end
  check_client()
  check_keys(config)
end

return M
