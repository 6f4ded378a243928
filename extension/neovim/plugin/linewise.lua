-- Defines the commands. Everything else is loaded when it is first used.

if vim.g.loaded_linewise then
  return
end
vim.g.loaded_linewise = true

vim.api.nvim_create_user_command('LinewiseWrite', function(command)
  local range = command.range > 0 and { command.line1 - 1, command.line2 } or nil
  require('linewise').write(command.args, range)
end, { nargs = '+', range = true, desc = 'Write into this buffer by instruction' })

vim.api.nvim_create_user_command('LinewiseStop', function()
  require('linewise').stop()
end, { desc = 'Stop the write that is running in this buffer' })

vim.api.nvim_create_user_command('LinewiseRestart', function()
  require('linewise').restart()
end, { desc = 'Start the language server again' })
