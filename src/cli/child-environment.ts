// The environment of programs that a command starts: a browser lives for days, and whatever it starts inherits it. None
// of our own variables is of use there, and SIDEBEARER_ADMIN_TOKEN is a secret.

export function childEnvironment(env: NodeJS.ProcessEnv = process.env): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('SIDEBEARER_')));
}
