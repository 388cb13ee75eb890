/*
 * Imported into a child process (`node --import`): ends it when its parent is gone, even if that was SIGKILLed and could
 * tell nobody. A changed parent id is the one sign that every POSIX system gives.
 */
const parent = process.ppid;
const graceMs = 5_000;

const watch = setInterval(() => {
  if (process.ppid === parent) return;
  clearInterval(watch);
  setTimeout(() => process.kill(process.pid, "SIGKILL"), graceMs).unref();
  process.kill(process.pid, "SIGTERM");
}, 250);
watch.unref();
