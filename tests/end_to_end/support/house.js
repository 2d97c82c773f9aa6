// All that a test starts lives in a House: processes, servers, a directory. Closing it ends them in
// reverse order, by their own process ids, also when the test failed. A child whose test process
// dies without closing is killed by the kernel (setpriv --pdeathsig).
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { keepLog, modgateBinary, noteFiles } from './kept_logs.js';

/// Rejects, naming what was waited for, when the promise is not settled in time.
export async function within(milliseconds, what, promise) {
  let timer;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`not within ${milliseconds} ms: ${typeof what === 'function' ? what() : what}`)),
      milliseconds,
    );
  });
  try {
    return await Promise.race([promise, limit]);
  } finally {
    clearTimeout(timer);
  }
}

/// Asks every few milliseconds until condition() is truthy, and returns what it returned.
export async function until(milliseconds, what, condition) {
  const end = Date.now() + milliseconds;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) {
      throw new Error(`not within ${milliseconds} ms: ${typeof what === 'function' ? what() : what}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/// A port nobody listens on now, for programs that cannot be told "any". Below those that the kernel
/// hands out, so that no outgoing connection takes it before the program does.
export async function freePort() {
  for (;;) {
    const port = 20000 + Math.floor(Math.random() * 12000);
    const server = net.createServer();
    const free = await new Promise((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(port, () => resolve(true));
    });
    if (!free) continue;
    server.close();
    await once(server, 'close');
    return port;
  }
}

/// True if something accepts connections there.
export function accepts(port, host = '127.0.0.1') {
  return new Promise((resolve) => {
    const socket = net.connect({ port, host });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/// A running program. stdout and stderr grow as it writes.
export class Child {
  constructor(name, command, args, options = {}) {
    this.name = name;
    this.stdout = '';
    this.stderr = '';
    this.ended = undefined; // { code, signal } once it has ended
    this.process = spawn('setpriv', ['--pdeathsig', 'KILL', '--', command, ...args], {
      stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
    });
    if (options.input !== undefined) this.process.stdin.end(options.input);
    this.process.stdout.on('data', (data) => (this.stdout += data));
    this.process.stderr.on('data', (data) => (this.stderr += data));
    if ([command, ...args].includes(modgateBinary)) {
      keepLog(name, this.process.stderr);
      // Patient data are printed where that is what was asked for.
      if (!args.includes('export') && !args.includes('--with-patient-data')) keepLog(name, this.process.stdout);
    }
    this.exited = new Promise((resolve) => {
      const end = (result) => {
        this.ended = this.ended ?? result;
        resolve(this.ended);
      };
      this.process.on('error', (error) => {
        this.stderr += String(error);
        end({ code: -1, signal: null });
      });
      this.process.on('close', (code, signal) => end({ code, signal }));
    });
  }

  get pid() {
    return this.process.pid;
  }

  /// Waits until the pattern stands in the stream's text and returns the match.
  async waitFor(pattern, { stream = 'stderr', limit = 10000 } = {}) {
    const found = () => this[stream].match(pattern);
    await until(
      limit,
      () => `${this.name} to write ${pattern}; it wrote:\n${this.stdout}${this.stderr}`,
      () => {
        if (found()) return true;
        if (this.ended) {
          throw new Error(
            `${this.name} ended (${JSON.stringify(this.ended)}) before it wrote ${pattern}; it wrote:\n` +
              this.stdout + this.stderr,
          );
        }
        return false;
      },
    );
    return found();
  }

  signal(name) {
    if (!this.ended) this.process.kill(name);
  }

  /// Asks it to end, insists after the limit, returns { code, signal }.
  async stop(limit = 12000) {
    this.signal('SIGTERM');
    try {
      return await within(limit, `the end of ${this.name}`, this.exited);
    } catch (error) {
      this.signal('SIGKILL');
      await this.exited;
      throw error;
    }
  }
}

const running = new Set();
process.on('exit', () => {
  for (const child of running) child.signal('SIGKILL');
});

export class House {
  constructor() {
    this.directory = fs.mkdtempSync(path.join(os.tmpdir(), 'modgate-e2e-'));
    this.closing = [() => {
      noteFiles(this.directory);
      fs.rmSync(this.directory, { recursive: true, force: true });
    }];
    this.gateways = []; // every modgate started here, running or not: their logs are looked at last
    this.names = 0;
  }

  path(...parts) {
    return path.join(this.directory, ...parts);
  }

  /// A new name for a file or directory here.
  newPath(suffix = '') {
    return this.path(`${++this.names}${suffix}`);
  }

  defer(close) {
    this.closing.push(close);
  }

  /// Starts a program that runs until the house is closed or somebody stops it.
  spawn(name, command, args, options) {
    const child = new Child(name, command, args, options);
    running.add(child);
    child.exited.then(() => running.delete(child));
    this.defer(() => child.stop());
    return child;
  }

  /// Runs a program to its end: { code, signal, stdout, stderr }.
  async run(command, args, { limit = 15000, ...options } = {}) {
    const child = new Child(path.basename(command), command, args, options);
    running.add(child);
    try {
      const end = await within(limit, () => `${command} ${args.join(' ')}\n${child.stdout}${child.stderr}`, child.exited);
      return { ...end, stdout: child.stdout, stderr: child.stderr };
    } finally {
      child.signal('SIGKILL');
      running.delete(child);
    }
  }

  async close() {
    const errors = [];
    for (const close of this.closing.reverse()) {
      try {
        await close();
      } catch (error) {
        errors.push(error);
      }
    }
    this.closing = [];
    if (errors.length) throw new AggregateError(errors, errors.map(String).join('\n'));
  }
}
