/*
 * Imported before everything else in a container. The kernel ignores signals to a container's first process that it has not
 * asked for, so until an agent listens for SIGTERM, `docker stop` would wait for nothing and then kill. This ends the process
 * as the signal ends any other, unless somebody listens.
 */
if (process.pid === 1) {
  for (const [name, number] of Object.entries({ SIGINT: 2, SIGTERM: 15 })) {
    process.on(name, () => {
      if (process.listenerCount(name) === 1) process.exit(128 + number);
    });
  }
}
